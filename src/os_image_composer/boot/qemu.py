"""Start QEMU for an image that must not change, and stop it whatever happens."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from os_image_composer.boot.console import Console
from os_image_composer.boot.direct import DirectBoot, direct_boot
from os_image_composer.boot.enrolled import read_updates, with_keys
from os_image_composer.boot.firmware import SECURE, USUAL, VENDOR, Firmware, find_firmware
from os_image_composer.boot.image_file import check_image, is_iso
from os_image_composer.boot.machine import Accelerator, FirmwareKind, Machine, Media
from os_image_composer.boot.smbios import Credential, smbios_arguments
from os_image_composer.boot.starting import firmware_kind
from os_image_composer.build.clock import Clock
from os_image_composer.chroot.process import Process
from os_image_composer.errors import BootError
from os_image_composer.formats.window import FormatError

PROGRAM = "qemu-system-x86_64"
SEARCH = "/usr/local/bin:/usr/bin:/bin:/usr/libexec"
# Everything that TCG can, but for the promise that byte-wise string instructions are fast, by which a kernel clears and
# copies its pages: without it one boot of Debian 13 took 167 s of CPU instead of 181.
_TCG_CPU = "max,-erms,-fsrm"
_MEMORY = 1024  # MiB
_SMM = ("-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1")
LIFELINE = Path(__file__).with_name("lifeline.py")


@dataclass(frozen=True)
class Guest:
    """A running machine: the console, the port of the report, and the process."""

    console: Console
    report: Console
    process: Process

    def status(self) -> int | None:
        """QEMU's exit status, None while it runs."""
        try:
            return self.process.wait(0)
        except TimeoutError:
            return None

    def complaint(self) -> tuple[str, ...]:
        """What QEMU itself printed, once it has ended."""
        os.set_blocking(self.process.output.fileno(), False)
        said = self.process.output.read(1 << 16) or b""
        return tuple(said.decode("utf-8", "replace").splitlines()[-20:])


def qemu_argv(
    program: str,
    image: Path,
    machine: Machine,
    firmware: Firmware | None,
    variables: Path,
    credentials: tuple[Credential, ...] = (),
    ports: tuple[str, str] = ("stdio", "null"),
    image_format: str = "raw",
    direct: DirectBoot | None = None,
) -> tuple[str, ...]:
    """The command. `firmware` None is QEMU's own BIOS; `variables` is the run's own copy; `ports` are the chardev back
    ends of the console and of the second serial port; `image_format` is QEMU's name of it. The image is opened with a
    throw-away overlay and never written, unless the machine keeps its changes; with `direct` there is none."""
    memory = machine.memory or max(_MEMORY, (direct.memory or 0) if direct else 0)
    tcg = machine.accelerator is Accelerator.TCG
    return (
        program,
        *(("-accel", "tcg,thread=multi", "-cpu", _TCG_CPU) if tcg else ("-accel", "kvm", "-cpu", "host")),
        *("-machine", _board(firmware), *(_SMM if firmware and firmware.smm else ())),
        *("-smp", str(machine.cpus), "-m", str(memory)),
        *("-nodefaults", "-display", "none", "-no-reboot"),
        *(_flash(firmware, variables) if firmware else ()),
        *(_kernel(direct) if direct else _medium(image, image_format, machine)),
        *("-device", "virtio-rng-pci"),
        *("-netdev", "user,id=net0,restrict=on", "-device", "virtio-net-pci,netdev=net0,romfile="),
        *("-chardev", f"{ports[0]},id=console", "-serial", "chardev:console"),
        *("-chardev", f"{ports[1]},id=report", "-serial", "chardev:report"),
        *smbios_arguments(credentials),
    )


