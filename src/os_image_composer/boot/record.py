"""The verdict of a boot, kept beside the image it is about.

The manifest is written by the build and never again, so a verdict has a file of its own, `NAME.verdict.json`. It names
the SHA-256 of the image that was booted: one that was built anew since is another image, and the verdict not its.
"""

from __future__ import annotations

import datetime
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from os_image_composer.build.canonical import sha256_file


def verdict_file(image: Path) -> Path | None:
    """Where the verdict of `image` goes: nowhere, unless a build of ours left its manifest beside it. Each format has a
    verdict of its own."""
    stem = image.stem if image.suffix == ".raw" else image.name
    return image.with_name(f"{stem}.verdict.json") if image.with_name(f"{image.stem}.manifest.json").is_file() else None


def record_verdict(image: Path, file: Path, verdict: Mapping[str, object], seconds: float) -> None:
    """Replace `file`. `seconds` since the epoch is when the boot ended. Raises OSError."""
    when = datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = {"version": 1, "image": image.name, "sha256": sha256_file(image), "checkedAt": when, "verdict": verdict}
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            json.dump(fields, out, indent=1, sort_keys=True)
            out.write("\n")
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
