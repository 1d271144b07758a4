"""ImageSign: detached signatures of the files that a build leaves, beside them.

A stage of its own behind the interface `FileSigner`: which files, in which forms, under which names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from os_image_composer.config.settings import Signing
from os_image_composer.provider.boot_keys import passphrase_for
from os_image_composer.signing.detached import SUFFIXES, CmsFiles, FileSigner, open_openpgp
from os_image_composer.signing.key_files import Passphrases, open_key, read_certificate


def file_signers(said: Signing, passphrases: Passphrases) -> tuple[FileSigner, ...]:
    """Whoever the settings name, opened. Raises SigningError."""
    found: list[FileSigner] = []
    if said.openpgp_key is not None:
        found.append(open_openpgp(said.openpgp_key, passphrase_for(said.openpgp_passphrase_file, passphrases)))
    if said.x509_key is not None and said.x509_certificate is not None:
        certificate = read_certificate(said.x509_certificate)
        opening = passphrase_for(said.x509_passphrase_file, passphrases)
        found.append(CmsFiles(open_key(said.x509_key, certificate, opening)))
    return tuple(found)


def signature_names(name: str) -> Iterator[str]:
    """What the signatures of a file are called, whether there are any or not."""
    yield from (f"{name}{suffix}" for suffix in SUFFIXES.values())


def sign_files(files: Mapping[str, tuple[Path, str]], signers: Sequence[FileSigner], folder: Path) -> tuple[str, ...]:
    """Write into `folder` each signer's signature of each file, given by the name that it has or will have beside the
    image, with where it is now and its SHA-256. The names of what was written. Raises SigningError."""
    written = []
    for name, (path, digest) in files.items():
        for signer in signers:
            own = f"{name}{SUFFIXES[signer.form]}"
            temporary = folder / f".{own}"
            temporary.write_bytes(signer.sign(path, digest))
            temporary.replace(folder / own)
            written.append(own)
    return tuple(written)
