"""Everything that a locked build fetches, in one file that can be carried to where there is no network: a tar archive,
not compressed (packages are), whose bytes follow from what is in it.

    lock                the lock, as `lock_text` writes it
    keys/<name>.pgp     the pinned certificates that packages of a repository were checked with
    packages/<SHA-256>  every package of every set of the lock, sorted

Nothing in it is trusted because it is there: packages count by the lock's digests and by the signatures that they
carry, keys by the fingerprints that are pinned where it is used.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.errors import MetadataError, TrustError, UsageError
from os_image_composer.ospackage.cache import BLOCK, PackageCache, write_atomically, writing
from os_image_composer.ospackage.keys import MAX_KEYS, bundled_key
from os_image_composer.ospackage.lock import Lock
from os_image_composer.ospackage.lock_file import MAX_LOCK, parse_lock
from os_image_composer.ospackage.lock_text import dump_lock
from os_image_composer.ospackage.openpgp import holds_certificates
from os_image_composer.ospackage.tools_archive import check_free

_LOCK, _KEYS, _PACKAGES = "lock", "keys/", "packages/"
_MOST_KEYS = 64
_KEY = re.compile(r"keys/([A-Za-z0-9][A-Za-z0-9._+-]{0,99})\.pgp")


@dataclass(frozen=True)
class Bundle:
    """What a bundle brought: `lock` is the file in the cache that its lock was written to."""

    lock: Path
    packages: int


def write_bundle(path: Path, lock: Lock, keys: Mapping[str, bytes], files: Mapping[str, Path]) -> None:
    """Write `path`, or nothing; `keys` are OpenPGP certificates by the name of a repository, `files` the packages by
    digest. Raises UsageError as `check_free`, and FileExistsError for one that somebody made meanwhile."""
    check_free(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with tarfile.open(temporary, "x:", format=tarfile.USTAR_FORMAT) as tar:
            for name, data in ((_LOCK, dump_lock(lock).encode()), *_named(keys)):
                tar.addfile(_member(name, len(data)), io.BytesIO(data))
            for digest, file in sorted(files.items()):
                with file.open("rb") as stream:
                    tar.addfile(_member(f"{_PACKAGES}{digest}", file.stat().st_size), stream)
        os.link(temporary, path)  # which, other than a rename, replaces nothing
    finally:
        temporary.unlink(missing_ok=True)


def unpack_bundle(path: Path, cache: Path) -> Bundle:
    """Bring the packages of a bundle into the caches of the folder `cache`, each one's bytes checked, and its lock and
    keys beside them. Raises UsageError `no-bundle`, MetadataError `bad-bundle` and what reading a lock raises,
    TrustError `wrong-bytes`."""
    with _opened(path) as tar:
        members = iter(tar)
        first = next(members, None)
        if first is None or first.name != _LOCK or not first.isreg():
            raise _bad(path, f"it does not begin with the {_LOCK}")
        text = _content(path, tar, first, MAX_LOCK)
        lock = parse_lock(text.decode("utf-8", "replace"), f"the lock in {path}")
        wanted = {p.sha256: p for found in lock.sets.values() for p in found.packages()}
        packages = PackageCache(cache / "packages")
        keys: dict[str, bytes] = {}
        for member in members:
            folder, _, digest = member.name.rpartition("/")
            key = _KEY.fullmatch(member.name)
            package_there = f"{folder}/" == _PACKAGES and digest in wanted
            if not member.isreg() or not (package_there or (key is not None and len(keys) < _MOST_KEYS)):
                raise _bad(path, f"{member.name!r:.120} does not belong into it")
            if key is not None:
                keys[key[1]] = _content(path, tar, member, MAX_KEYS)
                if not holds_certificates(keys[key[1]]):
                    raise _bad(path, f"{member.name} is no OpenPGP certificate")
            else:
                package = wanted.pop(digest)
                if member.size != package.size:
                    raise _bad(path, f"{package.name} has {member.size} bytes instead of {package.size}")
                _take(path, tar, member, digest, f"{package.name} {package.version}", packages)
        if wanted:
            names = sorted(p.name for p in wanted.values())
            raise _bad(path, f"{len(names)} packages of its lock are missing, such as {names[0]}")
    # Last: a bundle that is refused leaves no key behind.
    for name, data in keys.items():
        write_atomically(bundled_key(cache / "metadata", name), data)
    target = cache / "locks" / f"bundle-{hashlib.sha256(text).hexdigest()[:16]}.lock"
    write_atomically(target, text)
    return Bundle(target, len({p.sha256 for found in lock.sets.values() for p in found.packages()}))


def _named(keys: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for name, data in sorted(keys.items()):
        yield f"{_KEYS}{name}.pgp", data


def _member(name: str, size: int) -> tarfile.TarInfo:
    """With every other field fixed."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except OSError as error:
        raise UsageError(
            "no-bundle",
            f"{path} cannot be read",
            cause=error.strerror or str(error),
            hint="os-image-composer bundle writes one",
        ) from error
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise _bad(path, str(error)) from error


def _content(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, most: int) -> bytes:
    if member.size > most:
        raise _bad(path, f"{member.name} has {member.size} bytes, more than {most}")
    stream = tar.extractfile(member)
    data = stream.read() if stream is not None else b""
    if len(data) != member.size:
        raise _bad(path, f"it ends within {member.name}")
    return data


def _take(
    path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo, digest: str, what: str, packages: PackageCache
) -> None:
    """The package into the cache, under its digest."""
    stream = tar.extractfile(member)
    assert stream is not None  # a regular file
    actual, size = hashlib.sha256(), 0
    with packages.temporary_file() as (copy, temporary):
        while block := stream.read(BLOCK):
            actual.update(block)
            size += len(block)
            with writing(packages.root):
                copy.write(block)
        if size != member.size:
            raise _bad(path, f"it ends within {what}")
        if actual.hexdigest() != digest:
            raise TrustError(
                "wrong-bytes",
                f"{path} holds something else as {what}",
                cause=f"SHA-256 {actual.hexdigest()} instead of {digest}",
                hint="nothing of it was kept; write the bundle again",
            )
        with writing(packages.root):
            copy.flush()
        packages.add(temporary, digest)


def _bad(path: Path, cause: str) -> MetadataError:
    return MetadataError(
        "bad-bundle",
        f"{path} is not a whole bundle",
        cause=cause,
        hint="copy it again; os-image-composer bundle writes one",
    )
