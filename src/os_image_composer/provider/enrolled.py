"""What machines take an image's keys from, in a folder beside it: copied there, or gone with the image it was of."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.execute import Outcome
from os_image_composer.provider.steps import ENROLMENT
from os_image_composer.signing.beside import KEYS
from os_image_composer.signing.enrolment import VARIABLES

_SUFFIXES = ("esl", "auth", "der")


def copy_enrolment(outcome: Outcome, folder: Path, stem: str) -> dict[str, str]:
    """Copy what the enrolment step made, if there was one, into a folder of `folder`; the SHA-256 of each copy by its
    name below `folder`."""
    if ENROLMENT not in outcome.results:
        return {}
    source = outcome.results[ENROLMENT].content
    assert source is not None
    own = folder / f"{stem}{KEYS}"
    shutil.copytree(source, own)
    return {f"{own.name}/{path.name}": sha256_file(path) for path in sorted(own.iterdir())}


def remove_enrolment(output: Path, stem: str) -> None:
    """Remove what a build that signed has left for an image of this name, and nothing else that lies there."""
    own = output / f"{stem}{KEYS}"
    if not own.is_dir():
        return
    for name in VARIABLES:
        for suffix in _SUFFIXES:
            (own / f"{name}.{suffix}").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # somebody else's files are in it
        own.rmdir()
