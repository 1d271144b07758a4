"""The source of every step action: which modules it is written in, and their digest."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import cast

import os_image_composer
from os_image_composer.build.step import Action, Kind
from os_image_composer.chroot.sandbox import SANDBOX_VERSION

ACCEPTED = Path(__file__).parents[1] / "build" / "step_sources.json"
# What a step runs in, not what it does. The sandbox has a version of its own, which is in every step's id.
SURROUNDINGS = ("os_image_composer.build.", "os_image_composer.errors", "os_image_composer.chroot.sandbox")


def step_sources() -> dict[str, tuple[int, str]]:
    """By the action's kind its version and the SHA-256 of the code it is made of: its own module and all modules of
    this project that it imports, without comments and formatting."""
    found: dict[str, tuple[int, str]] = {}
    for folder in ("chroot", "image"):
        package = importlib.import_module(f"os_image_composer.{folder}")
        for info in pkgutil.iter_modules(package.__path__, f"os_image_composer.{folder}."):
            if info.name.endswith(".helper"):
                continue
            module = importlib.import_module(info.name)
            for _, thing in inspect.getmembers(module, inspect.isclass):
                if thing.__module__ == module.__name__ and isinstance(getattr(thing, "result", None), Kind):
                    action = cast(type[Action], thing)
                    found[action.kind] = (action.version, _digest(module))
    found["sandbox"] = (SANDBOX_VERSION, _sandbox_digest())
    return found


def _sandbox_digest() -> str:
    """Of the sandbox, which every step runs in, and its helper program."""
    folder = Path(os_image_composer.__file__).parent / "chroot"
    paths = [folder / f"{name}.py" for name in ("asking", "feeding", "job", "sandbox")]
    texts = [ast.dump(ast.parse(p.read_text())) for p in sorted([*paths, *(folder / "helper").rglob("*.py")])]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _digest(module: ModuleType) -> str:
    names: set[str] = set()
    pending = [module.__name__]
    while pending:
        name = pending.pop()
        if name not in names:
            names.add(name)
            pending += _imports(name)
    texts = [ast.dump(ast.parse(_source(name))) for name in sorted(names)]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _imports(name: str) -> list[str]:
    tree = ast.parse(_source(name))
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    return [m for m in imported if m.startswith("os_image_composer.") and not m.startswith(SURROUNDINGS)]


def _source(name: str) -> str:
    relative = name.removeprefix("os_image_composer").strip(".").replace(".", "/")
    base = Path(os_image_composer.__file__).parent / relative
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    return path.read_text()
