"""Can this host boot images? It can build them without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from os_image_composer.boot.firmware import USUAL
from os_image_composer.boot.qemu import PROGRAM, SEARCH
from os_image_composer.chroot.check import Check, HostFacts, State

_MISSING = "not installed: images can be built, but not booted"


def examine_boot(host: HostFacts) -> Iterator[Check]:
    """QEMU and a UEFI firmware for it."""
    places = (_on(host, Path(folder, PROGRAM)) for folder in SEARCH.split(":"))
    qemu = next((path for path in places if path.is_file()), None)
    mend = "apt install qemu-system-x86 (Debian, Ubuntu), dnf install qemu-system-x86-core (Fedora)"
    yield Check("qemu", State.OK, str(qemu)) if qemu else Check("qemu", State.WARNING, _MISSING, mend)

    pairs = ((_on(host, f.code), _on(host, f.variables)) for f in USUAL)
    code = next((code for code, variables in pairs if code.is_file() and variables.is_file()), None)
    name, mend = "uefi firmware", "apt install ovmf (Debian, Ubuntu), dnf install edk2-ovmf (Fedora)"
    yield Check(name, State.OK, str(code)) if code else Check(name, State.WARNING, _MISSING, mend)


def _on(host: HostFacts, path: Path) -> Path:
    return host.root / path.relative_to("/")
