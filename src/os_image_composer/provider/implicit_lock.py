"""The lock that a build keeps for a template that has none: by what is asked for, not by where the template lies.

The mirror is asked again with `--refresh`, or when the last answer is older than a setting; while it gives the same
packages the lock stays as it is, dates included, and so do the image's bits.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path

from os_image_composer.build.clock import Clock
from os_image_composer.build.flock import locked
from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.lock import Lock, LockedRepository
from os_image_composer.ospackage.lock_file import parse_lock
from os_image_composer.ospackage.lock_text import dump_lock


class ImplicitLock:
    """The lock file of one request; `key` is a hash over everything that resolution depends on."""

    def __init__(self, folder: Path, key: str, clock: Clock) -> None:
        self.path = folder / f"{key}.lock"
        self.clock = clock
        self.damage: str | None = None

    def read(self, max_age: float | None) -> Lock | None:
        """The lock, unless there is none, it cannot be read, or it is older than `max_age` seconds. `damage` says why
        one that is there cannot be read."""
        try:
            age = self.clock.now() - self.path.stat().st_mtime
            lock = parse_lock(self.path.read_text("utf-8"), str(self.path))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, MetadataError) as error:
            self.damage = (error.cause or error.message) if isinstance(error, MetadataError) else str(error)
            return None
        return lock if max_age is None or age <= max_age else None

    def renew(self, resolved: Lock) -> Lock:
        """Keep `resolved`, or the lock that is there if it names the same packages, with the mirrors that served now;
        its age starts anew."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Two builds at once take one lock, dates included: the second finds what the first has kept.
        with locked(self.path.with_suffix(".lock-lock")):
            kept = self.read(None)
            lock = renewed(kept, resolved) if kept is not None else resolved
            temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
            temporary.write_text(dump_lock(lock))
            now = self.clock.now()
            os.utime(temporary, (now, now))
            temporary.replace(self.path)
            return lock


def renewed(old: Lock, new: Lock) -> Lock:
    """`new`, or `old` with the mirrors of `new` where the two differ by nothing but these and the dates of metadata: so
    that what asks for the newest without there being anything newer changes no bit of an image."""
    if replace(old, source_date_epoch=0, repositories=_undated(old)) != replace(
        new, source_date_epoch=0, repositories=_undated(new)
    ):
        return new
    urls = [r.url for r in new.repositories]
    return replace(old, repositories=tuple(replace(r, url=u) for r, u in zip(old.repositories, urls, strict=True)))


def _undated(lock: Lock) -> tuple[LockedRepository, ...]:
    return tuple(replace(r, url="", date=0, valid_until=None, metadata_sha256="") for r in lock.repositories)
