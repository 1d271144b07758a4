"""The keys that a template names for secure boot: which they are, and whether they can be used.

`immutability.secureBootDBKey`, `…Crt` and `…Cer` are the words of the tool's predecessor for `secureBoot.key` and
`secureBoot.certificate`; they end in the same value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from os_image_composer.config import spec
from os_image_composer.config.findings import Location, key_path, where
from os_image_composer.config.rules import seconds
from os_image_composer.config.template import Immutability
from os_image_composer.config.template_secure import BootKeyTemplate, SecureBootTemplate
from os_image_composer.config.yaml_source import MappingNode, ScalarNode, SequenceNode
from os_image_composer.errors import Finding, Origin, SigningError

__all__ = ["check_secure_boot", "secure_boot_spec"]

SECURE_BOOT = ("systemConfig", "secureBoot")
IMMUTABILITY = ("systemConfig", "immutability")
T = TypeVar("T")
OLD_KEY, OLD_PEM, OLD_DER = OLD = ("secureBootDBKey", "secureBootDBCrt", "secureBootDBCer")


def secure_boot_spec(
    said: SecureBootTemplate | None, old: Immutability | None, origins: Mapping[str, Origin]
) -> spec.SecureBoot | None:
    """The merged template's keys with absolute paths; None where it names none."""

    def local(text: str, *location: int | str) -> Path:
        return _local(text, origins[key_path(location)])

    def pair(keys: BootKeyTemplate | SecureBootTemplate, *location: str) -> spec.BootKey:
        passphrase = keys.passphrase_file
        return spec.BootKey(
            local(keys.key, *location, "key"),
            local(keys.certificate, *location, "certificate"),
            local(passphrase, *location, "passphraseFile") if passphrase else None,
            key_path(location),
        )

    if said is not None:
        return spec.SecureBoot(
            db=pair(said, *SECURE_BOOT),
            kek=pair(said.kek, *SECURE_BOOT, "kek") if said.kek else None,
            pk=pair(said.pk, *SECURE_BOOT, "pk") if said.pk else None,
            trusted=tuple(local(text, *SECURE_BOOT, "trusted", n) for n, text in enumerate(said.trusted)),
            enroll=said.enroll,
            dated=seconds(said.dated) if said.dated else None,
        )
    if old is not None and old.secure_boot_db_key and old.secure_boot_db_crt:
        key = local(old.secure_boot_db_key, *IMMUTABILITY, OLD_KEY)
        certificate = local(old.secure_boot_db_crt, *IMMUTABILITY, OLD_PEM)
        return spec.SecureBoot(spec.BootKey(key, certificate, None, key_path((*IMMUTABILITY, OLD_KEY))))
    return None


def check_secure_boot(merged: MappingNode) -> Iterator[Finding]:
    """What is wrong with the keys of the merged template. Keys that have a passphrase are not opened here."""
    said, old = _section(merged, SECURE_BOOT), _section(merged, IMMUTABILITY)
    if old is not None:
        yield from _old_words(merged, old, said)
    if said is None:
        return
    for location in (SECURE_BOOT, (*SECURE_BOOT, "kek"), (*SECURE_BOOT, "pk")):
        yield from _pair(merged, (*location, "key"), (*location, "certificate"))
        yield from _readable(merged, (*location, "passphraseFile"))
    trusted = said.get("trusted")
    for number in range(len(trusted.items) if isinstance(trusted, SequenceNode) else 0):
        yield from _certificate(merged, (*SECURE_BOOT, "trusted", number))
    iso = _text(merged, ("target", "imageType")) == "iso"  # it has systemd-boot beside GRUB
    provider = None if iso else _text(merged, ("systemConfig", "bootloader", "provider"))
    if _text(merged, (*SECURE_BOOT, "enroll")) in ("if-safe", "force") and provider not in (None, "systemd-boot"):
        place = where(merged, (*SECURE_BOOT, "enroll"))
        message = (
            f"'{key_path((*SECURE_BOOT, 'enroll'))}' asks systemd-boot to enrol keys; the boot loader is {provider}"
        )
        yield Finding("boot-combination", message, place, "enroll: manual")


