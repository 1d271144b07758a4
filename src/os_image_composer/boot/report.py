"""The self-report: what the guest is asked, how it answers, and how the answer is read.

A unit injected from outside (see smbios) runs probes once the boot has finished and writes one line of JSON for
each to the second serial port. The output is base64, so that no unit name and no newline can break a line.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass

from os_image_composer.boot.smbios import Credential, extra_unit, unit_dropin
from os_image_composer.errors import BootError

UNIT = "composer-boot-report.service"
PORT = "/dev/ttyS1"

BEGIN = "begin"
END = "end"


@dataclass(frozen=True)
class Probe:
    """A question to the guest: a shell command that runs there as root. `name` is one word."""

    name: str
    command: str


@dataclass(frozen=True)
class Answer:
    """What a probe said: its exit status and both its output streams."""

    name: str
    status: int
    output: str


# The order counts: the first one that takes time waits until the boot has finished or failed.
PROBES = (
    Probe(BEGIN, "systemctl --version | head -n 1"),
    Probe("state", "systemctl is-system-running --wait"),
    Probe("failed", "systemctl list-units --failed --plain --no-legend --no-pager"),
    Probe("default-target", "systemctl get-default"),
    Probe("target-active", "systemctl is-active default.target"),
    Probe("times", "systemctl show --property=FinishTimestampMonotonic"),
    Probe("analyze", "systemd-analyze time --no-pager"),
    Probe("kernel", "uname -r"),
    # An EFI variable's first four bytes are its attributes (efivarfs).
    Probe(
        "secure-boot",
        "tail -c 1 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c | od -An -tu1",
    ),
    Probe("os", ". /etc/os-release && printf '%s' \"$ID $VERSION_ID\""),
)


def report_credentials(probes: tuple[Probe, ...] = ()) -> tuple[Credential, ...]:
    """The credentials that make a guest report: `probes` are asked after the fixed ones."""
    for probe in probes:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", probe.name):
            raise BootError("boot-probe-name", f"a probe's name is lower case letters and dashes: {probe.name!r}")
    return (
        extra_unit(UNIT, _unit((*PROBES, *probes))),
        # Wanted by sysinit.target and not by a later one: a boot that ends in emergency mode reports as well.
        unit_dropin("sysinit.target", "composer-boot-report", f"[Unit]\nWants={UNIT}\n"),
    )


def _script(probes: tuple[Probe, ...]) -> str:
    """The shell script of the guest. The port is opened anew for every line: a terminal that is held open is lost
    when a getty starts on it (vhangup). It is held open all the same: the first one that opens it throws away what was
    not sent yet."""
    lines = [
        f"exec 3>{PORT}",
        f'say() {{ printf \'\\n{{"report":"%s","status":%d,"output":"%s"}}\\n\' "$@" >{PORT}; }}',
        'ask() { out=$(sh -c "$2" 2>&1 </dev/null); rc=$?; say "$1" $rc "$(printf %s "$out" | base64 -w0)"; }',
        *(f"ask {p.name} {_quoted(p.command)}" for p in probes),
        f"say {END} 0 ''",
        "systemctl --no-block poweroff || systemctl poweroff --force",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _unit(probes: tuple[Probe, ...]) -> str:
    """The script goes in as base64: then neither systemd's quoting nor its specifiers and variables
    (systemd.service(5), "Command lines") apply to it."""
    script = base64.b64encode(_script(probes).encode()).decode()
    return f"""[Unit]
Description=Report to the host how the boot went
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
IgnoreOnIsolate=yes
ConditionPathExists=!/etc/initrd-release
[Service]
Type=simple
Environment=LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
StandardInput=null
StandardOutput=null
StandardError=null
ExecStart=/bin/sh -c 'eval "$$(echo {script} | base64 -d)"'
"""


def read_answer(line: str) -> Answer | None:
    """The answer in one line of the second port, None for any other line: the firmware and the boot loader write
    to that port as well."""
    if not line.startswith('{"report":'):
        return None
    try:
        data = json.loads(line)
        return Answer(
            str(data["report"]),
            int(data["status"]),
            base64.b64decode(data["output"], validate=True).decode("utf-8", "replace"),
        )
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None
