"""Images with SELinux, and what their booted systems say of it: one whose labels were written with its root filesystem,
and the control, which leaves the build without a label and has them set by the distribution's own tool when it first
starts.

The control's first start is permissive, as the distribution's own is; before it relabels, its configuration becomes
enforcing, and it starts anew. What systemd-tmpfiles made in that start, where its policy forbids it that, is taken
away, or the second would not try: /root/.ssh, unless the image had it (as Debian's has, by a package's script).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from os_image_composer.boot import qemu
from os_image_composer.boot.machine import Machine
from os_image_composer.boot.qemu import Guest, run_guest
from os_image_composer.boot.report import Answer, Probe
from os_image_composer.build.clock import SystemClock
from support.own_report import UNIT, report_script

PROBES = (
    Probe("state", "systemctl is-system-running --wait"),
    Probe("failed", "systemctl list-units --failed --plain --no-legend --no-pager"),
    Probe("mode", "getenforce; sed -n 's/^SELINUXTYPE=//p' /etc/selinux/config"),
    Probe("processes", "ps -eo label,comm --no-headers"),
    Probe("denials", "journalctl --boot --output cat --no-pager | grep -F 'avc: '"),
    # Everything of the root filesystem, user and range of the labels included, would get the label that it has.
    Probe("relabel", "restorecon -F -n -v -R -x / 2>&1"),
    Probe("unlabelled", "find / -xdev -context '*unlabeled*'"),
    Probe("asks-for-relabel", "ls -d /.autorelabel"),
)


@dataclass(frozen=True)
class Selinux:
    """What is different between distributions: the packages, the type of policy, words of the kernel's command line."""

    os: str
    dist: str
    packages: tuple[str, ...]
    policy: str
    words: str


DEBIAN12 = Selinux(
    "debian",
    "debian12",
    ("selinux-policy-default", "policycoreutils", "selinux-utils", "openssh-server"),
    "default",
    "security=selinux",
)
# The programs that write other root filesystems, too, and Python to look into these with.
DEBIAN13 = Selinux(
    "debian",
    "debian13",
    (*DEBIAN12.packages, "erofs-utils", "squashfs-tools", "python3-minimal"),
    "default",
    "security=selinux",
)
AZL3 = Selinux(
    "azure-linux",
    "azl3",
    ("selinux-policy", "policycoreutils", "libselinux-utils"),
    "targeted",
    "security=selinux selinux=1",
)


_WITHOUT = "/etc/image-had-no-root-ssh"
# Under TCG on a busy machine udev takes longer to find the disk than systemd waits for it.
_DISK = """\
disk:
  name: patient
  size: 4GiB
  partitions:
    - {id: esp, type: esp, fsType: fat32, start: 1MiB, end: 257MiB, mountPoint: /boot/efi,
       mountOptions: "umask=0077,x-systemd.device-timeout=900"}
    - {id: root, type: linux-root-amd64, fsType: ext4, start: 257MiB, end: "0", mountPoint: /}
"""


def write_template(folder: Path, target: Selinux, mode: str = "enforcing", more: str = "") -> Path:
    """A template with `more` lines in its systemConfig; the configuration is named after the mode."""
    return _write(folder, target, mode, f"  selinux: {mode}\n{more}", "")


def write_control(folder: Path, target: Selinux) -> Path:
    """The same without a label: the distribution's own service sets them."""
    kernel = f"  kernel: {{cmdline: 'console=tty0 console=ttyS0,115200 {target.words}'}}\n"
    commands = f"  configurations:\n    - cmd: touch /.autorelabel; test -e /root/.ssh || touch {_WITHOUT}\n"
    dropin = "/etc/systemd/system/selinux-autorelabel.service.d/enforcing.conf"
    return _write(
        folder,
        target,
        "control",
        kernel + commands,
        f"    - {{local: enforcing.conf, final: {dropin}}}\n",
    )


def _write(folder: Path, target: Selinux, name: str, system: str, files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.sh").write_text(report_script(PROBES))
    (folder / "report.service").write_text(UNIT.format(program="/usr/local/sbin/report"))
    (folder / "enforcing.conf").write_text(
        "[Service]\nExecStartPre=/bin/sed -i s/^SELINUX=.*/SELINUX=enforcing/ /etc/selinux/config\n"
        f"ExecStartPre=-/bin/sh -c 'test -e {_WITHOUT} && rmdir /root/.ssh'\n"
    )
    template = folder / f"{name}.yml"
    template.write_text(
        'image: {name: selinux, version: "1.0"}\n'
        f"target: {{os: {target.os}, dist: {target.dist}, arch: x86_64, imageType: raw}}\n"
        f"{_DISK}systemConfig:\n  name: {name}\n  packages: [{', '.join(target.packages)}]\n"
        f"  immutability: {{enabled: false}}\n{system}"
        "  services: {enable: [report]}\n"
        "  additionalFiles:\n"
        "    - {local: report.sh, final: /usr/local/sbin/report, mode: '0755'}\n"
        "    - {local: report.service, final: /etc/systemd/system/report.service}\n" + files
    )
    return template


@contextmanager
def lasting(image: Path) -> Iterator[Guest]:
    """A machine that writes to `image` and may start anew."""
    made = qemu.qemu_argv

    def argv(*words: object, **more: object) -> tuple[str, ...]:
        found = made(*words, **more)  # type: ignore[arg-type]
        assert "-no-reboot" in found
        return tuple(word.replace("snapshot=on,", "") for word in found if word != "-no-reboot")

    with mock.patch.object(qemu, "qemu_argv", argv), run_guest(image, Machine(), SystemClock()) as guest:
        yield guest


def denials(answers: Mapping[str, Answer]) -> set[str]:
    """What was refused to whom, without what differs from start to start."""
    found = set()
    for line in answers["denials"].output.splitlines():
        match = re.search(
            r"avc: +denied +\{ (.*?) \} for .*?comm=(\S+) .*scontext=(\S+) tcontext=(\S+) tclass=(\S+)", line
        )
        assert match, line
        found.add(" ".join(match.groups()))
    return found
