"""Which packages a name in a template means, as dnf understands it: `name`, `name.arch`, `name-version`,
`name-version-release` and `name-epoch:version-release`, each also with `.arch`; else what one of the packages provides;
else an absolute path. A plain name also means what obsoletes the packages of that name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import solv

from os_image_composer.config.nearest import nearest
from os_image_composer.errors import SolveError
from os_image_composer.ospackage.requested import all_requested, looked_in, unknown_package
from os_image_composer.ospackage.rpm.pool import PackagePool, version_of

# Architectures that a request may name beside the target's own, and noarch: 32-bit packages on a 64-bit system.
_COMPATIBLE = {"x86_64": ("i386", "i486", "i586", "i686")}
_ARCHES = ("x86_64", "aarch64", "noarch", "src", *_COMPATIBLE["x86_64"])


@dataclass(frozen=True)
class Requested:
    """The ids of the packages of which one must be there; `foreign` when they are of another architecture, which the
    request then names."""

    text: str
    candidates: tuple[int, ...]
    foreign: bool


def requested(pool: PackagePool, texts: Sequence[str]) -> tuple[Requested, ...]:
    """Packages of another architecture are offered by the pool from now on where one of the texts names it. Raises
    SolveError `unknown-package`, `unknown-version`, `foreign-architecture`, `no-old-versions`; several together as
    `unknown-packages`."""
    others = _COMPATIBLE.get(pool.arch, ())
    pool.allow(end for text in texts for end in (text.rpartition(".")[2],) if end in others)
    names = [r.locked.name for r in pool.repositories]
    return all_requested(texts, lambda text: _requested(pool, text), names)


def _requested(pool: PackagePool, text: str) -> Requested:
    found = _found(pool, text)
    if not found:
        raise _unknown(pool, text)
    foreign = all(s.arch not in (pool.arch, "noarch") for s in found)
    return Requested(text, tuple(dict.fromkeys(s.id for s in found)), foreign)


def _found(pool: PackagePool, text: str) -> list[solv.XSolvable]:
    named = pool.named(text)
    if named:
        own = [s for s in named if s.arch in (pool.arch, "noarch")]
        return [*(own or named), *pool.obsoleting(named)]
    for bare, arch in _with_arch(pool, text):
        found = pool.named(bare) if arch else []
        found = found or [s for name, rest in _splits(bare) for s in pool.named(name) if _is_version(s, rest)]
        found = [s for s in found if arch in (None, s.arch)]
        if found:
            return found
    return pool.providing(text) or (pool.holding(text) if text.startswith("/") else [])


def _with_arch(pool: PackagePool, text: str) -> Iterator[tuple[str, str | None]]:
    bare, _, arch = text.rpartition(".")
    if arch in (pool.arch, "noarch", *_COMPATIBLE.get(pool.arch, ())):
        yield bare, arch
    yield text, None


def _splits(text: str) -> Iterator[tuple[str, str]]:
    """`a-b-1-2` as name and version: (a-b-1, 2), (a-b, 1-2); neither a version nor a release can hold a hyphen."""
    parts = text.split("-")
    for count in (1, 2):
        if len(parts) > count:
            yield "-".join(parts[:-count]), "-".join(parts[-count:])


def _is_version(solvable: solv.XSolvable, wanted: str) -> bool:
    epoch, _, rest = str(solvable.evr).rpartition(":")
    wanted_epoch, _, wanted_rest = wanted.rpartition(":")
    if wanted_epoch and wanted_epoch != (epoch or "0"):
        return False
    return wanted_rest in (rest, rest.rpartition("-")[0])


def _unknown(pool: PackagePool, text: str) -> SolveError:
    name, sign, version = text.partition("=")
    if sign and pool.named(name):
        hint = f"write {name}-{version}"
        return SolveError("bad-package-name", f"{text} is not how a version is asked for here", hint=hint)
    for name, _ in _splits(next(_with_arch(pool, text))[0]):
        there = pool.named(name)
        if there:
            versions = ", ".join(f"{version_of(s)} ({s.repo.name})" for s in sorted(there, key=lambda s: s.id))
            wanted = text.removeprefix(f"{name}-")
            return SolveError("unknown-version", f"{name} is not there as {wanted}", cause=f"there is {versions}")
    name, _, arch = text.rpartition(".")
    there = pool.named(name) if arch in _ARCHES else []
    if there:
        arches = ", ".join(sorted({s.arch for s in there}))
        return SolveError(
            "foreign-architecture",
            f"{name} is not there for {arch}",
            cause=f"there is {arches}",
            hint=f"write {name}; the image is {pool.arch}",
        )
    later = pool.built_later(text)
    if later:
        return SolveError(
            "no-old-versions",
            f"no repository keeps a version of {text} from before the date that was asked for",
            cause="there is " + ", ".join(f"{version_of(s)} ({s.repo.name}), built later" for s in later),
            hint="name a later date, or a mirror that keeps old versions",
        )
    repositories = [r.locked.name for r in pool.repositories]
    if text.startswith("/"):
        return _unknown_file(pool, text, repositories)
    if "(" in text:
        return SolveError(
            "unknown-package",
            f"no package provides {text}",
            cause=looked_in(repositories),
            hint="check its spelling, or name the package",
        )
    return unknown_package(
        text, sorted(pool.names()), repositories, "check the name and the distribution's repositories"
    )


def _unknown_file(pool: PackagePool, path: str, repositories: Sequence[str]) -> SolveError:
    there = tuple(dict.fromkeys(pool.like_file(path)))
    same = sorted(other for other in there if other.rpartition("/")[2] == path.rpartition("/")[2])
    near = same[:3] or nearest(there, path)
    return SolveError(
        "unknown-package",
        f"no package has the file {path}",
        cause=looked_in(repositories),
        hint=f"did you mean {', '.join(near)}?" if near else "check the path, or name the package",
    )
