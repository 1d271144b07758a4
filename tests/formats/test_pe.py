"""Signatures in EFI programs, as far as their certificates tell."""

from __future__ import annotations

import pytest

from os_image_composer.formats.pe import parse_pe
from os_image_composer.formats.signed_data import signer_names
from os_image_composer.formats.window import FormatError, Window
from support.efi_programs import efi_program


def test_signer_of_a_program_is_named_by_its_certificate(signed_program: bytes) -> None:
    image = parse_pe(Window.of(signed_program))
    assert image.machine == "x86_64"
    assert [signer_names(blob) for blob in image.certificates] == [("O=Sample Works, CN=Sample Signer ä",)]


def test_program_without_a_certificate_table_has_no_signatures() -> None:
    assert parse_pe(Window.of(efi_program({".text": b"x"}))).certificates == ()


def test_certificate_table_beyond_the_end_of_the_file_is_an_error(signed_program: bytes) -> None:
    with pytest.raises(FormatError):
        parse_pe(Window.of(signed_program[:-200]))


def test_what_is_no_signature_is_an_error() -> None:
    for data in (b"", b"\x30\x80", b"\x30\x03\x02\x01\x01", bytes(100)):
        with pytest.raises(FormatError):
            signer_names(data)
