"""The script beside an initrd image gives QEMU the files beside itself, from whatever folder it is called."""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from os_image_composer.image.initrd_image import WriteStartExample

QEMU = """\
#!/bin/sh
pwd
printf '%s\\n' "$@"
"""


def test_script_gives_qemu_kernel_initrd_command_line_and_further_options(tmp_path: Path) -> None:
    programs, folder = tmp_path / "bin", tmp_path / "an image's folder"
    programs.mkdir()
    folder.mkdir()
    (programs / "qemu-system-x86_64").write_text(QEMU)
    (programs / "qemu-system-x86_64").chmod(0o755)
    script = folder / "ram-1.0.qemu.sh"
    work: Any = SimpleNamespace(
        services=SimpleNamespace(sandbox=SimpleNamespace(survey=lambda _: SimpleNamespace(bytes=400 << 20))),
        all=lambda _: (),
        output=script,
    )
    cmdline = "console=ttyS0,115200 a='b c' $HOME"
    WriteStartExample("qemu", "ram 1.0", "ram-1.0.vmlinuz", "ram-1.0.img", cmdline).run(work)
    done = subprocess.run(
        [str(script), "-accel", "kvm"],
        env={"PATH": f"{programs}:/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    where, *argv = done.stdout.splitlines()
    assert where == str(folder)
    given = dict(itertools.pairwise(argv))
    assert (given["-kernel"], given["-initrd"]) == ("ram-1.0.vmlinuz", "ram-1.0.img")
    assert given["-append"] == cmdline
    assert int(given["-m"]) >= 800  # the kernel gives what it unpacks at most half of it
    assert argv[-2:] == ["-accel", "kvm"]
