"""A vendor's chain in small trees. Whole ones, and their boots, are in tests/e2e/test_boot_chain.py (GRUB) and
test_vendor_uki.py (systemd-boot)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from os_image_composer.build.clock import SystemClock
from os_image_composer.build.step import Kind, Result, Work
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.chroot.services import Packages, Services
from os_image_composer.config.distribution import PackagedFile, VendorChain
from os_image_composer.errors import StepError
from os_image_composer.image.kernel import KernelChoice
from os_image_composer.image.loader_systemd import Menu
from os_image_composer.image.loader_vendor import PlaceVendorChain
from support.efi_programs import efi_program

MakeLayer = Callable[..., Path]
CHAIN = VendorChain(
    shim=PackagedFile("boot/efi/EFI/BOOT/bootx64.efi", "shim"),
    loader=PackagedFile("usr/lib/systemd/boot/efi/systemd-bootx64.efi", "systemd-boot"),
    key_manager=PackagedFile("boot/efi/EFI/own/mmx64.efi", "shim"),
    loader_path="EFI/BOOT/grubx64.efi",
    key_manager_path="EFI/BOOT/mmx64.efi",
    uki=PackagedFile("boot/vmlinuz-uki-*.efi", "kernel-uki"),
)
SIGNED = efi_program({".text": b"program"}, certificate=b"signature")


def uki(release: str, certificate: bytes = b"signature") -> bytes:
    parts = {".cmdline": b"console=ttyS0\0", ".linux": release.encode()}
    return efi_program(parts, certificate=certificate)


FILES = {
    "/boot/efi/EFI/BOOT/bootx64.efi": SIGNED + b"1",
    "/boot/efi/EFI/BOOT/fbx64.efi": SIGNED,
    "/usr/lib/systemd/boot/efi/systemd-bootx64.efi": SIGNED + b"2",
    "/boot/efi/EFI/own/mmx64.efi": SIGNED + b"3",
    "/boot/vmlinuz-6.6.57.1-7.azl3": b"kernel",
    "/boot/vmlinuz-uki-6.6.57.1-7.azl3.efi": uki("7"),
    "/boot/vmlinuz-uki-6.6.57.1-10.azl3.efi": uki("10"),
    "/usr/lib/modules/6.6.57.1-7.azl3/modules.dep": b"",
    "/usr/lib/modules/6.6.57.1-10.azl3/modules.dep": b"",
}


@pytest.fixture
def chained(sandbox: Sandbox, layer: MakeLayer, tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """Runs the step on a root with `files`; what is on the EFI system partition then."""

    def run(files: dict[str, bytes], menu: Menu | None = None, every: bool = False) -> dict[str, bytes]:
        action = PlaceVendorChain(
            name="name",
            cmdline="",
            kernels=KernelChoice("boot/vmlinuz-uki-*.efi", "usr/lib/modules", None, every),
            chain=CHAIN,
            removable_path="EFI/BOOT/BOOTX64.EFI",
            menu=menu or Menu(),
        )
        output, scratch = tmp_path / "output", tmp_path / "scratch"
        output.mkdir()
        scratch.mkdir()
        services = Services(sandbox, cast(Packages, None), {}, {}, SystemClock())
        lower = Result("", Kind.TREE, "", layer("lower", files))
        action.run(Work(services, (("lower", lower),), output, scratch, lambda line: None))
        esp = output / "esp"
        return {str(p.relative_to(esp)): p.read_bytes() for p in esp.rglob("*") if p.is_file()}

    return run


Place = Callable[..., dict[str, bytes]]
NEWEST = "vmlinuz-uki-6.6.57.1-10.azl3"


def test_programs_are_the_packages_byte_for_byte_and_there_is_no_other(chained: Place) -> None:
    placed = chained(FILES)
    assert placed.pop("loader/loader.conf") == b"timeout 0\nconsole-mode keep\n"
    assert placed == {
        "EFI/BOOT/BOOTX64.EFI": FILES["/boot/efi/EFI/BOOT/bootx64.efi"],
        "EFI/BOOT/grubx64.efi": FILES["/usr/lib/systemd/boot/efi/systemd-bootx64.efi"],
        "EFI/BOOT/mmx64.efi": FILES["/boot/efi/EFI/own/mmx64.efi"],
        f"EFI/Linux/{NEWEST}.efi": FILES[f"/boot/{NEWEST}.efi"],
    }


def test_of_several_the_newest_is_the_default_and_each_is_counted(chained: Place) -> None:
    placed = chained(FILES, Menu(5, 3), every=True)
    assert {name for name in placed if name.startswith("EFI/Linux/")} == {
        f"EFI/Linux/{NEWEST}+3.efi",
        "EFI/Linux/vmlinuz-uki-6.6.57.1-7.azl3+3.efi",
    }
    assert f"default {NEWEST}[.+]*efi\n".encode() in placed["loader/loader.conf"]


@pytest.mark.parametrize(
    ("name", "data", "place_of"),
    [
        ("/usr/lib/systemd/boot/efi/systemd-bootx64.efi", efi_program({".text": b"a"}), "EFI/BOOT/grubx64.efi"),
        ("/boot/efi/EFI/BOOT/bootx64.efi", efi_program({".text": b"a"}), "EFI/BOOT/BOOTX64.EFI"),
        (f"/boot/{NEWEST}.efi", uki("10", b""), f"EFI/Linux/{NEWEST}.efi"),
    ],
)
def test_program_that_nobody_signed_is_refused_by_its_place(
    chained: Place, name: str, data: bytes, place_of: str
) -> None:
    with pytest.raises(StepError) as caught:
        chained({**FILES, name: data})
    assert caught.value.reference == "unsigned-program"
    assert f"/{place_of} " in caught.value.message


def test_missing_package_is_named(chained: Place) -> None:
    with pytest.raises(StepError) as caught:
        chained({path: data for path, data in FILES.items() if "vmlinuz-uki" not in path})
    assert (caught.value.reference, caught.value.hint) == ("no-boot-files", "add kernel-uki to systemConfig.packages")


def test_uki_without_the_modules_of_its_kernel_is_refused(chained: Place) -> None:
    with pytest.raises(StepError) as caught:
        chained({path: data for path, data in FILES.items() if "10.azl3/modules.dep" not in path})
    assert caught.value.reference == "no-modules"


def test_what_is_no_uki_is_refused(chained: Place) -> None:
    with pytest.raises(StepError) as caught:
        chained({**FILES, f"/boot/{NEWEST}.efi": SIGNED})
    assert caught.value.reference == "uki-malformed"


def test_a_uki_beside_the_kernels_is_none_of_them(sandbox: Sandbox, layer: MakeLayer) -> None:
    files = {**FILES, "/boot/vmlinuz-6.6.57.1-10.azl3": b"kernel"}
    tree = Tree((layer("lower", files),))
    found = KernelChoice("boot/vmlinuz-*", "usr/lib/modules", None, every=True).find(sandbox, tree)
    assert [kernel.release for kernel in found] == ["6.6.57.1-10.azl3", "6.6.57.1-7.azl3"]
