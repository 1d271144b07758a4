"""How two EFI programs of one path differ: by their sections and signatures, of a UKI the command line too."""

from __future__ import annotations

from collections.abc import Iterator

from os_image_composer.formats.window import FormatError, Window
from os_image_composer.report.compare_files import Explain
from os_image_composer.report.differences import Area, Differences
from os_image_composer.report.efi import efi_program
from os_image_composer.report.image_file import EfiProgram, SectionInfo

_LARGEST = 1 << 30  # bytes of a program that is taken apart
_WORDS = {".cmdline": "command-line", ".uname": "kernel-release", ".osrel": "os-release", ".profile": "profile"}


def explain_program(found: Differences, prefix: str) -> Explain:
    """Tells of two programs what of them differs; says no where they are none, or only bytes between sections do."""

    def explain(path: str, a: Window, b: Window) -> bool:
        if a.head(2) != b"MZ" or b.head(2) != b"MZ" or max(a.size, b.size) > _LARGEST:
            return False
        try:
            ours, theirs = efi_program(path, a), efi_program(path, b)
        except FormatError:
            return False
        before = found.count
        found.add_fields(Area.BOOT, prefix + path, _fields(ours, theirs))
        return found.count > before

    return explain


def _fields(a: EfiProgram, b: EfiProgram) -> Iterator[tuple[str, object, object]]:
    yield "program", f"{a.kind} {a.version or ''}".rstrip(), f"{b.kind} {b.version or ''}".rstrip()
    yield "machine", a.machine, b.machine
    yield "signature", _signers(a), _signers(b)
    ours, theirs = ({s.name: s for s in program.sections} for program in (a, b))
    for name in dict.fromkeys((*ours, *theirs)):
        one, other = ours.get(name), theirs.get(name)
        if name in _WORDS and a.text.get(name) != b.text.get(name):
            yield _WORDS[name], a.text.get(name), b.text.get(name)
        else:
            yield f"section {name}", _section(one), _section(other)


def _section(section: SectionInfo | None) -> str | None:
    return None if section is None else f"{section.size} bytes, sha256 {section.sha256[:16]}…"


def _signers(program: EfiProgram) -> str:
    return " and ".join(signature.signer for signature in program.signatures) or "none"