@contextlib.contextmanager
def run_guest(
    image: Path,
    machine: Machine,
    clock: Clock,
    credentials: tuple[Credential, ...] = (),
    heard: Callable[[str], None] | None = None,
    scratch: Path | None = None,
) -> Iterator[Guest]:
    """Start the machine and give its ports; afterwards it is gone, and so are its files. `scratch` is where its
    temporary files go. Raises BootError when it cannot be started."""
    direct, image_format = direct_boot(image), "raw"
    if direct is None:
        image_format = check_image(image)
        if machine.media is None:
            machine = replace(machine, media=Media.CD if is_iso(image) else Media.DISK)
    elif machine.kind is None:
        machine = replace(machine, kind=FirmwareKind.BIOS)  # the faster one: the kernel is started past it
    program = find_program()
    kind = machine.kind or _kind(machine, image)
    firmware = (machine.firmware or find_firmware(_builds(machine))) if kind is FirmwareKind.UEFI else None
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="boot-", dir=scratch)))
        variables = folder / "variables.fd"
        if firmware:
            variables.write_bytes(_variables(firmware, machine))
        pairs = [socket.socketpair() for _ in range(2)]
        for ours, theirs in pairs:
            stack.callback(ours.close)
            stack.callback(theirs.close)
        (console, console_end), (report, report_end) = pairs
        fds = (console_end.fileno(), report_end.fileno())
        argv = qemu_argv(
            program,
            image.resolve(),
            machine,
            firmware,
            variables,
            credentials,
            (f"socket,fd={fds[0]}", f"socket,fd={fds[1]}"),
            image_format,
            direct,
        )
        process = Process(
            (sys.executable, "-I", str(LIFELINE), *argv),
            env={"PATH": SEARCH, "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.PIPE,
            cwd=folder,
            keep=fds,
            clock=clock,
        )
        stack.enter_context(process)
        console_end.close()
        report_end.close()
        yield Guest(Console(console, clock, heard), Console(report, clock), process)


def _medium(image: Path, image_format: str, machine: Machine) -> tuple[str, ...]:
    """With an order given the firmware tries nothing else: no minute of network boot where there is no loader."""
    file = _value(image)
    if machine.media is Media.CD:
        drive = f"if=none,id=disk,media=cdrom,format=raw,readonly=on,file={file}"
        # By virtio, which kernels for virtual machines have, too; some of these lack AHCI.
        return ("-drive", drive, "-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=disk,bootindex=0")
    snapshot = "off" if machine.keeps_changes else "on"
    drive = f"if=none,id=disk,format={image_format},snapshot={snapshot},cache=unsafe,file={file}"
    if machine.media is Media.USB:
        return ("-drive", drive, "-device", "qemu-xhci", "-device", "usb-storage,drive=disk,bootindex=0")
    return ("-drive", drive, "-device", "virtio-blk-pci,drive=disk,bootindex=0")


def _kernel(direct: DirectBoot) -> tuple[str, ...]:
    return ("-kernel", str(direct.kernel), "-initrd", str(direct.initrd), "-append", direct.cmdline)


def _kind(machine: Machine, image: Path) -> FirmwareKind:
    return FirmwareKind.UEFI if machine.firmware or machine.secure_boot else firmware_kind(image)


def _board(firmware: Firmware | None) -> str:
    if firmware is None:
        # Without graphics SeaBIOS shows what it says, and what is said through it, on the first serial port.
        return "q35,graphics=off"
    return "q35,smm=on" if firmware.smm else "q35"


def _builds(machine: Machine) -> tuple[Firmware, ...]:
    if machine.secure_boot is None:
        return USUAL
    return SECURE if machine.secure_boot.keys is not None else VENDOR


def _variables(firmware: Firmware, machine: Machine) -> bytes:
    """What the firmware finds in its flash. Raises BootError `boot-firmware-unusable`, and as `read_updates`."""
    content = firmware.variables.read_bytes()
    if machine.secure_boot is None or machine.secure_boot.keys is None:
        return content
    keys = read_updates(machine.secure_boot.keys)
    try:
        return with_keys(content, keys)
    except FormatError as error:
        raise BootError(
            "boot-firmware-unusable", f"no keys can be enrolled in {firmware.variables}", cause=str(error)
        ) from error


def _flash(firmware: Firmware, variables: Path) -> tuple[str, ...]:
    return (
        *("-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_value(firmware.code)}"),
        *("-drive", f"if=pflash,unit=1,format=raw,file={_value(variables)}"),
    )


def find_program() -> str:
    """The absolute path of QEMU. Raises BootError."""
    found = shutil.which(PROGRAM, path=SEARCH)
    if found is None:
        raise BootError(
            "boot-qemu-missing",
            f"{PROGRAM} is not installed",
            hint="install it: scripts/install-host-packages --boot (packages qemu-system-x86 and ovmf)",
        )
    return found


def _value(path: Path) -> str:
    """A path inside a QEMU option: a comma is doubled."""
    return str(path).replace(",", ",,")