def _old_words(merged: MappingNode, old: MappingNode, said: MappingNode | None) -> Iterator[Finding]:
    """All three or none; once, and not in two ways; the two certificates are one."""
    given = [word for word in OLD if old.get(word) is not None]
    if not given:
        return
    first = where(merged, (*IMMUTABILITY, given[0]), key=True)
    if said is not None:
        message = f"'{key_path((*IMMUTABILITY, given[0]))}' says what 'systemConfig.secureBoot' says, too"
        yield Finding("duplicate-value", message, first, "remove one of the two")
        return
    if len(given) < len(OLD):
        missing = ", ".join(word for word in OLD if word not in given)
        message = f"'{key_path(IMMUTABILITY)}' has {', '.join(given)} without {missing}"
        yield Finding(
            "missing-key", message, first, "give all three, or systemConfig.secureBoot with key and certificate"
        )
        return
    if (enabled := old.get("enabled")) is not None and isinstance(enabled, ScalarNode) and enabled.value is False:
        message = f"'{key_path((*IMMUTABILITY, OLD_KEY))}' is part of a sealed root, and 'enabled' is false"
        yield Finding("wrong-value", message, first, "systemConfig.secureBoot signs what boots of any image")
    yield from _pair(merged, (*IMMUTABILITY, OLD_KEY), (*IMMUTABILITY, OLD_PEM))
    yield from _same(merged, (*IMMUTABILITY, OLD_PEM), (*IMMUTABILITY, OLD_DER))


def _pair(merged: MappingNode, key: Location, certificate: Location) -> Iterator[Finding]:
    from os_image_composer.signing.key_files import check_boot_key, read_certificate

    key_text, certificate_text = _text(merged, key), _text(merged, certificate)
    if key_text is None or certificate_text is None:
        return
    place = where(merged, certificate)
    found, findings = _tried(place, lambda: read_certificate(_local(certificate_text, place)))
    yield from findings
    if found is not None:
        place = where(merged, key)
        yield from _tried(place, lambda: check_boot_key(_local(key_text, place), found))[1]


def _certificate(merged: MappingNode, location: Location) -> Iterator[Finding]:
    from os_image_composer.signing.key_files import read_certificates

    text = _text(merged, location)
    if text is not None:
        place = where(merged, location)
        yield from _tried(place, lambda: read_certificates(_local(text, place)))[1]


def _same(merged: MappingNode, one: Location, other: Location) -> Iterator[Finding]:
    from os_image_composer.signing.key_files import read_certificate

    one_text, other_text = _text(merged, one), _text(merged, other)
    if one_text is None or other_text is None:
        return
    first, _ = _tried(where(merged, one), lambda: read_certificate(_local(one_text, where(merged, one))))
    place = where(merged, other)
    second, findings = _tried(place, lambda: read_certificate(_local(other_text, place)))
    yield from findings
    if first is not None and second is not None and first != second:
        message = f"'{key_path(other)}' is another certificate than '{key_path(one)}'"
        yield Finding("certificate-differs", message, place, "convert it: openssl x509 -in CRT -outform DER -out CER")


def _readable(merged: MappingNode, location: Location) -> Iterator[Finding]:
    from os_image_composer.signing.key_files import check_private

    text = _text(merged, location)
    if text is not None:
        place = where(merged, location)
        yield from _tried(place, lambda: check_private(_local(text, place)))[1]


def _tried(place: Origin, run: Callable[[], T]) -> tuple[T | None, tuple[Finding, ...]]:
    """What `run` gives, or what it finds wrong with the file that is named at `place`."""
    try:
        return run(), ()
    except SigningError as error:
        cause = f": {error.cause}" if error.cause else ""
        return None, (Finding(error.reference, error.message + cause, place, error.hint),)


def _local(text: str, origin: Origin) -> Path:
    return (Path(origin.file).parent / text).resolve()


def _section(merged: MappingNode, location: Location) -> MappingNode | None:
    found = _at(merged, location)
    return found if isinstance(found, MappingNode) else None


def _text(merged: MappingNode, location: Location) -> str | None:
    found = _at(merged, location)
    if isinstance(found, ScalarNode) and isinstance(found.value, str) and "\0" not in found.value:
        return found.value
    return None


def _at(merged: MappingNode, location: Location) -> object:
    found: object = merged
    for part in location:
        if isinstance(part, int):
            found = found.items[part] if isinstance(found, SequenceNode) else None
        else:
            found = found.get(part) if isinstance(found, MappingNode) else None
    return found
