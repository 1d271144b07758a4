from __future__ import annotations

from pathlib import Path

import pytest
import zstandard

from os_image_composer.boot.direct import direct_boot
from os_image_composer.boot.image_file import check_image
from os_image_composer.errors import BootError
from os_image_composer.formats.initrd_archive import memory_for

CPIO = b"070701" + b"0" * 300_000


@pytest.fixture
def initrd(tmp_path: Path) -> Path:
    (tmp_path / "a-1.vmlinuz").write_bytes(b"kernel")
    image = tmp_path / "a-1.img"
    image.write_bytes(zstandard.ZstdCompressor().compress(CPIO))
    return image


def test_kernel_and_command_line_are_those_beside_the_initrd(initrd: Path) -> None:
    (initrd.parent / "a-1.ipxe").write_text(
        "#!ipxe\n# kernel x\nkernel a-1.vmlinuz initrd=a-1.img console=ttyS0 quiet\n"
    )
    found = direct_boot(initrd)
    assert found is not None
    assert (found.kernel.name, found.initrd, found.cmdline) == ("a-1.vmlinuz", initrd, "console=ttyS0 quiet")
    assert found.memory == memory_for(len(CPIO))


def test_without_a_script_the_console_is_the_serial_line(initrd: Path) -> None:
    found = direct_boot(initrd)
    assert found is not None
    assert found.cmdline == "console=ttyS0"


def test_an_initrd_without_its_kernel_is_an_error_that_names_it(initrd: Path) -> None:
    (initrd.parent / "a-1.vmlinuz").unlink()
    with pytest.raises(BootError) as error:
        direct_boot(initrd)
    assert error.value.reference == "boot-kernel-missing"
    assert "a-1.vmlinuz" in str(error.value.cause)


@pytest.mark.parametrize("content", [b"", b"\x28\xb5\x2f\xfd", zstandard.ZstdCompressor().compress(b"a raw disk")])
def test_other_files_are_no_initrd(tmp_path: Path, content: bytes) -> None:
    image = tmp_path / "image.img"
    image.write_bytes(content)
    assert direct_boot(image) is None
    with pytest.raises(BootError):
        check_image(image)


def test_memory_is_twice_what_is_unpacked_and_something_to_work_with() -> None:
    assert memory_for(300 << 20) == 1024
    assert memory_for(1) == 512
