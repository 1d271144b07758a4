"""`keys`: keys for trying out secure boot and signed files."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

keys = typer.Typer(
    help="Keys that sign what boots, and the files of a build.", no_args_is_help=True, rich_markup_mode=None
)
EXAMPLES = """\b
Example:
  os-image-composer keys generate keys
"""
WARNING = (
    "warning: these keys are for development. Whoever can read the folder can sign. Manifests and builds name them so; "
    "make keys for use elsewhere, and keep them where nobody else can read them"
)


def register(app: typer.Typer) -> None:
    app.add_typer(keys, name="keys", epilog=EXAMPLES)


@keys.callback()
def _keys() -> None:
    pass


@keys.command(epilog=EXAMPLES)
def generate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    bits: Annotated[str, typer.Option(metavar="2048|3072|4096", help="Size of the RSA keys.")] = "2048",
) -> None:
    """Make development keys: PK, KEK and db for secure boot, and keys for images, SBOMs and manifests.

    Prints what a template, and then a build, say to use them.
    """
    from os_image_composer.build.clock import SystemClock
    from os_image_composer.signing.generate import generate as make_keys

    if bits not in ("2048", "3072", "4096"):
        raise typer.BadParameter("2048, 3072 or 4096", param_hint="--bits")
    for path in make_keys(folder, int(bits), SystemClock().now()):
        print(path, file=sys.stderr)
    print(WARNING, file=sys.stderr)
    print(_snippet(folder))


def _snippet(folder: Path) -> str:
    own = folder.absolute()
    # Indented as a part of systemConfig is: pasted at the end of a template it is one.
    lines = ["  # in the template, below systemConfig:", "  secureBoot:"]
    lines += _pair(own, "db", "    ")
    for name, key in (("KEK", "kek"), ("PK", "pk")):
        lines += [f"    {key}:", *_pair(own, name, "      ")]
    files = (
        f"--sign-openpgp {shlex.quote(str(own / 'image.pgp'))}",
        f"--sign-x509 {shlex.quote(str(own / 'image.key'))}",
        f"--sign-certificate {shlex.quote(str(own / 'image.pem'))}",
    )
    return "\n".join(
        [*lines, "# signed files beside the image:", f"# os-image-composer build {' '.join(files)} TEMPLATE"]
    )


def _pair(folder: Path, name: str, indent: str) -> list[str]:
    # As JSON, a path is YAML whatever is in it.
    return [
        f"{indent}key: {json.dumps(str(folder / f'{name}.key'))}",
        f"{indent}certificate: {json.dumps(str(folder / f'{name}.pem'))}",
    ]
