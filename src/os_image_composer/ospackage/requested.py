"""What is wrong with the texts that ask for packages, all of it at once; the same for every package family."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from os_image_composer.config.nearest import nearest
from os_image_composer.config.spec import package_key
from os_image_composer.errors import Finding, SolveError

P = TypeVar("P")


def all_requested(texts: Iterable[str], requested: Callable[[str], P], repositories: Sequence[str]) -> tuple[P, ...]:
    """What `requested` gives for each text. Raises the SolveError that it raises, with the key under which the
    template's places are known; where it raises several, `unknown-packages` with all of them as findings."""
    found: list[P] = []
    failed: list[SolveError] = []
    for text in texts:
        try:
            found.append(requested(text))
        except SolveError as error:
            error.key = package_key(text)
            failed.append(error)
    if len(failed) == 1:
        raise failed[0]
    if failed:
        searched = looked_in(repositories)
        raise SolveError(
            "unknown-packages",
            f"{len(failed)} packages that were asked for cannot be had",
            cause=searched,
            findings=tuple(Finding(e.reference, _with_cause(e, searched), hint=e.hint, key=e.key) for e in failed),
        )
    return tuple(found)


def unknown_package(text: str, names: Iterable[str], repositories: Sequence[str], otherwise: str) -> SolveError:
    """`unknown-package`, with the nearest of `names` as a hint, or `otherwise` where none is near."""
    near = nearest(names, text)
    return SolveError(
        "unknown-package",
        f"there is no package {text}",
        cause=looked_in(repositories),
        hint=f"did you mean {', '.join(near)}?" if near else otherwise,
    )


def looked_in(repositories: Iterable[str]) -> str:
    return f"looked in {', '.join(repositories)}"


def _with_cause(error: SolveError, said: str) -> str:
    return f"{error.message}: {error.cause}" if error.cause and error.cause != said else error.message
