"""What the settings file may hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from os_image_composer.config.rules import choice, wrong
from os_image_composer.config.settings import MOST_WORKERS, mirror_problem

__all__ = ["SettingsFile"]

SMALLEST_RANGE = 65536  # images use ids 0 to 65535
# Ids above 2^31 are negative to some programs; the last 16-bit and 32-bit values mean "no id" (setreuid(2)).
LARGEST_ID = 2**31 - 1


def _between(least: int, most: int) -> AfterValidator:
    def rule(value: int) -> int:
        if not least <= value <= most:
            raise wrong("wrong-value", f"cannot be {value}", f"{least} to {most}")
        return value

    return AfterValidator(rule)


def _mirror(url: str) -> str:
    problem = mirror_problem(url)
    if problem:
        raise wrong("wrong-value", problem)
    return url


def _path(value: str) -> str:
    if not value or "\0" in value:
        raise wrong("wrong-value", "is not a path")
    if value.startswith("~") and value != "~" and not value.startswith("~/"):
        raise wrong("wrong-value", "names another user's home", "write the path in full")
    return value


def _log_level(value: str) -> str:
    return choice(("debug", "info", "warning", "error"))("warning" if value == "warn" else value)


PathText = Annotated[str, AfterValidator(_path)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class LoggingSection(_Section):
    level: Annotated[str, AfterValidator(_log_level)] = "info"
    file: PathText | None = None


class IdRangeSection(_Section):
    start: Annotated[int, _between(SMALLEST_RANGE, LARGEST_ID - SMALLEST_RANGE + 1)]
    count: Annotated[int, _between(SMALLEST_RANGE, 2**20)] = SMALLEST_RANGE


class SettingsFile(_Section):
    workers: Annotated[int, _between(1, MOST_WORKERS)] | None = None
    config_dir: PathText | None = None
    cache_dir: PathText | None = None
    work_dir: PathText | None = None
    temp_dir: PathText | None = None
    logging: LoggingSection = LoggingSection()
    mirrors: dict[str, Annotated[str, AfterValidator(_mirror)]] = {}
    keyrings: list[PathText] = []
    metadata_max_age: Annotated[int, _between(0, 24 * 365)] = 24
    root_id_range: IdRangeSection | None = None
