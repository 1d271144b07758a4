"""The entry point: flags that every verb has, the verbs, exit codes.

0 done; 1 failed; 2 used wrongly, or an invalid template; 3 `boot`: alive, but nothing else is known; 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from os_image_composer.cli import boot, build, cache, doctor, plan, schema, validate, version
from os_image_composer.cli.errors import error_lines, unexpected_lines
from os_image_composer.cli.options import GlobalOptions, LogLevel, parse_mirror
from os_image_composer.errors import ComposerError

INTERRUPTED = 130
GRACE = 4.0  # seconds for an orderly end after Ctrl-C

app = typer.Typer(
    name="os-image-composer",
    help="One YAML template in, one bootable OS image out, from the distribution's own signed packages, without root.",
    epilog="\b\nExample:\n  os-image-composer build image-templates/debian13-x86_64-minimal-raw.yml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (build, validate, plan, boot, cache, schema, doctor, version):
    module.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        version.version()
        raise typer.Exit


@app.callback()
def _globals(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings file to use.")] = None,
    log_level: Annotated[LogLevel | None, typer.Option(help="How much is told.")] = None,
    log_file: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the log here as well.")] = None,
    cache_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Packages and results of earlier builds.")
    ] = None,
    work_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Where finished images go.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="How much runs side by side.")] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=URL", help="Mirror to use (repeatable); a bare URL is for debian."),
    ] = None,
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    context.obj = GlobalOptions(
        config=config,
        log_level=log_level,
        log_file=log_file,
        cache_dir=cache_dir,
        work_dir=work_dir,
        workers=workers,
        mirrors=tuple(parse_mirror(text) for text in mirror or ()),
    )


def main() -> None:
    """What the console script calls."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code; failures are printed to standard error."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(list(arguments), prog_name="os-image-composer")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if code == INTERRUPTED:
            _print(("interrupted",))
        return code
    except KeyboardInterrupt:
        _print(("interrupted",))
        return INTERRUPTED
    except ComposerError as error:
        _print(error_lines(error))
        return error.exit_code
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        _print(error_lines(_refused(error)))
        return 1
    except Exception as error:
        _print(unexpected_lines(error, _wants_debug(arguments)))
        return 1
    return 0


def _refused(error: OSError) -> ComposerError:
    """What the host's files or devices refused, where no module had more to say about it."""
    hints = {
        errno.ENOSPC: "free some disk space",
        errno.EROFS: "the filesystem is read-only: choose another folder with --cache-dir, --work-dir or --output",
        errno.EACCES: "see who owns it and who may write there",
        errno.EPERM: "see who owns it and who may write there",
    }
    where = os.fsdecode(error.filename) if error.filename else "a file"
    return ComposerError("host-refused", f"cannot use {where}", cause=error.strerror, hint=hints.get(error.errno or 0))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """The first time, end in order, but not for longer than `GRACE`; the second time, at once. What runs in a
    sandbox or in QEMU ends with this process (their lifelines), so leaving like this leaves nothing behind."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    timer = threading.Timer(GRACE, os._exit, (INTERRUPTED,))
    timer.daemon = True
    timer.start()
    raise KeyboardInterrupt


def _wants_debug(arguments: Sequence[str]) -> bool:
    """Whether the flag is there; looked up in the text, because what failed may be the reading of the flags."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return any(a == "--log-level=debug" or (a == "--log-level" and b == "debug") for a, b in pairs)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)
