"""GRUB's configuration: a menu with an entry for each kernel, on the screen and on the kernel's serial line.

Source: GRUB's manual, "Shell-like scripting" (quoting), "terminal_output", "serial".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SERIAL = re.compile(r"console=ttyS(\d+)(?:,(\d+))?")


@dataclass(frozen=True)
class MenuEntry:
    """`commands` are a name and its arguments each."""

    title: str
    name: str
    commands: tuple[tuple[str, ...], ...]


def linux_entry(title: str, release: str, linux: str, initrd: str, cmdline: str) -> MenuEntry:
    """An entry that starts a kernel; paths begin at the root of GRUB's own filesystem."""
    commands = (("linux", linux, *cmdline.split()), ("initrd", initrd))
    return MenuEntry(f"{title}, with Linux {release}", f"linux-{release}", commands)


def chain_entry(title: str, release: str, program: str) -> MenuEntry:
    """An entry that hands over to an EFI program, which the firmware loads and verifies."""
    return MenuEntry(f"{title}, with Linux {release}", f"linux-{release}", (("chainloader", program),))


def grub_config(entries: Sequence[MenuEntry], timeout: int, cmdline: str) -> str:
    """grub.cfg. The first entry is the default; the serial line is the last that the kernel's `cmdline` names."""
    lines = [*_terminals(cmdline), f"set timeout={timeout}", "set default=0", ""]
    for entry in entries:
        lines.append(f"menuentry {_quoted(entry.title)} --id {_quoted(entry.name)} {{")
        lines += [f"  {words[0]} {' '.join(_quoted(word) for word in words[1:])}" for words in entry.commands]
        lines += ["}", ""]
    return "\n".join(lines)


def _terminals(cmdline: str) -> list[str]:
    found = _SERIAL.findall(cmdline)
    if not found:
        return []
    unit, speed = found[-1]
    return [
        # A machine without that line has no such terminal, and keeps the screen.
        f"if serial --unit={unit} --speed={speed or 9600}; then",
        "  terminal_input console serial",
        "  terminal_output console serial",
        "fi",
    ]


def _quoted(word: str) -> str:
    """A word as GRUB's script reads it: nothing has a meaning between single quotes."""
    if re.fullmatch(r"[A-Za-z0-9_./:=,+@%-]+", word):
        return word
    return "'" + word.replace("'", "'\\''") + "'"
