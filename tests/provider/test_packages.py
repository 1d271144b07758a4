"""Package files as steps get them: of every family, fetched, and refused where they are not what they must be."""

from __future__ import annotations

import functools
import hashlib
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from os_image_composer.build.clock import FixedClock
from os_image_composer.build.events import silent
from os_image_composer.chroot.services import PackageFile
from os_image_composer.config.network import Network
from os_image_composer.config.spec import PackageGroup
from os_image_composer.errors import ComposerError, TrustError, UsageError
from os_image_composer.ospackage.cache import PackageCache
from os_image_composer.ospackage.family import family_for
from os_image_composer.ospackage.keys import keyring_of
from os_image_composer.ospackage.lock import Lock, LockedPackage, LockedRepository, PackageSet
from os_image_composer.ospackage.resolve import Repository, SetRequest
from os_image_composer.ospackage.tools_archive import TOOLS, write_tools_archive
from os_image_composer.ospackage.tools_index import ToolsIndex
from os_image_composer.ospackage.transport import HttpTransport
from os_image_composer.provider.image_tools import archive_source
from os_image_composer.provider.packages import LockedPackages, Source
from support.deb_repository import NOW, DebRepository, MadePackage, SigningKey, deb
from support.rpm_package import rpm
from support.rpm_repository import RpmRepository


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    with HttpTransport(Network(timeout=0.3)) as door:
        yield door


@pytest.fixture
def repository(tmp_path: Path) -> RpmRepository:
    return RpmRepository(tmp_path / "rpms").add(rpm("hello", files={"/usr/bin/hello": b"rpm"}))


def locked(
    tmp_path: Path, transport: HttpTransport, wanted: Mapping[str, tuple[str, Repository, str]]
) -> tuple[LockedPackages, dict[str, PackageFile]]:
    """Resolve one package from each repository: its family, the repository and the package's name, by set."""
    clock = FixedClock(NOW + 60)
    sources: dict[str, Source] = {}
    sets: dict[str, PackageSet] = {}
    repositories: list[LockedRepository] = []
    for name, (family, repository, package) in wanted.items():
        code = family_for(family)
        resolver = code.resolver(transport, tmp_path / "metadata", clock, silent)
        request = SetRequest(name, (PackageGroup("g", (package,)),), essential=False)
        found = resolver.resolve([repository], "amd64" if family == "deb" else "x86_64", [request])
        repositories += found.repositories
        sets |= found.sets
        keyring = functools.partial(
            keyring_of, repository, repository.name, tmp_path / "metadata", transport, clock.now(), silent
        )
        sources[repository.name] = Source(code, repository, keyring)
    lock = Lock("os", "dist", "x86_64", "seed", 0, tuple(repositories), sets)
    packages = LockedPackages(lock, sources, PackageCache(tmp_path / "packages"), transport, silent, 2)
    return packages, {name: PackageFile.of(next(s.packages())) for name, s in sets.items()}


def test_packages_of_two_families_are_handed_out_side_by_side(
    repository: RpmRepository, tmp_path: Path, transport: HttpTransport
) -> None:
    repository.write()
    tools = DebRepository(tmp_path / "debs", name="tools").add(deb("mke2fs", files={"./sbin/mke2fs": b"deb"})).write()
    packages, files = locked(
        tmp_path,
        transport,
        {
            "image": ("rpm", repository.described(repository.root.as_uri()), "hello"),
            "tools": ("deb", tools.described(tools.root.as_uri()), "mke2fs"),
        },
    )
    contents = packages.contents([files["image"], files["tools"]])
    found: dict[str, bytes] = {}
    for content in contents:
        with content.open() as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            found |= {m.name: f.read() for m in archive if (f := archive.extractfile(m))}
    assert found == {"./usr/bin/hello": b"rpm", "./sbin/mke2fs": b"deb"}


def refused(repository: RpmRepository, tmp_path: Path, transport: HttpTransport) -> ComposerError:
    repository.write()
    described = repository.described(repository.root.as_uri())
    packages, files = locked(tmp_path, transport, {"image": ("rpm", described, "hello")})
    with pytest.raises(TrustError) as caught:
        packages.files([files["image"]])
    with pytest.raises(TrustError):
        packages.contents([files["image"]])
    return caught.value


def test_package_signed_with_the_key_of_another_repository_is_not_handed_out(
    repository: RpmRepository, tmp_path: Path, transport: HttpTransport
) -> None:
    repository.package_key = SigningKey("Another repository")
    assert refused(repository, tmp_path, transport).reference == "unknown-signer"


