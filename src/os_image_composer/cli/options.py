"""The flags that every verb has, and the settings that they lead to."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from os_image_composer.errors import UsageError

if TYPE_CHECKING:
    from os_image_composer.config.settings import Settings
    from os_image_composer.provider.lock_choice import LockChoice
    from os_image_composer.signing.key_files import Passphrases


MAIN_MIRROR = ""
KEY_PASSPHRASE = "OS_IMAGE_COMPOSER_KEY_PASSPHRASE"  # noqa: S105 (the name of a variable)
# Help of flags that several verbs have.
LOCKED = "Take the packages of TEMPLATE.lock, or fail where it does not fit."
OFFLINE = "Open no connection: use what is in the cache."
_CREDENTIALS = re.compile(r"//[^/@\s]*@")


class LogLevel(StrEnum):
    """How much is told: debug adds what programs print and tracebacks, warning leaves progress out."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class GlobalOptions:
    """The flags before the verb; None means not given."""

    config: Path | None = None
    log_level: LogLevel | None = None
    log_file: Path | None = None
    cache_dir: Path | None = None
    work_dir: Path | None = None
    temp_dir: Path | None = None
    config_dir: Path | None = None
    metadata_max_age: int | None = None
    workers: int | None = None
    mirrors: tuple[tuple[str, str], ...] = ()


def global_options(context: typer.Context) -> GlobalOptions:
    """What stood before the verb."""
    found = context.find_root().obj
    return found if isinstance(found, GlobalOptions) else GlobalOptions()


def parse_mirror(text: str) -> tuple[str, str]:
    """`NAME=URL`, or a bare URL, which is for the mirror of the distribution's first repository (the empty name).
    Whether it can be a mirror is for the settings to say. Raises UsageError when there is no URL."""
    name, equals, url = text.partition("=")
    bare = "://" in name or not equals
    if bare:
        name, url = MAIN_MIRROR, text
    if "://" not in url or not (name or bare):
        raise UsageError(
            "invalid-mirror",
            f"--mirror {_CREDENTIALS.sub('//(hidden)@', text)!r} names no URL",
            hint="write NAME=URL, or the URL alone for the distribution's own packages",
        )
    return name, url


def settings_of(options: GlobalOptions, *, offline: bool = False) -> Settings:
    """The settings files and the environment, with the flags over them. Raises UsageError."""
    from os_image_composer.config.settings import load_settings

    settings = load_settings(options.config, os.environ, Path.cwd())
    mirrors: dict[str, tuple[str, ...]] = {}
    for name, url in options.mirrors:
        mirrors[name] = (*mirrors.get(name, ()), url)
    return settings.with_overrides(
        cache_dir=options.cache_dir,
        work_dir=options.work_dir,
        temp_dir=options.temp_dir,
        config_dir=options.config_dir,
        metadata_max_age=options.metadata_max_age,
        workers=options.workers,
        log_level=options.log_level.value if options.log_level else None,
        log_file=options.log_file,
        mirrors=mirrors,
        offline=offline,
    )


def passphrases() -> Passphrases:
    """The passphrase of a key file: from the environment, else from whoever sits at the terminal."""
    import getpass
    import sys

    def ask(file: Path) -> bytes | None:
        given = os.environ.get(KEY_PASSPHRASE)
        if given is not None:
            return os.fsencode(given)
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return None
        return os.fsencode(getpass.getpass(f"passphrase of {file}: "))

    return ask


def own_settings_path() -> Path:
    """Where this user's settings file is, or would be."""
    from os_image_composer.config.settings import own_settings_file

    return own_settings_file(os.environ)


def lock_choice(template: Path, *, locked: bool = False, refresh: bool = False) -> LockChoice:
    """Which lock a template is built from: the one beside it, if there is one."""
    from os_image_composer.provider.lock_choice import LockChoice, lock_path

    return LockChoice(lock_path(template), locked, refresh)
