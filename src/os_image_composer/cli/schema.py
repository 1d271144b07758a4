"""`schema`: the template language for editors."""

from __future__ import annotations

import json

import typer

from os_image_composer.cli.options import global_options, settings_of


def register(app: typer.Typer) -> None:
    app.command(epilog="\b\nExample:\n  os-image-composer schema > template.schema.json")(schema)


def schema(context: typer.Context) -> None:
    """Print the template language as a JSON Schema, for editors that complete and check.

    Many editors take it from a first line of the template: # yaml-language-server: $schema=template.schema.json
    """
    settings = settings_of(global_options(context))
    from os_image_composer.config.distribution_data import known_targets
    from os_image_composer.config.json_schema import template_schema

    print(json.dumps(template_schema(known_targets(settings.config_dir)), indent=1))
