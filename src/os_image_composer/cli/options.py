"""The flags that every verb has, and the settings that they lead to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from os_image_composer.errors import UsageError

if TYPE_CHECKING:
    from os_image_composer.config.settings import Settings


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
    workers: int | None = None
    mirrors: tuple[tuple[str, str], ...] = ()


def global_options(context: typer.Context) -> GlobalOptions:
    """What stood before the verb."""
    found = context.find_root().obj
    return found if isinstance(found, GlobalOptions) else GlobalOptions()


def parse_mirror(text: str) -> tuple[str, str]:
    """`NAME=URL`, or a bare URL for the mirror `debian`; whether it can be a mirror is for the settings to say.
    Raises UsageError when there is no URL."""
    name, equals, url = text.partition("=")
    if "://" in name or not equals:
        name, url = "debian", text
    if not name or "://" not in url:
        raise UsageError(
            "invalid-mirror",
            f"--mirror {text!r} names no URL",
            hint="write NAME=URL, such as debian=https://mirror.example/debian, or the URL alone for debian",
        )
    return name, url


def settings_of(options: GlobalOptions) -> Settings:
    """The settings files and the environment, with the flags over them. Raises UsageError."""
    from os_image_composer.config.settings import load_settings

    settings = load_settings(options.config, os.environ, Path.cwd())
    mirrors: dict[str, tuple[str, ...]] = {}
    for name, url in options.mirrors:
        mirrors[name] = (*mirrors.get(name, ()), url)
    return settings.with_overrides(
        cache_dir=options.cache_dir,
        work_dir=options.work_dir,
        workers=options.workers,
        log_level=options.log_level.value if options.log_level else None,
        log_file=options.log_file,
        mirrors=mirrors,
    )
