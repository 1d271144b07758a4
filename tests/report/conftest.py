from __future__ import annotations

from pathlib import Path

import pytest

from support.efi_programs import efi_program
from support.small_images import MIB, ext_image, fat_image, partitioned

STATUS = """\
Package: base
Status: install ok installed
Architecture: amd64
Version: 1.2-3
Source: base-source (1.2-2)
Maintainer: Some Team <team@example.org>

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 9
"""
SHADOW = "root:*:1:::::::\nann:$y$j9T$salt$hash:1:::::::\nopen::1:::::::\n"
PASSWD = "root:x:0:0::/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/sh\nopen:x:1001:1001::/:/bin/sh\n"
CMDLINE = "root=UUID=1 quiet \x1b[31m"


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def root_files(folder: Path) -> Path:
    files: dict[str, str | bytes] = {
        "usr/lib/os-release": 'ID=sample\nVERSION_ID="1"\nPRETTY_NAME="Sample System 1"\n',
        "etc/hostname": "# a remark\nsample-host\n",
        "etc/passwd": PASSWD,
        "etc/shadow": SHADOW,
        "var/lib/dpkg/status": STATUS,
        "usr/lib/modules/6.1.0-9/modules.dep": "",
        "usr/share/sbom/sample.spdx.json": '{"spdxVersion": "SPDX-2.3"}\n',
    }
    root = write(folder, files)
    (root / "etc" / "os-release").symlink_to("../usr/lib/os-release")
    return root


def esp_files(folder: Path) -> Path:
    uki = {".osrel": b"ID=sample\n", ".cmdline": CMDLINE.encode() + b"\0", ".uname": b"6.1.0-9", ".linux": b"k" * 900}
    return write(folder, {"EFI/Linux/sample.efi": efi_program(uki), "loader/loader.conf": "timeout 3\n"})


def assemble(disk: Path, esp: Path, root: Path) -> Path:
    """A GPT disk of two filesystems."""
    script = f"label: gpt\nstart=1MiB, size=24MiB, type=U, name=esp\nstart=25MiB, size={8}MiB, type=L, name=root\n"
    partitioned(disk, script, size=34 * MIB)
    with disk.open("r+b") as stream:
        for start, part in ((1, esp), (25, root)):
            stream.seek(start * MIB)
            stream.write(part.read_bytes())
    return disk


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("image")
    esp = fat_image(folder / "esp", 16, esp_files(folder / "esp-files"))
    root = ext_image(folder / "root", root_files(folder / "root-files"), "ext4", "-b", "1024", size=8 * MIB)
    return assemble(folder / "sample.raw", esp, root)
