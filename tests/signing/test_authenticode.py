"""EFI programs that are signed here, as other programs see them."""

from __future__ import annotations

from pathlib import Path

import pefile
import pytest

from os_image_composer.errors import SigningError
from os_image_composer.formats.authenticode import image_digest
from os_image_composer.formats.pe import parse_pe
from os_image_composer.formats.window import Window
from os_image_composer.report.program_signatures import FoundSignature, program_signatures, trusted_signer
from os_image_composer.signing.authenticode import signed_program
from support.boot_keys import KeyFolder
from support.efi_programs import efi_program
from support.tools import host_tool

PROGRAM = efi_program({".text": b"code" * 1000, ".data": b"\x01" * 700, ".sbat": b"sbat,1\n"})


def found(program: bytes) -> tuple[FoundSignature, ...]:
    return program_signatures(parse_pe(Window.of(program)), Window.of(program))


def sbverify(program: bytes, certificate: Path, folder: Path) -> bool:
    path = folder / "program.efi"
    path.write_bytes(program)
    return host_tool("sbverify", "--cert", str(certificate), str(path)).returncode == 0


def test_sbverify_accepts_what_is_signed_here(keys: KeyFolder, tmp_path: Path) -> None:
    signed = signed_program(PROGRAM, keys.signer(), "a")
    assert sbverify(signed, keys.file("db.pem"), tmp_path)
    assert not sbverify(signed, keys.file("KEK.pem"), tmp_path)


def test_what_sbsign_signed_holds_here_too(keys: KeyFolder, tmp_path: Path) -> None:
    (tmp_path / "a.efi").write_bytes(PROGRAM)
    db = ("--key", str(keys.file("db.key")), "--cert", str(keys.file("db.pem")))
    assert host_tool("sbsign", *db, "--output", str(tmp_path / "b.efi"), str(tmp_path / "a.efi")).returncode == 0
    (one,) = found((tmp_path / "b.efi").read_bytes())
    assert (one.fault, one.certificate) == (None, keys.certificate())


def test_same_key_and_program_give_the_same_bytes(keys: KeyFolder) -> None:
    assert signed_program(PROGRAM, keys.signer(), "a") == signed_program(PROGRAM, keys.signer(), "a")


def test_digest_is_the_one_that_firmware_tools_compute(keys: KeyFolder, tmp_path: Path) -> None:
    (tmp_path / "a.efi").write_bytes(PROGRAM)
    done = host_tool("hash-to-efi-sig-list", str(tmp_path / "a.efi"), str(tmp_path / "a.hash"))
    assert done.returncode == 0
    assert image_digest(parse_pe(Window.of(PROGRAM)), Window.of(PROGRAM)) in (tmp_path / "a.hash").read_bytes()


def test_signing_leaves_the_digest_as_it_was_and_the_checksum_right(keys: KeyFolder) -> None:
    signed = signed_program(PROGRAM, keys.signer(), "a")
    assert image_digest(parse_pe(Window.of(PROGRAM)), Window.of(PROGRAM)) == image_digest(
        parse_pe(Window.of(signed)), Window.of(signed)
    )
    assert pefile.PE(data=signed).verify_checksum()
    assert len(signed) % 8 == 0


@pytest.mark.parametrize("length", range(8))
def test_program_of_any_length_is_padded_before_it_is_signed(keys: KeyFolder, tmp_path: Path, length: int) -> None:
    signed = signed_program(PROGRAM + b"\x07" * length, keys.signer(), "a")
    assert sbverify(signed, keys.file("db.pem"), tmp_path)
    assert [one.fault for one in found(signed)] == [None]


def test_second_signature_leaves_the_first(keys: KeyFolder, tmp_path: Path) -> None:
    twice = signed_program(signed_program(PROGRAM, keys.signer("KEK"), "a"), keys.signer("db"), "a")
    assert [one.certificate for one in found(twice)] == [keys.certificate("KEK"), keys.certificate("db")]
    assert sbverify(twice, keys.file("db.pem"), tmp_path)
    assert sbverify(twice, keys.file("KEK.pem"), tmp_path)


def test_every_byte_that_can_change_what_runs_is_covered(keys: KeyFolder) -> None:
    """All of the program but its checksum, and the table's own entry, which the reader follows."""
    signed = signed_program(PROGRAM, keys.signer(), "a")
    image = parse_pe(Window.of(signed))
    free = {*range(image.checksum_at, image.checksum_at + 4), *range(image.table_at, image.table_at + 8)}
    for at in (n for n in range(0, image.table[0], 37) if n not in free):
        changed = bytearray(signed)
        changed[at] ^= 0x40
        try:
            signatures = found(bytes(changed))
        except ValueError:
            continue
        assert trusted_signer(signatures, [keys.certificate()]) is None, at


def test_changed_program_is_told_from_a_changed_signature(keys: KeyFolder) -> None:
    signed = bytearray(signed_program(PROGRAM, keys.signer(), "a"))
    signed[0x800] ^= 1
    assert [one.fault for one in found(bytes(signed))] == ["the program was changed after it was signed"]
    signed[0x800] ^= 1
    signed[-8 - 100] ^= 1
    (one,) = found(bytes(signed))
    assert one.fault is not None
    assert "not valid" in one.fault


def test_signature_of_another_program_is_none(keys: KeyFolder) -> None:
    signed = signed_program(PROGRAM, keys.signer(), "a")
    blob = parse_pe(Window.of(signed)).certificates[0]
    other = efi_program({".text": b"evil" * 1000}, certificate=blob)
    assert [one.fault for one in found(other)] == ["the program was changed after it was signed"]


def test_nobody_is_trusted_who_is_not_given(keys: KeyFolder) -> None:
    signed = found(signed_program(PROGRAM, keys.signer(), "a"))
    assert trusted_signer(signed, [keys.certificate()]) == signed[0]
    assert trusted_signer(signed, [keys.certificate("KEK"), keys.certificate("PK")]) is None
    assert trusted_signer(signed, []) is None


@pytest.mark.parametrize("data", [b"", b"MZ", b"#!/bin/sh\n", PROGRAM[:300]])
def test_what_is_no_program_is_not_signed(keys: KeyFolder, data: bytes) -> None:
    with pytest.raises(SigningError) as caught:
        signed_program(data, keys.signer(), "loader/odd.efi")
    assert caught.value.reference == "not-signable"
    assert "loader/odd.efi" in caught.value.message
