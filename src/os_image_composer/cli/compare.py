"""`compare`: how do two images, trees or locks differ?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from os_image_composer.cli.errors import as_composer_error

EPILOG = """\b
Examples:
  os-image-composer compare yesterday.raw today.raw
  os-image-composer compare --json first.lock second.lock
"""
SAME, DIFFERENT, TROUBLE = 0, 1, 2  # as diff(1)


def register(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(compare)


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A raw disk image, a folder, or a lock.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one of the same kind.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the differences as JSON, all of them.")] = False,
    show_all: Annotated[bool, typer.Option("--all", help="Also in the text: every difference.")] = False,
) -> None:
    """Say how two images, two folders or two locks differ: partitions, filesystems, boot files with their sections,
    packages, files with mode, owner, attributes, time and content, bills of materials.

    Reads only: no root, no mount, no program of the images. Exit code 0: equal, of images every byte. 1: different.
    2: one of them cannot be read, or they are not of one kind.
    """
    from os_image_composer.report.compare import compare as compared
    from os_image_composer.report.compare_text import comparison_lines
    from os_image_composer.report.value import plain_value

    try:
        comparison = compared(a, b)
    except Exception as error:  # also a fault of this program: 1 would say that they differ
        told = as_composer_error(error)
        told.exit_code = TROUBLE
        raise told from None
    if as_json:
        print(json.dumps({"equal": comparison.equal, **plain_value(comparison)}, indent=1))
    else:
        for line in comparison_lines(comparison, show_all=show_all):
            print(line)
    if not comparison.equal:
        raise typer.Exit(DIFFERENT)
