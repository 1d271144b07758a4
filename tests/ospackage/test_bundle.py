"""A bundle is what was put into it, byte by byte, and nothing else is taken from one."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from os_image_composer.errors import ComposerError, MetadataError
from os_image_composer.ospackage.bundle import unpack_bundle, write_bundle
from os_image_composer.ospackage.cache import PackageCache
from os_image_composer.ospackage.keys import bundled_key
from os_image_composer.ospackage.lock import Lock, LockedPackage, LockedRepository, PackageSet, Transaction
from os_image_composer.ospackage.lock_file import read_lock
from os_image_composer.ospackage.lock_text import dump_lock
from support.deb_repository import SigningKey

CERTIFICATE = bytes(SigningKey("bundled").certificate)
ONE, TWO = b"one" * 1000, b"two" * 5000


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def package(name: str, data: bytes) -> LockedPackage:
    return LockedPackage(name, "1", "all", "r/s", f"pool/{name}", len(data), digest(data), 1, False, name, ())


LOCK = Lock(
    "o", "d", "x86_64", "8f8a2f51-54d1-4cf5-9ec5-6c8f6a0c3f0e", 1,
    (LockedRepository("r/s", "https://mirror.example", "s", 1, None, "cd" * 32, ("ef" * 20,)),),
    {"image": PackageSet((Transaction("t", (package("one", ONE), package("two", TWO))),), roots=("one", "two"))},
)  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> Mapping[str, Path]:
    found = {}
    for data in (ONE, TWO):
        found[digest(data)] = tmp_path / digest(data)
        found[digest(data)].write_bytes(data)
    return found


@pytest.fixture
def bundle(tmp_path: Path, files: Mapping[str, Path]) -> Path:
    write_bundle(tmp_path / "a.bundle", LOCK, {"r": CERTIFICATE}, files)
    return tmp_path / "a.bundle"


def test_same_content_gives_the_same_bytes(tmp_path: Path, bundle: Path, files: Mapping[str, Path]) -> None:
    write_bundle(tmp_path / "b.bundle", LOCK, {"r": CERTIFICATE}, dict(reversed(list(files.items()))))
    assert (tmp_path / "b.bundle").read_bytes() == bundle.read_bytes()


def test_lock_packages_and_keys_arrive_in_the_cache(tmp_path: Path, bundle: Path) -> None:
    cache = tmp_path / "cache"
    brought = unpack_bundle(bundle, cache)
    assert (read_lock(brought.lock).lock, brought.packages) == (LOCK, 2)
    packages = PackageCache(cache / "packages")
    assert packages.verified(digest(ONE)).read_bytes() == ONE
    assert packages.verified(digest(TWO)).read_bytes() == TWO
    assert bundled_key(cache / "metadata", "r").read_bytes() == CERTIFICATE


def test_file_that_is_there_is_not_overwritten(bundle: Path, files: Mapping[str, Path]) -> None:
    before = bundle.read_bytes()
    with pytest.raises(ComposerError) as caught:
        write_bundle(bundle, LOCK, {}, files)
    assert (caught.value.reference, bundle.read_bytes()) == ("file-exists", before)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.9, 0.97])
def test_cut_bundle_is_refused(tmp_path: Path, bundle: Path, share: float) -> None:
    data = bundle.read_bytes().rstrip(b"\0")
    bundle.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ComposerError) as caught:
        unpack_bundle(bundle, tmp_path / "cache")
    assert caught.value.reference in ("bad-bundle", "bad-lock")
    assert kept(tmp_path / "cache") <= {digest(ONE), digest(TWO)}


def test_changed_package_is_refused_and_not_kept(tmp_path: Path, bundle: Path) -> None:
    bundle.write_bytes(bundle.read_bytes().replace(b"twotwo", b"twoTwo", 1))
    with pytest.raises(ComposerError) as caught:
        unpack_bundle(bundle, tmp_path / "cache")
    assert caught.value.reference == "wrong-bytes"
    assert "two 1" in caught.value.message
    assert digest(TWO) not in kept(tmp_path / "cache")


def test_changed_lock_is_refused(tmp_path: Path, bundle: Path) -> None:
    bundle.write_bytes(bundle.read_bytes().replace(digest(ONE).encode(), digest(b"other").encode(), 1))
    with pytest.raises(MetadataError) as caught:
        unpack_bundle(bundle, tmp_path / "cache")
    assert caught.value.reference == "bad-lock"


def hostile(tmp_path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    """A bundle with these members between its lock and nothing."""
    path = tmp_path / "hostile.bundle"
    text = dump_lock(LOCK).encode()
    with tarfile.open(path, "x:") as tar:
        for member, data in ((named("lock", text), text), *members):
            tar.addfile(member, io.BytesIO(data) if member.isreg() else None)
    return path


def named(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(data), kind, link
    return member


@pytest.mark.parametrize(
    "member",
    [
        named("../escaped", ONE),
        named("/etc/escaped", ONE),
        named("packages/../../escaped", ONE),
        named(f"packages/{'ab' * 32}", ONE),
        named("keys/../escaped.pgp", ONE),
        named("keys/.pgp", ONE),
        named("keys/r.pgp", ONE),
        named(digest(ONE), ONE),
        named(f"packages/{digest(ONE)}", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        named(f"packages/{digest(ONE)}", kind=tarfile.LNKTYPE, link="lock"),
        named("keys/r.pgp", kind=tarfile.CHRTYPE),
        named(f"packages/{digest(ONE)}", TWO),
        named("lock", ONE),
    ],
    ids=lambda member: f"{member.name[:30]}-{member.type.decode()}",
)
def test_member_that_does_not_belong_into_a_bundle_is_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    data = (ONE + TWO)[: member.size] if member.size != len(TWO) else TWO
    with pytest.raises(MetadataError) as caught:
        unpack_bundle(hostile(tmp_path, (member, data)), tmp_path / "cache")
    assert caught.value.reference == "bad-bundle"
    assert kept(tmp_path / "cache") == set()
    assert not list((tmp_path / "cache").rglob("*.pgp"))
    assert not list(tmp_path.rglob("escaped*"))


def test_missing_packages_and_what_is_no_archive_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MetadataError) as caught:
        unpack_bundle(hostile(tmp_path), tmp_path / "cache")
    assert "2 packages of its lock are missing, such as one" in str(caught.value)
    (tmp_path / "none").write_text("x" * 2000)
    for path, reference in ((tmp_path / "none", "bad-bundle"), (tmp_path / "absent", "no-bundle")):
        with pytest.raises(ComposerError) as other:
            unpack_bundle(path, tmp_path / "cache")
        assert other.value.reference == reference


def kept(cache: Path) -> set[str]:
    return {path.name for path in (cache / "packages" / "sha256").glob("*/*")}
