"""Which lock a build takes: the one beside the template where it fits, else the one that the last build kept, else
what the mirror has now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.events import Listener, Note
from os_image_composer.config.spec import ImageSpec
from os_image_composer.errors import FetchError, UsageError
from os_image_composer.ospackage.lock import Lock
from os_image_composer.ospackage.lock_file import LockFile, read_lock
from os_image_composer.provider.implicit_lock import ImplicitLock
from os_image_composer.provider.lock_fit import Asked, check_signers, differences


@dataclass(frozen=True)
class LockChoice:
    """What was asked for. `file` is where a lock of the template would be; with `locked` it must be there and fit;
    with `refresh` the mirror is asked for newer packages. `bundle` is the one that brought the lock, if one did."""

    file: Path | None = None
    locked: bool = False
    refresh: bool = False
    bundle: Path | None = None


ANY_LOCK = LockChoice()


@dataclass(frozen=True)
class ChosenLock:
    """`file` where the lock is somebody's file, and not one that a build keeps for itself."""

    lock: Lock
    file: LockFile | None = None


def lock_path(template: Path) -> Path:
    """Where the lock of a template is, or would be."""
    return template.with_name(f"{template.name}.lock")


def explicit_lock(spec: ImageSpec, choice: LockChoice, asked: Asked, listener: Listener) -> LockFile | None:
    """The lock beside the template, where there is one that fits; how one that does not fit differs is told. Raises
    UsageError `no-lock`, `lock-differs`, `locked-and-refresh`, TrustError `lock-signer`, MetadataError `bad-lock`."""
    if choice.file is None or not choice.file.exists():
        if choice.locked:
            where = f"{choice.file} does not exist" if choice.file else "no lock was named"
            raise UsageError(
                "no-lock", "there is no lock to keep to", cause=where, hint="write it: os-image-composer lock TEMPLATE"
            )
        return None
    if choice.refresh:
        raise UsageError(
            "locked-and-refresh",
            f"the packages of this template are those of {choice.file}",
            cause="--refresh asks the mirror for newer ones",
            hint="os-image-composer lock --update TEMPLATE takes newer packages into the lock",
        )
    file = read_lock(choice.file)
    found = differences(file, spec, asked)
    if not found:
        check_signers(file, asked)
        listener(Note("info", f"the packages are those of {choice.file}"))
        return file
    if choice.locked:
        raise UsageError(
            "lock-differs",
            f"{choice.file} is not a lock for this template as it is now",
            hint="os-image-composer lock TEMPLATE makes it fit again and keeps the versions that it has"
            + (f"; the bundle {choice.bundle} is to be written again then" if choice.bundle else ""),
            findings=found,
        )
    for finding in found:
        listener(Note("warning", str(finding)))
    listener(
        Note(
            "warning",
            f"{choice.file} does not fit the template, so it is not used; "
            "os-image-composer lock TEMPLATE makes it fit again, --locked makes this an error",
        )
    )
    return None


def implicit_lock(
    kept: ImplicitLock, max_age: float | None, refresh: bool, resolve: Callable[[], Lock], listener: Listener
) -> Lock:
    """The lock that the last build kept, unless it is older than `max_age` seconds or is to be refreshed; else what
    `resolve` gives, which is kept then."""
    lock = None if refresh else kept.read(max_age)
    if lock is not None:
        return lock
    if kept.damage:
        damaged = f"the lock of the last build, {kept.path}, is damaged ({kept.damage})"
        listener(Note("warning", f"{damaged}: the mirror is asked which packages to take"))
    try:
        return kept.renew(resolve())
    except FetchError as error:
        lock = None if refresh else kept.read(None)
        if lock is None:
            raise
        listener(Note("warning", f"no mirror answers ({error.message}); the packages of the last build are taken"))
        return lock
