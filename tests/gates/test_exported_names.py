"""What the parts offer to each other and to the user, on record: it changes on purpose or not at all.

The record is exported_names.txt. After a wanted change: `python tests/gates/test_exported_names.py`.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
RECORD = Path(__file__).with_name("exported_names.txt")
# The doors: values that pass between the parts, and what the front end calls.
DOORS = (
    "errors",
    "boot.trial",
    "boot.verdict",
    "build.clock",
    "build.events",
    "build.plan",
    "chroot.job",
    "chroot.process",
    "cli.main",
    "config.distribution",
    "config.load",
    "config.settings",
    "config.spec",
    "ospackage.lock",
    "provider.interface",
    "provider.registry",
    "provider.services",
)


def exported(module: str) -> list[str]:
    """Public classes and functions that the module itself defines, and the public members of its classes."""
    path = ROOT / "src" / "os_image_composer" / f"{module.replace('.', '/')}.py"
    names = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            names.append(node.name)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            names += [f"{node.name}.{m}" for m in sorted(_members(node)) if not m.startswith("_")]
    return names


def _members(node: ast.ClassDef) -> set[str]:
    found = set()
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            found.add(item.name)
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            found.add(item.target.id)
        elif isinstance(item, ast.Assign):
            found |= {t.id for t in item.targets if isinstance(t, ast.Name)}
    return found


def present() -> str:
    return "".join(f"{module} {name}\n" for module in DOORS for name in sorted(exported(module)))


def test_exported_names_are_those_on_record() -> None:
    now, recorded = set(present().splitlines()), set(RECORD.read_text().splitlines())
    message = f"new: {sorted(now - recorded)}; gone: {sorted(recorded - now)}; see the top of {Path(__file__).name}"
    assert now == recorded, message


if __name__ == "__main__":
    RECORD.write_text(present())
