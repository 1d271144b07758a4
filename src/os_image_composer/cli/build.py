"""`build`: one template in, one image out."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from os_image_composer.cli.options import LOCKED, OFFLINE, global_options, lock_choice, passphrases, settings_of
from os_image_composer.cli.summary import shown
from os_image_composer.errors import UsageError

if TYPE_CHECKING:
    from os_image_composer.cli.progress import JsonLines
    from os_image_composer.config.settings import Settings
    from os_image_composer.provider.interface import Published
    from os_image_composer.provider.lock_choice import LockChoice
    from os_image_composer.provider.verify import Verdict


def register(app: typer.Typer) -> None:
    app.command(epilog="\b\nExample:\n  os-image-composer build image-templates/debian13-x86_64-minimal-raw.yml")(build)


def build(
    context: typer.Context,
    template: Annotated[Path, typer.Argument(help="Image template (YAML).")],
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the image goes.")] = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the mirror for newer packages.")] = False,
    locked: Annotated[bool, typer.Option("--locked", help=LOCKED)] = False,
    offline: Annotated[bool, typer.Option("--offline", help=OFFLINE)] = False,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take lock, packages and keys from FILE, and open no connection."),
    ] = None,
    sign_openpgp: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sign the files with this OpenPGP key.")
    ] = None,
    sign_x509: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sign the files with this key, of --sign-certificate.")
    ] = None,
    sign_certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The X.509 certificate of --sign-x509.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Build a second time from an empty store, and compare.")
    ] = False,
    json_events: Annotated[
        bool, typer.Option("--json-events", help="Print events as JSON lines on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the images' paths and nothing else.")] = False,
) -> None:
    """Build the image that a template describes.

    The packages are those of TEMPLATE.lock where there is one that fits (`lock` writes it), else those of the last
    build, else what the mirror has now.
    """
    settings = settings_of(global_options(context), offline=offline or bundle is not None)
    settings = settings.with_overrides(openpgp_key=sign_openpgp, x509_key=sign_x509, x509_certificate=sign_certificate)
    from os_image_composer.build.clock import SystemClock
    from os_image_composer.cli.listening import listening
    from os_image_composer.cli.progress import JsonLines
    from os_image_composer.config.load import load_image_spec

    clock = SystemClock()
    json_lines = JsonLines(sys.stdout, clock) if json_events else None
    spec = load_image_spec(template, settings.config_dir)
    # After the template was read: what is wrong with it is said at once.
    from os_image_composer.provider.registry import provider_for
    from os_image_composer.provider.services import Services

    choice = lock_choice(template, locked=locked, refresh=refresh)
    with listening(settings, clock, json_lines, quiet) as listener:
        if bundle is not None and refresh:
            raise UsageError("wrong-usage", "--bundle and --refresh exclude each other")
        if bundle is not None:
            choice = _unpacked(bundle, settings, choice)
        provider = provider_for(spec.target, Services(settings, clock, listener, passphrases()))
        provider.init()
        preparation = provider.pre_process(spec, choice, output=output and output.absolute())
        published = provider.build_image(preparation)
        verdict = provider.verify(published) if verify else None
    _tell(published, json_lines, quiet)
    if verdict is not None:
        if not verdict.equal:
            raise verdict.error()
        _tell_verified(verdict, json_lines, quiet)


def _unpacked(bundle: Path, settings: Settings, choice: LockChoice) -> LockChoice:
    """The lock of a bundle, to which the build keeps. Raises UsageError `bundle-differs` where the template has another
    lock beside it."""
    from os_image_composer.ospackage.bundle import unpack_bundle
    from os_image_composer.provider.publish import own_folder

    own_folder(settings.cache_dir)
    brought = unpack_bundle(bundle, settings.cache_dir).lock
    if choice.file is not None and choice.file.exists() and choice.file.read_bytes() != brought.read_bytes():
        raise UsageError(
            "bundle-differs",
            f"{bundle} was made from another lock than {choice.file}",
            hint="write the bundle again from this lock, or remove the lock",
        )
    return replace(choice, file=brought, locked=True, bundle=bundle)


def _tell(published: Published, json_lines: JsonLines | None, quiet: bool) -> None:
    from os_image_composer.cli.summary import result_fields, summary_lines

    if json_lines is not None:
        json_lines.say("result", result_fields(published))
    elif quiet:
        for file in published.artifacts:
            print(file.path)
    else:
        for line in summary_lines(published, program_words()):
            print(line)


def _tell_verified(verdict: Verdict, json_lines: JsonLines | None, quiet: bool) -> None:
    if json_lines is not None:
        json_lines.say("verified", {"equal": verdict.equal, "seconds": round(verdict.seconds, 3)})
    elif not quiet:
        print(f"verified  a second build from an empty store gave the same bits ({verdict.seconds:.1f} s)")


def program_words() -> str:
    """How this program can be called again: by its name where the shell finds it, else by its path."""
    name = "os-image-composer"
    called = Path(sys.argv[0]).absolute()
    found = shutil.which(name)
    return name if called.name != name or (found and Path(found).samefile(called)) else str(shown(called))
