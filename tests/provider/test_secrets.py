"""Passwords are hashed once, and only their hashes are kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from os_image_composer.config.spec import Secret, User
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
