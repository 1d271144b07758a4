"""What is refused of an RPM file, each fault with its own error; and what is read of a good one."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from os_image_composer.errors import MetadataError, TrustError
from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.ospackage.openpgp import Keyring
from os_image_composer.ospackage.rpm import payload
from os_image_composer.ospackage.rpm.package import check_package, read_package
from os_image_composer.ospackage.rpm.payload import open_payload_tar, packaged_files
from support.deb_repository import SigningKey
from support.rpm_package import BIN, INT32, PACKERS, STRING, STRINGS, Content, MadeRpm, detached, rpm

FILES = {
    "/etc/empty": Content(),
    "/usr/bin/tool": Content(b"#!/bin/sh\n" * 5000, 0o755),
    "/usr/bin/again": Content(same_as="/usr/bin/tool"),
    "/usr/lib/tool": Content(directory=True),
    "/usr/lib/tool/link": Content(link="../../bin/tool"),
    "/var/log/tool.log": Content(ghost=True),
}


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey()


@pytest.fixture
def made() -> MadeRpm:
    return rpm("hello", "1:2.0-3", arch="x86_64", license="MIT AND Apache-2.0", files=FILES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hello.rpm"


def keyring(*keys: SigningKey) -> Keyring:
    return Keyring(tuple(k.certificate for k in keys), tuple(k.fingerprint for k in keys))


def wanted(package: MadeRpm) -> LockedPackage:
    path = f"Packages/{package.file_name}"
    return LockedPackage(package.name, package.evr, package.arch, "test", path, 1, "0" * 64, 1, False, "hello", ())


def refused(path: Path, data: bytes, made: MadeRpm, ring: Keyring | None, reference: str) -> str:
    path.write_bytes(data)
    with pytest.raises((TrustError, MetadataError)) as caught:
        check_package(path, wanted(made), ring)
    assert caught.value.reference == reference, caught.value
    return str(caught.value)


def test_signed_package_is_accepted_and_read(path: Path, made: MadeRpm, key: SigningKey) -> None:
    path.write_bytes(made.signed(key))
    signed = check_package(path, wanted(made), keyring(key))
    assert signed is not None
    assert signed.signers == (key.fingerprint,)
    package = read_package(path)
    assert (package.name, package.evr, package.arch) == ("hello", "1:2.0-3", "x86_64")
    assert package.licence == "MIT AND Apache-2.0"
    assert [f.path for f in packaged_files(package)] == list(FILES)


def test_changed_header_is_refused(path: Path, made: MadeRpm, key: SigningKey) -> None:
    data = made.signed(key)
    refused(path, data.replace(b"MIT AND", b"MIT  OR"), made, keyring(key), "header-changed")


def test_changed_header_with_its_digest_renewed_is_refused(path: Path, made: MadeRpm, key: SigningKey) -> None:
    other = replace(made, license="Proprietary").header(made.payload())
    refused(path, made.data(made.signature(key), header=other), made, keyring(key), "bad-signature")


def test_changed_payload_is_refused(path: Path, made: MadeRpm, key: SigningKey) -> None:
    changed = bytearray(made.payload())
    changed[-9] ^= 1
    refused(path, made.data(made.signature(key), payload=bytes(changed)), made, keyring(key), "payload-changed")
    refused(path, made.signed(key) + b"\0", made, keyring(key), "payload-changed")
    refused(path, made.signed(key)[:-1], made, keyring(key), "payload-changed")


def test_package_signed_with_the_key_of_another_repository_is_refused(
    path: Path, made: MadeRpm, key: SigningKey
) -> None:
    other = SigningKey("Other")
    assert key.fingerprint in refused(path, made.signed(other), made, keyring(key), "unknown-signer")
    check_package(path, wanted(made), keyring(other))


def test_unsigned_package_is_refused(path: Path, made: MadeRpm, key: SigningKey) -> None:
    refused(path, made.data(), made, keyring(key), "package-not-signed")


def test_unsigned_package_is_accepted_where_its_repository_signs_none(path: Path, made: MadeRpm) -> None:
    path.write_bytes(made.data())
    assert check_package(path, wanted(made), None) is None
    changed = bytearray(made.payload())
    changed[-9] ^= 1
    refused(path, made.data(payload=bytes(changed)), made, None, "payload-changed")


def test_signature_of_another_package_is_refused(path: Path, made: MadeRpm, key: SigningKey) -> None:
    refused(path, made.data(rpm("other").signature(key)), made, keyring(key), "bad-signature")


def test_signature_of_the_old_form_is_no_signature(path: Path, made: MadeRpm, key: SigningKey) -> None:
    whole = made.header(made.payload()) + made.payload()
    data = made.data((1005, detached(key, whole)))
    assert "given up" in refused(path, data, made, keyring(key), "package-not-signed")


def test_rubbish_in_place_of_a_signature_is_refused(path: Path, made: MadeRpm, key: SigningKey) -> None:
    for rubbish in (b"\0" * 40, b"rubbish", bytes(key.certificate)):
        path.write_bytes(made.data((268, rubbish)))
        with pytest.raises(TrustError):
            check_package(path, wanted(made), keyring(key))


def test_one_valid_signature_of_several_is_enough(path: Path, made: MadeRpm, key: SigningKey) -> None:
    tag, foreign = made.signature(SigningKey("Other"))
    path.write_bytes(made.data((268, foreign), (tag, made.signature(key)[1])))
    assert check_package(path, wanted(made), keyring(key)) is not None


@pytest.mark.parametrize("other", [rpm("hallo", "1:2.0-3"), rpm("hello", "2.0-3"), rpm("hello", "1:2.0-4")])
def test_signed_package_that_is_another_one_is_refused(
    path: Path, made: MadeRpm, key: SigningKey, other: MadeRpm
) -> None:
    refused(path, replace(other, arch="x86_64").signed(key), made, keyring(key), "wrong-package")


def test_package_of_another_architecture_is_refused(path: Path, made: MadeRpm, key: SigningKey) -> None:
    refused(path, replace(made, arch="aarch64").signed(key), made, keyring(key), "wrong-package")


@pytest.mark.parametrize("tags", [{5092: None}, {5093: (INT32, [2])}, {5093: None}])
def test_header_that_does_not_cover_the_payload_is_refused(
    path: Path, made: MadeRpm, key: SigningKey, tags: dict[int, None]
) -> None:
    weak = replace(made, tags=tags)
    refused(path, weak.signed(key), made, keyring(key), "payload-not-covered")


def malformed() -> dict[str, bytes]:
    made = rpm("hello", files=FILES)
    good = made.data()
    start = good.index(b"\x8e\xad\xe8\x01", 100)  # of the header

    def poked(offset: int, data: bytes) -> bytes:
        return good[: start + offset] + data + good[start + offset + len(data) :]

    return {
        "empty": b"",
        "no rpm": b"rubbish" * 100,
        "a source package": good[:6] + b"\0\1" + good[8:],
        "cut in the lead": good[:50],
        "cut in the signature": good[:120],
        "cut in the header": good[: start + 200],
        "no header": good[:start] + b"\0" * 400,
        "another header version": poked(3, b"\2"),
        "entries without end": poked(8, b"\xff\xff\xff\xff"),
        "data without end": poked(12, b"\xff\xff\xff\xff"),
        "no entries": poked(8, b"\0\0\0\0"),
        "offset outside": poked(16 + 16 + 8, b"\x7f\xff\xff\xff"),
        "count outside": poked(16 + 16 + 12, b"\x7f\xff\xff\xff"),
        "unknown type": poked(16 + 16 + 4, b"\0\0\0\x2a"),
        "a tag twice": poked(16 + 32, good[start + 32 : start + 36]),
        "a name that is a number": replace(made, tags={1000: (INT32, [7])}).data(),
        "an epoch that is text": replace(made, tags={1003: (STRING, "one")}).data(),
        "unknown compression": replace(made, tags={1125: (STRING, "lzip")}).data(),
        "no cpio": replace(made, tags={1124: (STRING, "zip")}).data(),
    }


@pytest.mark.parametrize("what", malformed())
def test_malformed_package_is_told(path: Path, what: str) -> None:
    path.write_bytes(malformed()[what])
    with pytest.raises(MetadataError) as caught:
        check_package(path, wanted(rpm("hello")), None)
    assert caught.value.reference == "bad-package"


@pytest.mark.parametrize(
    "tags",
    [
        {1117: (STRINGS, ["../../etc/passwd"] * len(FILES))},
        {1118: (STRINGS, ["usr/bin/", "/usr/lib/", "/usr/lib/tool/", "/var/log/", "/etc/"])},
        {1116: (INT32, [99] * len(FILES))},
        {1030: (INT32, [1])},
        {1036: (BIN, b"x")},
    ],
    ids=["leads-out", "relative", "no-folder", "too-few", "wrong-type"],
)
def test_malformed_list_of_files_is_told(path: Path, made: MadeRpm, tags: dict[int, tuple[int, object]]) -> None:
    path.write_bytes(replace(made, tags=tags).data())
    with pytest.raises(MetadataError) as caught, open_payload_tar(path) as stream:
        stream.read()
    assert caught.value.reference == "bad-package"


# -- payload ------------------------------------------------------------------------------------------------------


def unpacked(path: Path) -> dict[str, tarfile.TarInfo]:
    with open_payload_tar(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        return {member.name: member for member in archive}


@pytest.mark.parametrize("compressor", PACKERS)
@pytest.mark.parametrize("stripped", [False, True], ids=["newc", "07070X"])
def test_payload_is_read_in_each_form(path: Path, made: MadeRpm, compressor: str, stripped: bool) -> None:
    path.write_bytes(replace(made, compressor=compressor, stripped=stripped).data())
    with open_payload_tar(path) as stream:
        data = stream.read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = {m.name: m for m in archive}
        assert set(members) == {f".{p}" for p in FILES if not FILES[p].ghost}
        for name in ("./usr/bin/tool", "./usr/bin/again"):
            content = archive.extractfile(name)
            assert content is not None
            assert content.read() == FILES["/usr/bin/tool"].data
    assert sorted(m.type for m in members.values()) == [b"0", b"0", b"1", b"2", b"5"]
    assert members["./usr/bin/again"].mode == 0o755
    assert members["./usr/lib/tool/link"].linkname == "../../bin/tool"
    assert {(m.uid, m.gid, m.mtime) for m in members.values()} == {(0, 0, 1_700_000_000)}


def test_device_nodes_are_left_out(path: Path) -> None:
    path.write_bytes(rpm("dev", files={"/dev/null": Content(device=True), "/dev/x": b"x"}).data())
    assert set(unpacked(path)) == {"./dev/x"}


def odd_archives() -> dict[str, bytes]:
    plain = rpm("x", files={"/a": b"aaaa", "/b": b"bbbb"}).archive()
    return {
        "another name": plain.replace(b"./a\0", b"./z\0"),
        "a name that leads out": plain.replace(b"./a\0", b"/..\0"),
        "another size": plain.replace(b"%08x" % 4, b"%08x" % 8, 1),
        "another type": plain.replace(b"%08x" % 0o100644, b"%08x" % 0o120777, 1),
        "no hex": plain[:14] + b"-0000001" + plain[22:],
        "no magic": b"070702" + plain[6:],
        "no end": plain[: plain.index(b"TRAILER") - 110],
        "cut": plain[:130],
        "endless name": plain[:94] + b"7fffffff" + plain[102:],
        "empty": b"",
        "a number that is not there": rpm("x", files={"/a": b"aaaa"}, stripped=True)
        .archive()
        .replace(b"07070X00000000", b"07070X00000009"),
    }


@pytest.mark.parametrize("what", odd_archives())
def test_archive_that_does_not_agree_with_the_header_is_refused(path: Path, what: str) -> None:
    made = rpm("x", files={"/a": b"aaaa", "/b": b"bbbb"})
    path.write_bytes(made.data(payload=PACKERS["zstd"](odd_archives()[what])))
    with pytest.raises(MetadataError) as caught, open_payload_tar(path) as stream:
        stream.read()
    assert caught.value.reference == "bad-package"


def test_file_that_gets_no_content_is_refused(path: Path) -> None:
    files = {"/a": b"aaaa", "/b": Content(same_as="/a")}
    archive = rpm("x", files=files).archive()
    half = archive[: archive.index(b"07070100", 8)] + archive[archive.index(b"TRAILER") - 110 :]
    path.write_bytes(rpm("x", files=files).data(payload=PACKERS["zstd"](half)))
    with pytest.raises(MetadataError), open_payload_tar(path) as stream:
        stream.read()


@pytest.mark.parametrize("compressor", PACKERS)
def test_payload_that_is_damaged_is_told(path: Path, made: MadeRpm, compressor: str) -> None:
    squeezed = replace(made, compressor=compressor)
    for payload_ in (squeezed.payload()[:40], squeezed.payload()[: len(squeezed.payload()) // 2], b""):
        path.write_bytes(squeezed.data(payload=payload_))
        with pytest.raises(MetadataError) as caught, open_payload_tar(path) as stream:
            stream.read()
        assert caught.value.reference == "bad-package"


def test_payload_that_expands_without_end_is_refused(
    path: Path, made: MadeRpm, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(made.data())
    monkeypatch.setattr(payload, "MAX_PAYLOAD", 10_000)
    with pytest.raises(MetadataError) as caught, open_payload_tar(path) as stream:
        stream.read()
    assert "more than" in str(caught.value.cause)
