"""Empty the cache. Files of layers belong to subordinate ids, so an ordinary `rm` cannot."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.scratch import Scratch
from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.settings import Settings
from os_image_composer.errors import StoreError

# What can be made or fetched again. Locks are kept: they say which packages the next build takes.
# The newest dates that were seen (metadata/newest-dates.json) are kept as well: without them an old mirror would be
# believed.
_LAYERS = ("store",)
_FETCHED = ("packages", "metadata")


@dataclass(frozen=True)
class Cleaned:
    """What was removed, and what was left on purpose."""

    removed: tuple[Path, ...]
    kept: tuple[Path, ...]


def clean_cache(settings: Settings, *, downloads: bool) -> Cleaned:
    """Remove results of steps and unfinished work, with `downloads` also packages and metadata. Raises StoreError
    while a build is running."""
    sandbox = Sandbox(IdMap.for_caller(settings.root_id_range), settings.temp_dir)
    if settings.temp_dir.is_dir():
        scratch = Scratch(settings.temp_dir, sandbox.remove)
        scratch.sweep()
        if any(scratch.root.glob("[0-9a-f]*.lock")):
            raise StoreError("build-running", "a build is running", hint="wait for it, or end it, and try again")
    layers = [settings.cache_dir / name for name in _LAYERS]
    fetched = [settings.cache_dir / name for name in _FETCHED] if downloads else []
    layers = [path for path in layers if (path / "results").is_dir()]
    removed = [path for path in (*layers, *fetched) if path.exists()]
    sandbox.remove(layers)
    for path in [path for path in fetched if path.is_dir()]:
        _remove_fetched(path)
    (settings.cache_dir / "published.json").unlink(missing_ok=True)
    known = [settings.cache_dir / name for name in (*_FETCHED, "locks")]
    return Cleaned(tuple(removed), tuple(path for path in known if path.exists()))


def _remove_fetched(folder: Path) -> None:
    """By the names that we give: the folder may be one that somebody named by mistake."""
    for name in ("sha256", "partial", "indexes"):
        shutil.rmtree(folder / name, ignore_errors=True)
