"""`lock`: which packages an image is made of, written down."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from os_image_composer.cli.errors import as_composer_error
from os_image_composer.cli.options import global_options, settings_of
from os_image_composer.errors import ComposerError, UsageError

if TYPE_CHECKING:
    from os_image_composer.ospackage.lock import Lock

_WRITE = "write"
EXAMPLES = """\b
Examples:
  os-image-composer lock my-image.yml
  os-image-composer lock --update my-image.yml
  os-image-composer lock --update-package openssl my-image.yml
  os-image-composer lock diff old.lock my-image.yml.lock
"""
SAME, DIFFERENT, TROUBLE = 0, 1, 2  # as diff(1)
_DAY = 86400


class _LockGroup(TyperGroup):
    """`lock TEMPLATE` is `lock write TEMPLATE`: a template needs no verb of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [_WRITE, *args]
        return super().parse_args(ctx, args)


lock = typer.Typer(
    cls=_LockGroup,
    help="Write TEMPLATE.lock: every package of the image and of what it is made with, by version and SHA-256.\n\n"
    "`lock TEMPLATE` is `lock write TEMPLATE`, which takes --update, --update-package NAME and --as-of DATE.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(app: typer.Typer) -> None:
    app.add_typer(lock, name="lock", epilog=EXAMPLES)


@lock.command(_WRITE, epilog=EXAMPLES)
def write(
    context: typer.Context,
    template: Annotated[Path, typer.Argument(help="Image template (YAML).")],
    update: Annotated[bool, typer.Option("--update", help="Take the newest version of every package.")] = False,
    update_package: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Take the newest version of this package, and keep the rest (repeatable)."),
    ] = None,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Take what there was at the end of that day (UTC), or at that time."),
    ] = None,
) -> None:
    """Write TEMPLATE.lock, or make the one that is there fit the template again (`lock TEMPLATE` does the same).

    Without a flag, versions that are in the lock stay. `build` takes the packages of the lock as long as it fits.
    """
    if sum((update, as_of is not None, bool(update_package))) > 1:
        raise UsageError("wrong-usage", "--update, --update-package and --as-of exclude each other")
    moment = _moment(as_of) if as_of is not None else None
    settings = settings_of(global_options(context))
    from os_image_composer.build.clock import SystemClock
    from os_image_composer.cli.listening import listening
    from os_image_composer.config.load import load_image_spec
    from os_image_composer.ospackage.lock_file import read_lock
    from os_image_composer.ospackage.lock_text import dump_lock
    from os_image_composer.provider.lock_choice import lock_path
    from os_image_composer.provider.registry import provider_for
    from os_image_composer.provider.services import Services
    from os_image_composer.provider.user_file import write_user_file

    clock = SystemClock()
    if moment is not None and moment > clock.now() + _DAY:
        raise UsageError("wrong-value", f"--as-of {as_of} is in the future")
    spec = load_image_spec(template, settings.config_dir)
    path = lock_path(template)
    anew = update or moment is not None
    try:
        old = read_lock(path) if path.exists() else None
    except ComposerError as error:
        if not anew:
            raise
        print(f"warning: {path} is not taken into account: {error.cause or error.message}", file=sys.stderr)
        old = None
    if old is None and update_package:
        raise UsageError("no-lock", f"{path} does not exist", hint=f"write it first: os-image-composer lock {template}")
    with listening(settings, clock, plain=True) as listener:
        provider = provider_for(spec.target, Services(settings, clock, listener))
        provider.init()
        lock = provider.locking.renew(spec, old, update=update, packages=tuple(update_package or ()), as_of=moment)
    text = dump_lock(lock)
    if old is not None and old.lock == lock:
        newest = f"; of {', '.join(update_package)} there is nothing newer" if update_package else ""
        print(f"{path} is as it was: {_packages(lock)}{newest}")
        return
    write_user_file(path, text.encode())
    print(f"{path}: {_packages(lock)}")
    if old is not None:
        _tell(old.lock, lock)


@lock.command("diff", epilog="\b\nExample:\n  os-image-composer lock diff --markdown old.lock my-image.yml.lock")
def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="A lock.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="What became of it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the changes as JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print them for a pull request.")] = False,
) -> None:
    """Say which packages were added, removed, upgraded and downgraded from one lock to another, and what that takes.

    Exit code 0: the locks are equal. 1: they differ. 2: one of them cannot be read.
    """
    if as_json and as_markdown:
        raise UsageError("wrong-usage", "--json and --markdown exclude each other")
    from os_image_composer.ospackage.lock_file import read_lock
    from os_image_composer.report.lock_diff import diff_locks
    from os_image_composer.report.lock_diff_text import markdown_lines, text_lines
    from os_image_composer.report.value import plain_value

    try:
        found = diff_locks(read_lock(a).lock, read_lock(b).lock)
    except Exception as error:  # also a fault of this program: 1 would say that they differ
        told = as_composer_error(error)
        told.exit_code = TROUBLE
        raise told from None
    if as_json:
        print(json.dumps({"equal": found.equal, **plain_value(found)}, indent=1))
    else:
        for line in markdown_lines(found) if as_markdown else text_lines(found):
            print(line)
    if not found.equal:
        raise typer.Exit(DIFFERENT)


def _tell(before: Lock, after: Lock) -> None:
    from os_image_composer.report.lock_diff import diff_locks
    from os_image_composer.report.lock_diff_text import text_lines

    for line in text_lines(diff_locks(before, after)):
        print(line)


def _packages(lock: Lock) -> str:
    image = len(list(lock.sets["image"].packages()))
    others = len({p.sha256 for packages in lock.sets.values() for p in packages.packages()}) - image
    return f"{image} packages in the image, {max(others, 0)} more to make it with"


def _moment(text: str) -> int:
    """Seconds since the epoch: of a time in ISO 8601 with its zone, or of the last second of a day in UTC."""
    try:
        if len(text) == len("2026-01-31"):
            return int((datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)).timestamp()) - 1
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return int(moment.timestamp())
    except (ValueError, OverflowError):
        pass
    raise UsageError("wrong-value", f"--as-of cannot be {text!r}", hint="write 2026-01-31 or 2026-01-31T12:00:00Z")
