"""`verify`: is an image what somebody signed?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from os_image_composer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from os_image_composer.report.verify import Check

_EXAMPLE = (
    "\b\nExample:\n  os-image-composer verify --openpgp keys/image.asc --db keys/db.pem workspace/minimal/minimal.raw"
)


def register(app: typer.Typer) -> None:
    app.command(epilog=_EXAMPLE)(verify)


def verify(
    image: Annotated[Path, typer.Argument(help="A raw disk image with its manifest beside it; it is not changed.")],
    openpgp: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="OpenPGP certificate that signs files (repeatable)."),
    ] = None,
    x509: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="X.509 certificate that signs files, or its issuer's (repeatable)."),
    ] = None,
    db: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="X.509 certificate that signs what boots (repeatable)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Say whether an image, and what is in it, was signed with the keys that you trust.

    Image, bills of materials and manifest by the signatures beside them; keys to enrol by the manifest; every EFI
    program by its own; a sealed root by the root hash in the signed command line, to its last block. Exit code 1 when
    anything is not as it was signed.
    """
    if not (openpgp or x509 or db):
        raise UsageError(
            "wrong-usage",
            "no key was given, and an image cannot vouch for itself",
            hint="give the public keys that you trust: --openpgp or --x509 for files, --db for what boots",
        )
    from os_image_composer.build.clock import SystemClock
    from os_image_composer.ospackage.openpgp import keyring_of
    from os_image_composer.report.file_signatures import Trusted
    from os_image_composer.report.verify import passed, verify_image
    from os_image_composer.signing.key_files import read_certificates

    now = SystemClock().now()
    keyring = keyring_of(openpgp, now) if openpgp else None
    trusted = Trusted(keyring, [c for file in x509 or () for c in read_certificates(file)], now)
    checks = verify_image(image, trusted, [c for file in db or () for c in read_certificates(file)])
    if as_json:
        value = [{"what": c.what, "state": c.state.value, "detail": c.detail} for c in checks]
        print(json.dumps({"passed": passed(checks), "checks": value}, indent=1))
    else:
        for line in _lines(checks):
            print(line)
    if not passed(checks):
        raise typer.Exit(1)


def _lines(checks: Sequence[Check]) -> Iterator[str]:
    """What an image says of itself is shown without what could move the cursor."""
    from os_image_composer.report.text import printable
    from os_image_composer.report.verify import State

    for check in checks:
        yield printable(f"{check.state.value:<6}  {check.what}: {check.detail}")
    failed = sum(check.state is State.FAILED for check in checks)
    yield f"{failed} of {len(checks)} checks failed" if failed else "verified: everything that was checked is as signed"
