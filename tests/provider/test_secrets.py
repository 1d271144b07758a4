"""Passwords are hashed once, and only their hashes are kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import bcrypt
import passlib.hash
import pytest

from os_image_composer.config.spec import Secret, User
from os_image_composer.errors import UsageError
from os_image_composer.provider.password_hash import CryptLibrary
from os_image_composer.provider.secrets import hash_passwords


def user(name: str, password: str | None = None, password_hash: str | None = None) -> User:
    plain = Secret(password) if password is not None else None
    hashed = Secret(password_hash) if password_hash is not None else None
    return User(name, plain, hashed)


def test_same_password_gives_the_same_hash_again_and_another_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "a.secrets"
    first = hash_passwords([user("a", "one")], path)
    assert hash_passwords([user("a", "one")], path) == first
    assert hash_passwords([user("a", "two")], path) != first
    (text,) = first.hashes.values()
    assert text.startswith("$6$")


def test_two_templates_of_one_name_keep_both_their_hashes(tmp_path: Path) -> None:
    path = tmp_path / "a.secrets"
    one, two = [user("a", "one"), user("b", "x")], [user("a", "two")]
    first, second = hash_passwords(one, path), hash_passwords(two, path)
    assert hash_passwords(one, path) == first
    assert hash_passwords(two, path) == second


def test_another_method_is_another_hash_and_both_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.secrets"
    users = {method: [User("a", Secret("one"), hash_algo=method)] for method in ("sha512", "yescrypt")}
    made = {method: hash_passwords(users[method], path) for method in users}
    assert made["sha512"] != made["yescrypt"]
    assert all(hash_passwords(users[method], path) == made[method] for method in users)


@pytest.mark.parametrize("password", ["one", "grüße, 世界", "a b'\"$HOME`id`", "x" * 500])
def test_hashes_are_those_of_other_programs(password: str) -> None:
    library = CryptLibrary()
    oracle = {"sha512": passlib.hash.sha512_crypt, "sha256": passlib.hash.sha256_crypt}
    for method, other in oracle.items():
        text = library.hash(password, method)
        assert other.verify(password, text)
        assert not other.verify(password + "x", text)
        assert library.verifies(password, other.hash(password))
    if len(password) < 73:
        assert bcrypt.checkpw(password.encode(), library.hash(password, "bcrypt").encode())


def test_yescrypt_is_what_the_hosts_own_crypt_makes_of_its_setting() -> None:
    text = CryptLibrary().hash("one", "yescrypt")
    assert text.startswith("$y$")
    script = "print crypt($ARGV[0], $ARGV[1])"
    done = subprocess.run(["perl", "-e", script, "one", text], capture_output=True, text=True, check=True)
    assert done.stdout == text


def test_a_host_without_libcrypt_is_told_what_to_do() -> None:
    with pytest.raises(UsageError) as caught:
        CryptLibrary(["libabsent.so.1", "libm.so.6"])
    assert caught.value.reference == "no-crypt-library"
    assert "hashed text" in (caught.value.hint or "")


def test_a_damaged_file_is_no_hash(tmp_path: Path) -> None:
    path = tmp_path / "a.secrets"
    for text in ("{", "[]", '{"a": 1}', '{"a": [1, null]}', '{"a": "$6$x$y"}'):
        path.write_text(text)
        (made,) = hash_passwords([user("a", "one")], path).hashes.values()
        assert made.startswith("$6$")


def test_file_is_for_its_owner_only_and_holds_no_password(tmp_path: Path) -> None:
    path = tmp_path / "a.secrets"
    hash_passwords([user("a", "a plain word")], path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "a plain word" not in path.read_text()


def test_hashed_text_is_taken_as_it_is_and_no_password_is_no_hash(tmp_path: Path) -> None:
    made = hash_passwords([user("a", password_hash="$y$j9T$abc$def"), user("b")], tmp_path / "x.secrets")
    assert list(made.hashes.values()) == ["$y$j9T$abc$def"]
    assert set(made.digest_of) == {"a"}


def test_two_builds_at_once_agree_on_one_hash(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from os_image_composer.config.spec import Secret, User;"
        "from os_image_composer.provider.secrets import hash_passwords;"
        "user = User('a', Secret('one'));"
        "print(*hash_passwords([user], Path(sys.argv[1])).hashes.values())"
    )
    source = str(Path(__file__).parents[2] / "src")
    argv = [sys.executable, "-c", script, str(tmp_path / "x.secrets")]
    both = [subprocess.Popen(argv, stdout=subprocess.PIPE, env={"PYTHONPATH": source}) for _ in range(3)]
    assert len({build.communicate(timeout=60)[0] for build in both}) == 1
