"""The keyboard's layout, by the image's own programs: setupcon(1) of console-setup, which keyboard(5) configures.

systemd's own vconsole.conf(5) is not read on such systems.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from os_image_composer.chroot.job import Job, Remove, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.nearest import did_you_mean
from os_image_composer.config.spec import Keyboard
from os_image_composer.errors import StepError

_PROGRAM = ("usr/bin/setupcon", "bin/setupcon")
_NAMES = "usr/share/X11/xkb/rules/base.lst"
# What the console takes at boot instead of the file, once it is there (keyboard-setup.sh).
_CACHED = "etc/console-setup/cached_*"


def set_keyboard(
    sandbox: Sandbox, tree: Tree, keyboard: Keyboard, env: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """keyboard(5), and the console's map made from it. Raises StepError for names that the image's tables lack."""
    if not sandbox.glob(tree, *_PROGRAM):
        raise StepError(
            "keyboard-program-missing",
            "the keyboard's layout needs setupcon, which is not in the image",
            hint="add the package that has it (Debian: console-setup) to systemConfig.packages",
            key="systemConfig.keyboard",
        )
    _check(_tables(sandbox.read(tree, [_NAMES]).get(_NAMES, b"").decode("utf-8", "replace")), keyboard)
    text = (
        f'XKBMODEL="{keyboard.model}"\nXKBLAYOUT="{keyboard.layout}"\nXKBVARIANT="{keyboard.variant}"\n'
        f'XKBOPTIONS="{keyboard.options}"\n\nBACKSPACE="guess"\n'
    )
    sandbox.edit(tree, [WriteFile("/etc/default/keyboard", text.encode()), Remove(_CACHED)])
    done = sandbox.run(Job(tree, ("setupcon", "--save-only"), env=env), say)
    if done.status or not sandbox.glob(tree, f"{_CACHED}.kmap.gz"):
        raise StepError(
            "keyboard-not-set",
            f"setupcon could not make a map of the keyboard {keyboard.layout} (exit status {done.status})",
            detail=done.tail(),
            key="systemConfig.keyboard",
        )


def _tables(text: str) -> dict[str, dict[str, set[str]]]:
    """The sections of base.lst: names, each with the layouts that it belongs to (variants have one)."""
    tables: dict[str, dict[str, set[str]]] = {}
    section = ""
    for line in text.splitlines():
        words = line.split()
        if line.startswith("!"):
            section = words[-1]
        elif words:
            owner = {words[1].rstrip(":")} if section == "variant" and len(words) > 1 else set[str]()
            tables.setdefault(section, {}).setdefault(words[0], set()).update(owner)
    return tables


def _check(tables: Mapping[str, Mapping[str, set[str]]], keyboard: Keyboard) -> None:
    layouts = keyboard.layout.split(",")
    for layout in layouts:
        _expect(layout, set(tables.get("layout", ())), "layout", "")
    for layout, variant in zip(layouts, keyboard.variant.split(","), strict=False):
        known = {name for name, of in tables.get("variant", {}).items() if layout in of}
        _expect(variant, known, "variant", f" of {layout}")
    _expect(keyboard.model, set(tables.get("model", ())), "model", "")
    for option in keyboard.options.split(","):
        _expect(option, set(tables.get("option", ())), "options", "")


def _expect(name: str, known: set[str], key: str, of: str) -> None:
    if not name or name in known:
        return
    word = re.sub("s$", "", key)
    raise StepError(
        "no-such-keyboard",
        f"the image knows no keyboard {word} {name}{of}",
        hint=did_you_mean(name, known) or "see /usr/share/X11/xkb/rules/base.lst of a Linux system",
        key=f"systemConfig.keyboard.{key}",
    )
