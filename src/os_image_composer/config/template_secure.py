"""Secure boot, as a template writes it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from os_image_composer.config.rules import choice, date
from os_image_composer.config.section import Section, Text

__all__ = ["BootKeyTemplate", "SecureBootTemplate"]


class BootKeyTemplate(Section):
    """A key of the build host and its certificate. Relative paths begin at the template's folder."""

    key: Text
    """The private key, an RSA key in PEM or DER form that only its owner can read (mode 0600)."""
    certificate: Text
    """Its X.509 certificate, PEM or DER."""
    passphrase_file: Text | None = None
    """A file with the key's passphrase in its first line, where the key has one; without it
    `OS_IMAGE_COMPOSER_KEY_PASSPHRASE` is taken from the environment, or the terminal is asked."""


class SecureBootTemplate(Section):
    """The key and certificate are those of db. Relative paths begin at the template's folder."""

    key: Text
    """The private key that signs what boots, an RSA key in PEM or DER form that only its owner can read (mode 0600)."""
    certificate: Text
    """Its X.509 certificate, PEM or DER."""
    passphrase_file: Text | None = None
    """A file with its passphrase in the first line, as below `kek`."""
    kek: BootKeyTemplate | None = None
    """The key exchange key, which signs changes of db; the db key where it is left out."""
    pk: BootKeyTemplate | None = None
    """The platform key, which signs changes of the platform and key exchange keys; the db key where it is left out."""
    trusted: list[Text] = []
    """Certificates that machines are to trust beside it, in the db that is enrolled: the next key's, a vendor's."""
    dated: Annotated[str, AfterValidator(date)] | None = None
    """The date of what is enrolled, such as `"2026-11-28"` or `"2026-11-28T18:00:00Z"`; the lock's date where it is
    left out. A machine takes other keys only if they are dated later than those it has."""
    enroll: Annotated[str, AfterValidator(choice(("manual", "if-safe", "force")))] = "manual"
    """Who enrols the keys on a machine: `manual`, its owner from the files beside the image; or systemd-boot from
    the EFI system partition, in virtual machines only (`if-safe`) or everywhere (`force`)."""
