"""Where in the user's files an error belongs: layers below know what was asked for, not who wrote it where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from os_image_composer.config.spec import ImageSpec, package_key
from os_image_composer.errors import ComposerError
from os_image_composer.ospackage.explanation import NotInstallableError

T = TypeVar("T")


def placed_in_template(spec: ImageSpec, run: Callable[[], T]) -> T:
    """What `run` gives; an error that names keys of the template gets the places where they were written."""
    try:
        return run()
    except ComposerError as error:
        if isinstance(error, NotInstallableError):
            error.tell(lambda request: _asked(spec, request), _unchangeable(spec))
        if error.key is not None and error.origin is None:
            error.origin = spec.origin(error.key)
        error.findings = tuple(
            replace(f, origin=spec.origin(f.key)) if f.key is not None and f.origin is None else f
            for f in error.findings
        )
        raise


def _asked(spec: ImageSpec, request: str | None) -> str | None:
    """Who asks for a package, and where."""
    if request is None:
        return "every system has it"
    origin = spec.origin(package_key(request))
    if origin is None:
        return None
    label = next((group.label for group in spec.package_groups if request in group.packages), "")
    who = "asked for by the OS default template" if label == "default" else "asked for"
    return f"{who} at {origin.file}:{origin.line}"


def _unchangeable(spec: ImageSpec) -> tuple[str, ...]:
    """What the OS default template asks for: no template takes it away."""
    return tuple(name for group in spec.package_groups if group.label == "default" for name in group.packages)
