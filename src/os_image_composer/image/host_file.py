"""A file of the build host is what the plan was made from, or nothing is built of it."""

from __future__ import annotations

from pathlib import Path

from os_image_composer.errors import StepError


def changed(source: Path) -> StepError:
    message = f"{source} changed while the image was built"
    return StepError("additional-file-changed", message, hint="start the build again")
