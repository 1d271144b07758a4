"""Boot an image with the guest's console on this terminal."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from os_image_composer.boot.firmware import find_firmware
from os_image_composer.boot.qemu import SEARCH, Machine, find_program, qemu_argv
from os_image_composer.errors import BootError


def run_in_terminal(image: Path, machine: Machine, scratch: Path | None = None) -> int:
    """Boot `image` (it is not changed) until the guest switches itself off or Ctrl-A X; gives QEMU's exit status.
    The terminal belongs to QEMU meanwhile, so it also gets the Ctrl-C."""
    program, firmware = find_program(), machine.firmware or find_firmware()
    if not image.is_file():
        raise BootError("boot-image-missing", f"there is no image {image}")
    with tempfile.TemporaryDirectory(prefix="boot-", dir=scratch) as folder:
        variables = Path(folder, "variables.fd")
        shutil.copyfile(firmware.variables, variables)
        argv = qemu_argv(
            program, image.resolve(), machine, firmware, variables, ports=("stdio,mux=on,signal=off", "null")
        )
        environment = {"PATH": SEARCH, "TMPDIR": folder, "LC_ALL": "C.UTF-8"}
        return subprocess.run(argv, env=environment, check=False).returncode
