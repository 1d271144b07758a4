"""`version`: which program this is."""

from __future__ import annotations

import typer

from os_image_composer import __version__


def register(app: typer.Typer) -> None:
    app.command(epilog="\b\nExample:\n  os-image-composer version")(version)


def version() -> None:
    """Print the version."""
    print(f"os-image-composer {__version__}")
