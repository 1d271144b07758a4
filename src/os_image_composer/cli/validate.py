"""`validate`: is a template right?"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from os_image_composer.cli.errors import error_lines, finding_fields, finding_lines, findings_of
from os_image_composer.cli.options import global_options, lock_choice, settings_of
from os_image_composer.errors import ComposerError, Finding

if TYPE_CHECKING:
    from os_image_composer.config.settings import Settings
    from os_image_composer.provider.interface import Resolved

EPILOG = """\b
Examples:
  os-image-composer validate my-image.yml
  os-image-composer validate --resolve my-image.yml
  os-image-composer validate --json image-templates/*.yml
"""


@dataclass(frozen=True)
class _Report:
    """What was found out about one template. `error` is a failure of resolution; `findings` has its places; `remarks`
    are no reason to refuse it."""

    template: Path
    findings: tuple[Finding, ...]
    error: ComposerError | None = None
    resolved: Resolved | None = None
    remarks: tuple[Finding, ...] = ()

    @property
    def exit_code(self) -> int:
        return self.error.exit_code if self.error else 2 if self.findings else 0


def register(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(validate)


def validate(
    context: typer.Context,
    templates: Annotated[list[Path], typer.Argument(metavar="TEMPLATE", help="Image templates (YAML).")],
    resolve: Annotated[
        bool,
        typer.Option(
            "--resolve", help="Also look whether its packages exist, fit together and on the disk, and suffice to boot."
        ),
    ] = False,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="With --resolve: ask the mirror for newer packages.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check templates and say everything that is wrong with them, with file, line and column.

    Needs no network and no root. With --resolve the packages are looked up as well: in TEMPLATE.lock, else in the
    lock of the last build, else in the mirror's signed metadata. Exit code 2: a template is wrong. 1: its packages
    cannot be had.
    """
    settings = settings_of(global_options(context))
    reports = []
    for template in templates:
        report = _checked(template, settings)
        if resolve and not report.findings:
            report = replace(_resolved(template, settings, refresh), remarks=report.remarks)
        reports.append(report)
        if not as_json:
            _tell(report)
    if as_json:
        print(json.dumps(_fields(reports), indent=1))
    elif wrong := sum(len(report.findings) for report in reports):
        print(f"{wrong} finding{'s' if wrong > 1 else ''}", file=sys.stderr)
    code = max((report.exit_code for report in reports), default=0)
    if code:
        raise typer.Exit(code)


def _checked(template: Path, settings: Settings) -> _Report:
    from os_image_composer.config.load import load_image_spec
    from os_image_composer.config.remarks import remarks
    from os_image_composer.errors import TemplateError

    try:
        return _Report(template, (), remarks=remarks(load_image_spec(template, settings.config_dir)))
    except TemplateError as error:
        return _Report(template, error.findings)


def _resolved(template: Path, settings: Settings, refresh: bool) -> _Report:
    from os_image_composer.build.clock import SystemClock
    from os_image_composer.cli.listening import listening
    from os_image_composer.config.load import load_image_spec
    from os_image_composer.provider.registry import provider_for
    from os_image_composer.provider.services import Services

    clock = SystemClock()
    spec = load_image_spec(template, settings.config_dir)
    try:
        with listening(settings, clock, quiet=True) as listener:
            provider = provider_for(spec.target, Services(settings, clock, listener))
            provider.init()
            return _Report(template, (), resolved=provider.resolved(spec, lock_choice(template, refresh=refresh)))
    except ComposerError as error:
        return _Report(template, findings_of(error), error)


def _tell(report: _Report) -> None:
    if report.error is not None:
        for line in error_lines(report.error):
            print(line, file=sys.stderr)
        return
    for finding in report.findings:
        for line in finding_lines(finding):
            print(line, file=sys.stderr)
    for remark in report.remarks:
        print(f"remark: {remark}", file=sys.stderr)
    if not report.findings:
        print(f"{report.template}: valid" + (f"; {_words(report.resolved)}" if report.resolved else ""))


def _words(resolved: Resolved) -> str:
    mib = 1 << 20
    size = f"{-(-resolved.installed_size // mib)} MiB installed"
    if resolved.root_room is None:
        return f"{resolved.packages} packages, {size}"
    room = f"{resolved.installed_size * 100 // max(resolved.root_room, 1)} % of the root file system"
    return f"{resolved.packages} packages, {size}, {room}"


def _fields(reports: Sequence[_Report]) -> dict[str, Any]:
    """`validate --json`; fields are only ever added."""
    return {
        "valid": not any(report.exit_code for report in reports),
        "templates": [
            {
                "template": str(report.template),
                "valid": not report.exit_code,
                "findings": [finding_fields(finding) for finding in report.findings],
                "remarks": [finding_fields(remark) for remark in report.remarks],
                "detail": list(report.error.detail) if report.error else [],
                "resolved": {
                    "packages": report.resolved.packages,
                    "installedSize": report.resolved.installed_size,
                    "rootRoom": report.resolved.root_room,
                }
                if report.resolved
                else None,
            }
            for report in reports
        ],
    }
