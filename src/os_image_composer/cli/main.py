"""The entry point: flags that every verb has, the verbs, exit codes.

0 done; 1 failed; 2 used wrongly, or an invalid template; 3 `boot`: alive, but nothing else is known; 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from os_image_composer.cli import (
    boot,
    build,
    bundle,
    cache,
    compare,
    completion,
    config,
    convert,
    doctor,
    env,
    fetch,
    inspect,
    keys,
    lock,
    plan,
    schema,
    validate,
    verify,
    version,
)
from os_image_composer.cli.errors import as_composer_error, error_fields, error_lines, unexpected_lines
from os_image_composer.cli.options import GlobalOptions, LogLevel, parse_mirror
from os_image_composer.errors import ComposerError, UsageError

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
_EVERY_DAY = (build, validate, plan, lock, fetch, bundle, boot, convert, inspect, verify, compare)
_AROUND_IT = (keys, cache, env, config, schema, doctor, completion, version)
for module in (*_EVERY_DAY, *_AROUND_IT):
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
    temp_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Unfinished work; on the cache's filesystem.")
    ] = None,
    config_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The distributions' data: the folder that holds osv.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="How much runs side by side.")] = None,
    mirror: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=URL", help="Mirror to use (repeatable); a bare URL is for the distribution's own."),
    ] = None,
    metadata_max_age: Annotated[
        int | None, typer.Option(min=0, max=8760, metavar="HOURS", help="When to ask the mirror again by itself.")
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
        temp_dir=temp_dir,
        config_dir=config_dir,
        metadata_max_age=metadata_max_age,
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
            return _failed(KeyboardInterrupt(), arguments)
        if code == UsageError.exit_code:
            _say_as_event(UsageError("wrong-usage", "the command line cannot be understood"), arguments)
        return code
    except BaseException as error:
        return _failed(error, arguments)
    return 0


def _failed(error: BaseException, arguments: Sequence[str]) -> int:
    """Tell a failure, to people and, where events were asked for, to programs; its exit code."""
    told = as_composer_error(error)
    if isinstance(error, BrokenPipeError):
        # Whoever read the output has left; standard output is flushed once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if told.reference == "interrupted":
        _print(("interrupted",))
    elif told.reference == "internal":
        _print(unexpected_lines(error, _wants_debug(arguments)))
    else:
        _print(error_lines(told))
    _say_as_event(told, arguments)
    return INTERRUPTED if told.reference == "interrupted" else told.exit_code


def _say_as_event(error: ComposerError, arguments: Sequence[str]) -> None:
    if "--json-events" in arguments:
        from os_image_composer.build.clock import SystemClock
        from os_image_composer.cli.progress import JsonLines

        JsonLines(sys.stdout, SystemClock()).say("error", error_fields(error))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """The first time, end in order, but not for longer than `GRACE`; the second time, at once. What runs in a
    sandbox or in QEMU ends with this process (their lifelines), so leaving like this leaves nothing behind."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    timer = threading.Timer(GRACE, _leave)
    timer.daemon = True
    timer.start()
    raise KeyboardInterrupt


def _leave() -> None:
    _failed(KeyboardInterrupt(), sys.argv[1:])
    os._exit(INTERRUPTED)


def _wants_debug(arguments: Sequence[str]) -> bool:
    """Whether the flag is there; looked up in the text, because what failed may be the reading of the flags."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return any(a == "--log-level=debug" or (a == "--log-level" and b == "debug") for a, b in pairs)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)
