"""The source of every step action: which modules it is written in, and their digest."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import cast

import os_image_composer
from os_image_composer.build.step import Action, Kind
from os_image_composer.chroot.sandbox import SANDBOX_VERSION

PACKAGE = Path(os_image_composer.__file__).parent
ACCEPTED = Path(__file__).parents[1] / "build" / "step_sources.json"
# What a step runs in, not what it does. The sandbox has a version of its own, which is in every step's id.
SURROUNDINGS = ("os_image_composer.build.", "os_image_composer.errors", "os_image_composer.chroot.sandbox")
# What only says which ids, clocks and settings there are.
AROUND_THE_SANDBOX = ("os_image_composer.build.", "os_image_composer.errors", "os_image_composer.config.")


def step_sources() -> dict[str, tuple[int, str]]:
    """By the action's kind its version and the SHA-256 of the code it is made of, without comments and formatting."""
    return {kind: (version, _digest_of(paths)) for kind, (version, paths) in _steps().items()}


def step_files() -> dict[str, set[Path]]:
    """By the action's kind the files it is made of."""
    return {kind: set(paths) for kind, (_, paths) in _steps().items()}


@cache
def _steps() -> dict[str, tuple[int, list[Path]]]:
    """By the action's kind its version, its own module and all modules of this project that it imports."""
    found: dict[str, tuple[int, list[Path]]] = {}
    for folder in ("chroot", "image", "provider"):
        package = importlib.import_module(f"os_image_composer.{folder}")
        for info in pkgutil.iter_modules(package.__path__, f"os_image_composer.{folder}."):
            if info.name.endswith(".helper"):
                continue
            module = importlib.import_module(info.name)
            for _, thing in inspect.getmembers(module, inspect.isclass):
                if thing.__module__ == module.__name__ and isinstance(getattr(thing, "result", None), Kind):
                    action = cast(type[Action], thing)
                    found[action.kind] = (action.version, _paths(module))
    found["sandbox"] = (SANDBOX_VERSION, _sandbox_paths())
    return found


def _sandbox_paths() -> list[Path]:
    """Of what every step runs in: the sandbox with all it imports, its helper program, and what turns a package into
    the files that are unpacked. Which packages those are, their digests say."""
    read = [p for name in ("archive", "payload") for p in PACKAGE.glob(f"ospackage/*/{name}.py")]
    archives = [f"os_image_composer.ospackage.{p.parent.name}.{p.stem}" for p in read]
    names = _with_imports(["os_image_composer.chroot.sandbox", *archives], AROUND_THE_SANDBOX)
    paths = [_path(name) for name in names | {"os_image_composer.provider.packages"}]
    return [*paths, *(PACKAGE / "chroot" / "helper").rglob("*.py")]


def _paths(module: ModuleType) -> list[Path]:
    names = _with_imports([module.__name__], SURROUNDINGS)
    if "os_image_composer.ospackage.inventory" in names:
        # What families read for it is found by the family's name, not imported.
        read = [p for name in ("inventory", "copyright", "licence") for p in PACKAGE.glob(f"ospackage/*/{name}.py")]
        names |= _with_imports([f"os_image_composer.ospackage.{p.parent.name}.{p.stem}" for p in read], SURROUNDINGS)
    return [_path(name) for name in names]


def _with_imports(roots: list[str], without: tuple[str, ...]) -> set[str]:
    """The modules `roots` and all of this project that they import, directly or not, but those that begin with
    `without`."""
    names: set[str] = set()
    pending = list(roots)
    while pending:
        name = pending.pop()
        if name not in names:
            names.add(name)
            pending += [found for found in _imports(name) if not found.startswith(without)]
    return names


def _imports(name: str) -> list[str]:
    """Modules of this project that a module names. `from package import module` names two."""
    statements = [node for node in ast.walk(ast.parse(_path(name).read_text())) if isinstance(node, ast.ImportFrom)]
    found = []
    for node in statements:
        if node.module and node.module.startswith("os_image_composer."):
            found.append(node.module)
            below = (f"{node.module}.{alias.name}" for alias in node.names)
            found += [candidate for candidate in below if _path(candidate).is_file()]
    return found


def _path(name: str) -> Path:
    relative = name.removeprefix("os_image_composer").strip(".").replace(".", "/")
    base = PACKAGE / relative
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _digest_of(paths: list[Path]) -> str:
    texts = [ast.dump(ast.parse(path.read_text())) for path in sorted(paths)]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
