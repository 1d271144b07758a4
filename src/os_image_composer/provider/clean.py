"""What the cache holds, and emptying it. Files of layers belong to subordinate ids, so an ordinary `du` cannot look
into all of them, and an ordinary `rm` cannot remove them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.inventory import Kept, forget, inventory, plain_size
from os_image_composer.build.scratch import Scratch
from os_image_composer.build.step import Kind
from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.settings import Settings
from os_image_composer.errors import StoreError

# What can be made or fetched again. Locks are kept: they say which packages the next build takes.
# The newest dates that were seen (metadata/newest-dates.json) are kept as well: without them an old mirror would be
# believed.
_LAYERS = ("store",)
_FETCHED = ("packages", "metadata")
_OWN = ("sha256", "partial", "indexes")
DAY = 86400.0


@dataclass(frozen=True)
class Entry:
    """A result of a step, with its size in bytes."""

    kept: Kept
    size: int


@dataclass(frozen=True)
class Area:
    """A part of the cache: what it holds, how many files or results, how many bytes."""

    name: str
    holds: str
    path: Path
    count: int
    size: int


@dataclass(frozen=True)
class Cleaned:
    """What was removed (or would be), and what was left on purpose."""

    removed: tuple[Path, ...]
    kept: tuple[Path, ...]


def list_results(settings: Settings) -> tuple[Entry, ...]:
    """The results of steps, the one that was used last first."""
    found = inventory(settings.cache_dir / "store")
    if not any(kept.kind is Kind.TREE for kept in found):
        return tuple(Entry(kept, _plain(kept)) for kept in found)
    settings.temp_dir.mkdir(parents=True, exist_ok=True)
    sandbox = Sandbox(IdMap.for_caller(settings.root_id_range), settings.temp_dir)

    def size(kept: Kept) -> int:
        if kept.kind is Kind.TREE and kept.content is not None:
            return sandbox.survey(Tree((kept.content,))).bytes
        return _plain(kept)

    return tuple(Entry(kept, size(kept)) for kept in found)


def measure(settings: Settings) -> tuple[Area, ...]:
    """The parts of the cache, measured."""
    cache = settings.cache_dir
    results = list_results(settings)
    parts = [
        Area("results", "results of steps", cache / "store", len(results), sum(entry.size for entry in results)),
        Area("logs", "output of steps", cache / "store" / "logs", *plain_size(cache / "store" / "logs")),
    ]
    for name, holds in (
        ("packages", "package files by SHA-256"),
        ("metadata", "repository indexes by SHA-256"),
        ("locks", "the packages that builds took"),
    ):
        parts.append(Area(name, holds, cache / name, *plain_size(cache / name)))
    return tuple(parts)


def clean_cache(
    settings: Settings, *, downloads: bool, unused: float | None = None, now: float = 0.0, dry_run: bool = False
) -> Cleaned:
    """Remove results of steps and unfinished work, with `downloads` also packages and metadata. With `unused` only
    what no build has used for so many days before `now` (seconds since the epoch); with `dry_run` only say it. Raises
    StoreError while a build is running."""
    sandbox = Sandbox(IdMap.for_caller(settings.root_id_range), settings.temp_dir)
    if settings.temp_dir.is_dir():
        scratch = Scratch(settings.temp_dir, sandbox.remove)
        scratch.sweep()
        if any(scratch.root.glob("[0-9a-f]*.lock")):
            raise StoreError("build-running", "a build is running", hint="wait for it, or end it, and try again")
    if unused is not None:
        return _clean_unused(settings, sandbox, now - unused * DAY, downloads=downloads, dry_run=dry_run)
    layers = [settings.cache_dir / name for name in _LAYERS]
    fetched = [settings.cache_dir / name for name in _FETCHED] if downloads else []
    fetched = [path for path in fetched if any((path / name).is_dir() for name in _OWN)]
    layers = [path for path in layers if (path / "results").is_dir()]
    removed = [path for path in (*layers, *fetched) if path.exists()]
    if not dry_run:
        sandbox.remove(layers)
        for path in fetched:
            _remove_fetched(path)
        (settings.cache_dir / "published.json").unlink(missing_ok=True)
    known = [settings.cache_dir / name for name in (*_FETCHED, "locks")]
    return Cleaned(tuple(removed), tuple(path for path in known if path.exists() and path not in removed))


def _clean_unused(settings: Settings, sandbox: Sandbox, before: float, *, downloads: bool, dry_run: bool) -> Cleaned:
    store = settings.cache_dir / "store"
    stale = [kept for kept in inventory(store) if kept.used < before]
    files = _stale_files(settings, before) if downloads else []
    if not dry_run:
        sandbox.remove([kept.folder for kept in stale])
        forget(store, frozenset(kept.key for kept in stale))
        for path in files:
            path.unlink(missing_ok=True)
    return Cleaned((*(kept.folder for kept in stale), *files), ())


def _stale_files(settings: Settings, before: float) -> list[Path]:
    """Fetched files that nobody has read since; most filesystems note the first reading of each day."""
    found = [
        path
        for area in _FETCHED
        for name in _OWN
        for path in (settings.cache_dir / area / name).rglob("*")
        if path.is_file()
    ]
    return [path for path in found if _last_read(path) < before]


def _last_read(path: Path) -> float:
    status = path.stat()
    return max(status.st_atime, status.st_mtime)


def _plain(kept: Kept) -> int:
    return plain_size(kept.content)[1] if kept.content is not None else 0


def _remove_fetched(folder: Path) -> None:
    """By the names that we give: the folder may be one that somebody named by mistake."""
    for name in _OWN:
        shutil.rmtree(folder / name, ignore_errors=True)
