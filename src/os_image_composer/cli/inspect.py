"""`inspect`: what is in an image?"""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


def register(app: typer.Typer) -> None:
    app.command(epilog="\b\nExample:\n  os-image-composer inspect --packages workspace/minimal/minimal.raw")(inspect)


def inspect(
    image: Annotated[Path, typer.Argument(help="A raw disk image, anybody's; it is not changed.")],
    form: Annotated[Format, typer.Option("--format", help="How to say it.")] = Format.TEXT,
    packages: Annotated[
        bool, typer.Option("--packages", help="List the packages in the text; JSON and YAML always do.")
    ] = False,
    extract_sbom: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the bills of materials that are in the image into this folder."),
    ] = None,
) -> None:
    """Say what is in an image: partitions, filesystems, boot files, signatures, system, packages.

    Reads the file only: no root, no mount, no network, no program of the image. What is damaged is told under
    `findings`, and the rest is shown.
    """
    from os_image_composer.report.inspect import extract_sboms, inspect_image

    if extract_sbom is not None:
        for path in extract_sboms(image, extract_sbom):
            print(path)
        return
    info = inspect_image(image)
    if form is Format.TEXT:
        from os_image_composer.report.text import image_lines

        for line in image_lines(info, packages=packages):
            print(line)
        return
    from os_image_composer.report.value import image_value

    if form is Format.JSON:
        print(json.dumps(image_value(info), indent=1))
        return
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(image_value(info), sys.stdout)
