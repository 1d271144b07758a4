"""`boot`: does an image boot?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from os_image_composer.boot.machine import Accelerator, FirmwareKind, Machine, Media, SecureBoot
from os_image_composer.errors import UsageError
from os_image_composer.signing.beside import KEYS

if TYPE_CHECKING:
    from os_image_composer.boot.verdict import BootVerdict
    from os_image_composer.build.clock import Clock

ALIVE = 3


def register(app: typer.Typer) -> None:
    app.command(epilog="\b\nExample:\n  os-image-composer boot --check workspace/minimal/minimal.raw")(boot)


def boot(
    image: Annotated[
        Path, typer.Argument(help="A disk, an ISO, or an initrd with its kernel beside it; it is not changed.")
    ],
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the guest.")] = 300,
    memory: Annotated[
        int | None, typer.Option(min=256, help="Memory of the guest in MiB; 1024, or what an initrd image needs.")
    ] = None,
    cpus: Annotated[int, typer.Option(min=1, max=64, help="Processors of the guest.")] = 2,
    accel: Annotated[Accelerator, typer.Option(help="How QEMU runs the guest.")] = Accelerator.TCG,
    firmware: Annotated[
        FirmwareKind | None, typer.Option(help="What starts the image; what it is made for where this is left out.")
    ] = None,
    usb: Annotated[bool, typer.Option("--usb", help="Attach the image as a USB stick.")] = False,
    secure_boot: Annotated[
        bool, typer.Option("--secure-boot", help="With the image's own keys enrolled, and nothing else started.")
    ] = False,
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The keys to enrol: PK.auth, KEK.auth, db.auth; those beside the image if left out."
        ),
    ] = None,
    vendor_keys: Annotated[
        bool, typer.Option("--vendor-keys", help="Secure boot with the keys that firmware comes with (Microsoft's).")
    ] = False,
    show_console: Annotated[bool, typer.Option("--console", help="Show the guest's console.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Boot, judge, power off; nothing to type.")] = False,
    console_log: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the console here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Boot an image in QEMU: its console here, or with --check a verdict.

    Without a terminal --check is implied, and the console shown. Exit code of --check: 0: it booted, nothing
    failed. 1: it did not, or a unit failed. 3: the firmware started it, nothing else is known. The guest is asked
    to report about itself; that needs systemd 256, else the console is read. The verdict of an image that was built
    here is kept beside it (NAME.verdict.json; of another format than raw NAME.qcow2.verdict.json).
    """
    from os_image_composer.build.clock import SystemClock

    secure = _secure(image, secure_boot, keys, vendor_keys)
    if secure is not None and firmware is FirmwareKind.BIOS:
        raise UsageError("wrong-usage", "secure boot is a service of UEFI: --firmware bios has none")
    media = Media.USB if usb else None
    machine = Machine(accelerator=accel, memory=memory, cpus=cpus, kind=firmware, media=media, secure_boot=secure)
    if not check and sys.stdin.isatty():
        from os_image_composer.boot.interactive import run_in_terminal

        print("booting; Ctrl-] ends it", file=sys.stderr)
        run_in_terminal(image, SystemClock(), machine)
        return
    from os_image_composer.boot.trial import boot_image

    if console_log is not None:
        console_log.open("w").close()  # said now, and not after minutes, where it cannot be written
    clock = SystemClock()
    pulse = _Pulse(clock) if check and not show_console and sys.stderr.isatty() else None
    heard = _print_line if show_console or not check else pulse
    verdict = boot_image(image, clock, machine=machine, limit=timeout, heard=heard)
    if pulse is not None:
        pulse.end()
    if console_log is not None:
        console_log.write_text("\n".join(verdict.lines) + "\n", encoding="utf-8")
    _keep(image, verdict, clock)
    if as_json:
        print(json.dumps(verdict_json(verdict), indent=1))
    else:
        for line in verdict_lines(verdict):
            print(line)
    raise typer.Exit(exit_code(verdict))


def _secure(image: Path, wanted: bool, keys: Path | None, vendor: bool) -> SecureBoot | None:
    """What the flags say of secure boot. Raises UsageError for two that exclude each other."""
    if vendor and (keys or wanted):
        raise UsageError("wrong-usage", "--vendor-keys is secure boot without keys of your own")
    if vendor:
        return SecureBoot(None)
    if not (wanted or keys):
        return None
    return SecureBoot((keys or image.with_suffix(KEYS)).absolute())


def _keep(image: Path, verdict: BootVerdict, clock: Clock) -> None:
    from os_image_composer.boot.record import record_verdict, verdict_file

    file = verdict_file(image)
    if file is None:
        return
    try:
        record_verdict(image, file, verdict_json(verdict), clock.now())
    except OSError as error:
        print(f"warning: the verdict is not kept in {file}: {error.strerror}", file=sys.stderr)


def _print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _Pulse:
    """One line on a terminal that shows how long it takes and what the console said last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.elapsed()
        self._show("starting QEMU; without hardware help a boot takes one to four minutes")

    def __call__(self, line: str) -> None:
        if line.strip():
            self._show(line.strip())

    def end(self) -> None:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _show(self, text: str) -> None:
        shown = f"{self._clock.elapsed() - self._start:5.0f} s  {text}"
        print(f"\r\x1b[K{shown[:78]}", end="", file=sys.stderr, flush=True)


def exit_code(verdict: BootVerdict) -> int:
    from os_image_composer.boot.verdict import Level

    if verdict.passed:
        return 0
    return ALIVE if verdict.level is Level.ALIVE else 1


def verdict_lines(verdict: BootVerdict) -> Iterator[str]:
    """The verdict for a reader; the end of the console where it went wrong."""
    guest = f" ({verdict.guest_seconds:.0f} s by the guest's clock)" if verdict.guest_seconds else ""
    yield f"{'passed' if verdict.passed else 'not passed'} (level: {verdict.level.value}): {verdict.reason}"
    if verdict.os or verdict.kernel:
        yield f"  {verdict.os or 'unknown system'}, kernel {verdict.kernel or 'unknown'}"
    if verdict.secure_boot is not None:
        yield f"  secure boot is {'on' if verdict.secure_boot else 'off'}"
    yield f"  {verdict.seconds:.0f} s{guest}"
    if not verdict.passed:
        yield "  the last lines of the console:"
        yield from (f"  | {line}" for line in [line for line in verdict.lines if line.strip()][-20:])


def verdict_json(verdict: BootVerdict) -> dict[str, object]:
    return {
        "level": verdict.level.value,
        "passed": verdict.passed,
        "reason": verdict.reason,
        "defaultTarget": verdict.default_target,
        "targetReached": verdict.target_reached,
        "secureBoot": verdict.secure_boot,
        "failedUnits": list(verdict.failed_units),
        "seconds": round(verdict.seconds, 3),
        "guestSeconds": verdict.guest_seconds,
        "kernel": verdict.kernel,
        "os": verdict.os,
        "poweredOff": verdict.powered_off,
    }