def test_package_signed_with_the_key_that_is_pinned_for_another_repository_is_not_handed_out(
    repository: RpmRepository, tmp_path: Path, transport: HttpTransport
) -> None:
    """Both repositories belong to one distribution, and each key counts for its own."""
    second = RpmRepository(tmp_path / "second", name="second").add(rpm("other")).write()
    repository.package_key = second.key
    repository.write()
    wanted = {
        "image": ("rpm", repository.described(repository.root.as_uri()), "hello"),
        "more": ("rpm", second.described(second.root.as_uri()), "other"),
    }
    packages, files = locked(tmp_path, transport, wanted)
    assert packages.files([files["more"]])
    with pytest.raises(TrustError) as caught:
        packages.files([files["image"]])
    assert caught.value.reference == "unknown-signer"


def test_unsigned_package_is_not_handed_out(
    repository: RpmRepository, tmp_path: Path, transport: HttpTransport
) -> None:
    repository.package_key = None
    assert refused(repository, tmp_path, transport).reference == "package-not-signed"


def test_package_with_the_right_checksum_and_a_wrong_signature_is_not_handed_out(
    repository: RpmRepository, tmp_path: Path, transport: HttpTransport
) -> None:
    hello = repository.packages[0]
    repository.replaced["hello"] = hello.data(rpm("other").signature(repository.key))
    assert refused(repository, tmp_path, transport).reference == "bad-signature"


def test_package_changed_on_the_mirror_is_not_handed_out(
    repository: RpmRepository, tmp_path: Path, transport: HttpTransport
) -> None:
    repository.write()
    described = repository.described(repository.root.as_uri())
    packages, files = locked(tmp_path, transport, {"image": ("rpm", described, "hello")})
    path = repository.path(repository.packages[0])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(TrustError) as caught:
        packages.files([files["image"]])
    assert caught.value.reference == "wrong-bytes"
    assert not packages.cache.has(files["image"].sha256)


def with_archive(
    tmp_path: Path, transport: HttpTransport, package: MadePackage, named: str
) -> tuple[LockedPackages, PackageFile]:
    """Locked packages of an archive that holds `package` under the name `named`, and no mirror."""
    digest = hashlib.sha256(package.data).hexdigest()
    (tmp_path / digest).write_bytes(package.data)
    repository = LockedRepository("debian/stable", "", "stable", 1, None, "ab" * 32, ())
    one = LockedPackage(
        named, "1.0", "amd64", repository.name, f"pool/{named}.deb", len(package.data), digest, 1, False, "", ()
    )
    index = ToolsIndex.of("debian", "debian13", "x86_64", (repository,), (one,))
    archive = write_tools_archive(tmp_path / "tools.tar", index, {digest: tmp_path / digest})
    packages = archive.locked(TOOLS, {named: named})
    lock = Lock("os", "dist", "x86_64", "seed", 0, archive.repositories("deb"), {TOOLS: packages})
    sources = {TOOLS: archive_source("deb")}
    cache = PackageCache(tmp_path / "packages")
    found = LockedPackages(lock, sources, cache, transport, silent, 2, lambda: archive)
    return found, PackageFile.of(next(packages.packages()))


def test_packages_of_an_archive_are_handed_out_without_a_mirror(tmp_path: Path, transport: HttpTransport) -> None:
    packages, file = with_archive(tmp_path, transport, deb("mke2fs"), "mke2fs")
    assert packages.files([file])[file.sha256].read_bytes() == deb("mke2fs").data
    (content,) = packages.contents([file])
    with content.open() as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        assert archive.getnames() == ["./usr/share/doc/mke2fs/version"]


def test_package_of_an_archive_under_the_name_of_another_is_not_handed_out(
    tmp_path: Path, transport: HttpTransport
) -> None:
    packages, file = with_archive(tmp_path, transport, deb("evil"), "mke2fs")
    with pytest.raises(TrustError) as caught:
        packages.contents([file])
    assert caught.value.reference == "wrong-package"


def test_packages_of_an_archive_that_the_settings_no_longer_name_are_asked_of_no_mirror(
    tmp_path: Path, transport: HttpTransport
) -> None:
    packages, file = with_archive(tmp_path, transport, deb("mke2fs"), "mke2fs")
    packages.archive = lambda: None
    with pytest.raises(UsageError) as caught:
        packages.files([file])
    assert caught.value.reference == "package-without-source"
