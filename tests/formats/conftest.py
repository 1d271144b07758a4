from __future__ import annotations

from pathlib import Path

import pytest

from support.efi_programs import efi_program
from support.small_images import made, sample_tree


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_tree(tmp_path_factory.mktemp("sample") / "tree")


@pytest.fixture(scope="session")
def signature(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A PKCS #7 signature by a key that is made here and thrown away."""
    folder = tmp_path_factory.mktemp("signer")
    key, certificate, text = folder / "key.pem", folder / "certificate.pem", folder / "text"
    subject = "/O=Sample Works/CN=Sample Signer ä"
    made(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-utf8"),
        *("-days", "2", "-subj", subject, "-keyout", str(key), "-out", str(certificate)),
    )
    text.write_bytes(b"signed")
    return made(
        *("openssl", "smime", "-sign", "-binary", "-in", str(text), "-signer", str(certificate), "-inkey", str(key)),
        *("-outform", "DER"),
    ).stdout


@pytest.fixture(scope="session")
def signed_program(signature: bytes) -> bytes:
    sections = {".text": b"code" * 300, ".sbat": b"sbat,1\n", ".cmdline": b"quiet\0"}
    return efi_program(sections, certificate=signature)
