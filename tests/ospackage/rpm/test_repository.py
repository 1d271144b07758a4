"""What is refused when a repository's metadata is read, and that nothing of it stays."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pysequoia
import pytest
import zstandard

from os_image_composer.errors import ComposerError, FetchError, MetadataError, TrustError
from support.deb_repository import NOW, Server, SigningKey
from support.rpm_package import rpm
from support.rpm_repository import RpmRepository, primary

from .conftest import Resolve, chosen


def files_below(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()] if folder.exists() else []


def refused(resolve: Resolve, reference: str, kind: type[ComposerError], metadata: Path) -> ComposerError:
    with pytest.raises(kind) as caught:
        resolve("hello")
    assert caught.value.reference == reference, caught.value
    assert files_below(metadata) == []
    return caught.value


@pytest.mark.parametrize("form", ["", ".gz", ".xz", ".zst"])
def test_signed_repository_gives_packages_with_path_digest_and_signer(
    repository: RpmRepository, resolve: Resolve, form: str
) -> None:
    repository.form = form
    hello = rpm(
        "hello", "1:2.0-3", requires=("libhello >= 1",), source="hi-2.0-3.src.rpm", files={"/usr/bin/hello": b"x"}
    )
    repository.add(hello, rpm("libhello", arch="x86_64"), rpm("other")).write()
    found = resolve("hello")
    package, library = found.sets["image"].packages()
    assert (package.name, package.version, package.arch, package.depends) == (
        "hello",
        "1:2.0-3",
        "noarch",
        ("libhello",),
    )
    assert (library.name, library.arch) == ("libhello", "x86_64")
    data = (repository.root / package.path).read_bytes()
    assert (package.sha256, package.size, package.installed_size) == (hashlib.sha256(data).hexdigest(), len(data), 1)
    assert package.source == "hi 2.0-3"
    assert found.repositories[0].signers == (repository.key.fingerprint,)
    assert found.repositories[0].date == found.source_date_epoch == int(NOW)
    assert found.repositories[0].name == package.repository == "test"


def test_changed_byte_in_repomd_is_refused(repository: RpmRepository, resolve: Resolve, metadata: Path) -> None:
    repository.add(rpm("hello")).write()
    repository.repomd.write_bytes(repository.repomd.read_bytes().replace(b"primary", b"Primary", 1))
    refused(resolve, "bad-signature", TrustError, metadata)


def test_repomd_without_signature_is_refused(repository: RpmRepository, resolve: Resolve, metadata: Path) -> None:
    repository.add(rpm("hello")).write()
    repository.signature.unlink()
    assert "repomd.xml.asc" in str(refused(resolve, "not-signed", TrustError, metadata).hint)


def test_signature_that_is_none_is_refused(repository: RpmRepository, resolve: Resolve, metadata: Path) -> None:
    repository.add(rpm("hello")).write()
    for rubbish in (b"rubbish", b"", b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"):
        repository.signature.write_bytes(rubbish)
        with pytest.raises(TrustError):
            resolve("hello")
    assert files_below(metadata) == []


def test_changed_byte_in_the_signature_is_refused(repository: RpmRepository, resolve: Resolve, metadata: Path) -> None:
    repository.add(rpm("hello")).write()
    packet = bytearray(bytes(pysequoia.Sig.from_bytes(repository.signature.read_bytes())))
    packet[-1] ^= 1
    armored = pysequoia.armor(bytes(packet), pysequoia.ArmorKind.Signature)
    repository.signature.write_bytes(armored.encode())
    refused(resolve, "bad-signature", TrustError, metadata)


def test_signature_of_a_key_that_is_not_pinned_is_refused(
    repository: RpmRepository, resolve: Resolve, metadata: Path
) -> None:
    repository.add(rpm("hello")).write()
    other = SigningKey("Other")
    repository.signature.write_bytes(other.detached(repository.repomd.read_bytes()))
    repository.keyring.write_bytes(bytes(repository.key.certificate) + bytes(other.certificate))
    refused(resolve, "unknown-signer", TrustError, metadata)


def test_changed_primary_is_refused(repository: RpmRepository, resolve: Resolve, metadata: Path) -> None:
    repository.add(rpm("hello")).write()
    data = bytearray(repository.index().read_bytes())
    data[len(data) // 2] ^= 1
    repository.index().write_bytes(bytes(data))
    refused(resolve, "wrong-bytes", TrustError, metadata)


def entry_with(repository: RpmRepository, **replaced: object) -> None:
    repository.add(rpm("hello")).write()
    data = repository.index().read_bytes()
    text = zstandard.decompress(data)
    repository.write_repomd(repository.entry("primary", data, text, **replaced))


def test_primary_that_expands_to_other_bytes_is_refused(
    repository: RpmRepository, resolve: Resolve, metadata: Path
) -> None:
    entry_with(repository, open_checksum="0" * 64)
    refused(resolve, "wrong-bytes", TrustError, metadata)


def test_primary_that_expands_beyond_its_size_is_refused(
    repository: RpmRepository, resolve: Resolve, metadata: Path
) -> None:
    entry_with(repository, open_size=10)
    refused(resolve, "over-expanding-index", MetadataError, metadata)


def test_primary_larger_than_any_is_refused(repository: RpmRepository, resolve: Resolve, metadata: Path) -> None:
    entry_with(repository, open_size=1 << 32)
    refused(resolve, "oversized-index", MetadataError, metadata)


@pytest.mark.parametrize("href", ["../secret.xml", "/etc/passwd", "https://elsewhere.invalid/p.xml", "a/../../b", ""])
def test_index_outside_the_repository_is_refused(
    repository: RpmRepository, resolve: Resolve, metadata: Path, href: str
) -> None:
    entry_with(repository, href=href)
    refused(resolve, "bad-repomd", MetadataError, metadata)


@pytest.mark.parametrize("wrong", [{"size": "many"}, {"size": -1}, {"open_size": ""}, {"checksum": "xyz"}])
def test_malformed_entry_of_repomd_is_refused(
    repository: RpmRepository, resolve: Resolve, metadata: Path, wrong: dict[str, object]
) -> None:
    entry_with(repository, **wrong)
    refused(resolve, "bad-repomd", MetadataError, metadata)


def test_weak_checksum_is_refused(repository: RpmRepository, resolve: Resolve, metadata: Path) -> None:
    repository.checksum_type = "sha"
    repository.add(rpm("hello")).write()
    refused(resolve, "weak-digest", TrustError, metadata)


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE repomd [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
    b"<repomd><revision>&b;</revision></repomd>"
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        b'<?xml version="1.0"?><!DOCTYPE r SYSTEM "file:///etc/passwd"><repomd/>',
        b'<?xml version="1.0" encoding="UTF-16"?><repomd/>',
        "<repomd/>".encode("utf-16"),
        b"<repomd>",
        b"",
        b"<repomd>" + b"<a>" * 100 + b"</a>" * 100 + b"</repomd>",
        b"<repomd>\xff</repomd>",
    ],
    ids=["bomb", "external", "declared-utf16", "utf16", "cut", "empty", "deep", "not-utf8"],
)
def test_signed_repomd_that_is_no_harmless_xml_is_refused(
    repository: RpmRepository, resolve: Resolve, metadata: Path, text: bytes
) -> None:
    repository.sign(text)
    refused(resolve, "bad-xml", MetadataError, metadata)


@pytest.mark.parametrize("text", [b"<other/>", b"<repomd><revision>1</revision></repomd>"])
def test_signed_xml_that_is_no_repomd_is_refused(
    repository: RpmRepository, resolve: Resolve, metadata: Path, text: bytes
) -> None:
    repository.sign(text)
    refused(resolve, "bad-repomd", MetadataError, metadata)


def test_primary_with_entities_is_refused(repository: RpmRepository, resolve: Resolve) -> None:
    repository.add(rpm("hello")).write()
    repository.write_indexes({"primary": BOMB})
    with pytest.raises(MetadataError) as caught:
        resolve("hello")
    assert caught.value.reference == "bad-xml"


@pytest.mark.parametrize("text", [b"<metadata", b"<metadata><package></metadata>", b"\x1f\x8b"])
def test_primary_that_is_no_xml_is_refused(repository: RpmRepository, resolve: Resolve, text: bytes) -> None:
    repository.add(rpm("hello")).write()
    repository.write_indexes({"primary": text})
    with pytest.raises(MetadataError) as caught:
        resolve("hello")
    assert caught.value.reference in ("bad-index", "bad-xml")


@pytest.mark.parametrize("path", ["../../x.rpm", "/x.rpm", "a/../../x.rpm", "x y.rpm"])
def test_package_outside_the_repository_is_refused(repository: RpmRepository, resolve: Resolve, path: str) -> None:
    package = rpm("hello")
    repository.add(package).write()
    repository.write_indexes({"primary": primary([(package, b"x", path)])})
    with pytest.raises(MetadataError) as caught:
        resolve("hello")
    assert caught.value.reference == "bad-index"


@pytest.mark.parametrize("name", ["../x", "a!b", "-x", "x;y"])
def test_package_whose_name_is_none_is_refused(repository: RpmRepository, resolve: Resolve, name: str) -> None:
    odd, hello = rpm(name), rpm("hello", requires=(f"{name}",))
    repository.write_indexes({"primary": primary([(odd, b"x", "x.rpm"), (hello, b"y", "y.rpm")])})
    with pytest.raises(MetadataError) as caught:
        resolve("hello")
    assert caught.value.reference == "bad-index"


def test_package_with_a_weak_checksum_is_refused(repository: RpmRepository, resolve: Resolve) -> None:
    package = rpm("hello")
    repository.add(package).write()
    text = primary([(package, b"x", "x.rpm")]).replace(b'type="sha256" pkgid', b'type="sha" pkgid')
    repository.write_indexes({"primary": text.replace(hashlib.sha256(b"x").hexdigest().encode(), b"0" * 40)})
    with pytest.raises(TrustError) as caught:
        resolve("hello")
    assert caught.value.reference == "weak-digest"


def test_repomd_older_than_the_one_seen_before_is_refused(repository: RpmRepository, resolve: Resolve) -> None:
    repository.add(rpm("hello", "2-1")).write()
    assert chosen(resolve("hello")) == ["hello-2-1"]
    repository.date -= 1
    repository.packages = [rpm("hello", "1-1")]
    repository.write()
    with pytest.raises(MetadataError) as caught:
        resolve("hello")
    assert caught.value.reference == "metadata-rollback"


def test_refused_metadata_is_not_remembered_as_newest(repository: RpmRepository, resolve: Resolve) -> None:
    repository.add(rpm("hello")).write()
    good = {p: p.read_bytes() for p in (repository.root / "repodata").iterdir()}
    repository.date += 30
    repository.write()
    repository.index().write_bytes(b"rubbish")
    with pytest.raises((TrustError, FetchError)):
        resolve("hello")
    for path, data in good.items():
        path.write_bytes(data)
    assert chosen(resolve("hello")) == ["hello-1.0-1"]


def test_repomd_of_the_future_is_refused(repository: RpmRepository, resolve: Resolve, metadata: Path) -> None:
    repository.date += 86400
    repository.add(rpm("hello")).write()
    refused(resolve, "metadata-not-yet-valid", MetadataError, metadata)


def test_metadata_that_was_read_once_is_not_fetched_again(
    repository: RpmRepository, resolve: Resolve, server: Server
) -> None:
    repository.add(rpm("hello")).write()
    resolve("hello")
    before = len(server.requests)
    resolve("hello")
    assert [path for path, _ in server.requests[before:]] == ["/repodata/repomd.xml", "/repodata/repomd.xml.asc"]


def test_file_lists_are_fetched_only_when_a_file_dependency_needs_them(
    repository: RpmRepository, resolve: Resolve, server: Server
) -> None:
    data = rpm("data", files={"/usr/share/data/x": b"x", "/usr/bin/data": b"y"})
    repository.add(
        data, rpm("plain", requires=("/usr/bin/data",)), rpm("needs", requires=("(/usr/share/data/x or no)",))
    )
    repository.write()
    assert chosen(resolve("plain")) == ["data-1.0-1", "plain-1.0-1"]
    assert not any("filelists" in path for path, _ in server.requests)
    assert chosen(resolve("needs")) == ["data-1.0-1", "needs-1.0-1"]
    assert any("filelists" in path for path, _ in server.requests)
