"""PK, KEK and db as other programs make and read them."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from os_image_composer.formats.uefi_keys import X509, read_signature_lists, read_signed_update
from os_image_composer.formats.window import FormatError
from os_image_composer.signing.enrolment import enrolment
from support.boot_keys import KeyFolder
from support.tools import host_tool

SECONDS = 1_700_000_000
DATE = datetime.fromtimestamp(SECONDS, UTC)
SIGNER = {"PK": "PK", "KEK": "PK", "db": "KEK"}


@pytest.fixture(scope="module")
def folder(keys: KeyFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("enrolment")
    for name, content in enrolment(keys.platform(), SECONDS).items():
        (made / name).write_bytes(content)
    return made


@pytest.mark.parametrize("name", ["PK", "KEK", "db"])
def test_list_is_what_sbsiglist_writes(folder: Path, tmp_path: Path, name: str) -> None:
    (entry,) = read_signature_lists((folder / f"{name}.esl").read_bytes())
    out = tmp_path / "list"
    words = ("--owner", str(entry.owner), "--type", "x509", "--output", str(out), str(folder / f"{name}.der"))
    assert host_tool("sbsiglist", *words).returncode == 0
    assert (folder / f"{name}.esl").read_bytes() == out.read_bytes()


@pytest.mark.parametrize("name", ["PK", "KEK", "db"])
def test_signed_update_is_what_sign_efi_sig_list_writes(
    keys: KeyFolder, folder: Path, tmp_path: Path, name: str
) -> None:
    signer = SIGNER[name]
    (entry,) = read_signature_lists((folder / f"{name}.esl").read_bytes())
    done = host_tool(
        *("sign-efi-sig-list", "-g", str(entry.owner), "-t", f"{DATE:%Y-%m-%d %H:%M:%S}"),
        *("-k", str(keys.file(f"{signer}.key")), "-c", str(keys.file(f"{signer}.pem"))),
        *(name, str(folder / f"{name}.esl"), str(tmp_path / "auth")),
    )
    assert done.returncode == 0, done.stderr
    assert (folder / f"{name}.auth").read_bytes() == (tmp_path / "auth").read_bytes()


def test_certificate_of_each_variable_is_the_key_owners(keys: KeyFolder, folder: Path) -> None:
    for name in ("PK", "KEK", "db"):
        der = (folder / f"{name}.der").read_bytes()
        assert der == keys.file(f"{name}.der").read_bytes()
        assert [entry.data for entry in read_signature_lists((folder / f"{name}.esl").read_bytes())] == [der]


def test_trusted_certificates_are_in_db_and_nowhere_else(keys: KeyFolder) -> None:
    files = enrolment(replace(keys.platform(), trusted=(keys.certificate("image"), keys.certificate("db"))), SECONDS)
    held = [entry.data for entry in read_signature_lists(files["db.esl"])]
    assert held == [keys.file("db.der").read_bytes(), keys.file("image.der").read_bytes()]
    assert len(read_signature_lists(files["KEK.esl"])) == 1


def test_update_is_read_back(folder: Path) -> None:
    update = read_signed_update((folder / "db.auth").read_bytes())
    assert (update.time, update.content) == (DATE, (folder / "db.esl").read_bytes())


def test_same_keys_and_date_give_the_same_files(keys: KeyFolder) -> None:
    assert enrolment(keys.platform(), SECONDS) == enrolment(keys.platform(), SECONDS)
    assert enrolment(keys.platform(), SECONDS + 1)["db.auth"] != enrolment(keys.platform(), SECONDS)["db.auth"]


@pytest.mark.parametrize(
    "data",
    [
        bytes(27),
        struct.pack("<16sIII", X509.bytes_le, 28, 0, 16),
        struct.pack("<16sIII", X509.bytes_le, 28 + 40, 0, 40) + bytes(39),
        struct.pack("<16sIII", X509.bytes_le, 28 + 40, 0xFFFFFFF0, 40) + bytes(40),
        struct.pack("<16sIII", X509.bytes_le, 0, 0, 17),
        struct.pack("<16sIII", X509.bytes_le, 28 + 17 * 2000, 0, 17) + bytes(17 * 2000),
    ],
)
def test_lists_whose_sizes_do_not_fit_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_signature_lists(data)


@pytest.mark.parametrize("cut", [0, 15, 30, 60])
def test_update_that_is_cut_off_is_refused(folder: Path, cut: int) -> None:
    with pytest.raises(FormatError):
        read_signed_update((folder / "db.auth").read_bytes()[:cut])
