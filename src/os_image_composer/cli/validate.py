"""`validate`: is a template right?"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from os_image_composer.cli.errors import finding_lines
from os_image_composer.cli.options import global_options, settings_of


def register(app: typer.Typer) -> None:
    app.command(epilog="\b\nExample:\n  os-image-composer validate image-templates/debian13-x86_64-minimal-raw.yml")(
        validate
    )


def validate(
    context: typer.Context,
    templates: Annotated[list[Path], typer.Argument(metavar="TEMPLATE…", help="Image templates (YAML).")],
) -> None:
    """Check templates and say everything that is wrong with them. Needs no network and no root."""
    settings = settings_of(global_options(context))
    from os_image_composer.config.load import check_template

    wrong = 0
    for template in templates:
        findings = check_template(template, settings.config_dir)
        for finding in findings:
            for line in finding_lines(finding):
                print(line, file=sys.stderr)
        wrong += len(findings)
        if not findings:
            print(f"{template}: valid")
    if wrong:
        print(f"{wrong} finding{'s' if wrong > 1 else ''}", file=sys.stderr)
        raise typer.Exit(2)
