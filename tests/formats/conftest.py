from __future__ import annotations

from pathlib import Path

import pytest

from support.efi_programs import efi_program, signature_blob
from support.small_images import sample_tree


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_tree(tmp_path_factory.mktemp("sample") / "tree")


@pytest.fixture(scope="session")
def signature(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A PKCS #7 signature by a key that is made here and thrown away."""
    return signature_blob(tmp_path_factory.mktemp("signer"))


@pytest.fixture(scope="session")
def signed_program(signature: bytes) -> bytes:
    sections = {".text": b"code" * 300, ".sbat": b"sbat,1\n", ".cmdline": b"quiet\0"}
    return efi_program(sections, certificate=signature)
