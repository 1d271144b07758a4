"""The steps that make what firmware starts: which of them, by the template's boot loader and firmware."""

from __future__ import annotations

from dataclasses import dataclass, replace

from os_image_composer.build.step import Action, Input, Step
from os_image_composer.chroot.installer import all_of
from os_image_composer.config.distribution import BootData, Distribution, GrubData, GrubPlatform
from os_image_composer.config.spec import ImageSpec
from os_image_composer.image.kernel import KernelChoice
from os_image_composer.image.layout import DiskLayout, root_device
from os_image_composer.image.loader_entries import MakeEntries
from os_image_composer.image.loader_grub_bios import MakeGrubBios, PlaceBootFiles
from os_image_composer.image.loader_grub_efi import ChainGrubEfi, MakeGrubEfi
from os_image_composer.image.loader_systemd import Menu
from os_image_composer.image.loader_vendor import PlaceVendorChain
from os_image_composer.image.uki import MakeUki
from os_image_composer.ospackage.lock import Lock


@dataclass(frozen=True)
class BootSteps:
    """`files` leaves the folder that signing and the disk take up (`image/boot_files.py`); `layers` are what of it
    belongs into the root filesystem."""

    steps: tuple[Step, ...]
    files: Step
    layers: tuple[Step, ...] = ()


def kernel_choice(spec: ImageSpec, boot: BootData) -> KernelChoice:
    return KernelChoice(boot.kernel, boot.modules, spec.kernel.version, spec.bootloader.kernels == "all")


def vendor_choice(spec: ImageSpec, boot: BootData) -> KernelChoice:
    """Among what the vendor's boot loader starts."""
    choice, uki = kernel_choice(spec, boot), boot.vendor.uki if boot.vendor else None
    return replace(choice, pattern=uki.path) if uki else choice


def makes_initrd(spec: ImageSpec, boot: BootData) -> bool:
    """Whether this build makes an initrd: the vendor's unified kernel image has one."""
    return spec.bootloader.chain != "vendor" or boot.vendor is None or boot.vendor.uki is None


def boot_steps(
    spec: ImageSpec,
    lock: Lock,
    distribution: Distribution,
    layout: DiskLayout,
    layers: list[Step],
    initrd: Step | None,
    tools: Step,
    seal: Step | None = None,
) -> BootSteps:
    """A template that was checked: what does not go together was refused (`config/boot_rules.py`). `seal` leaves the
    root hash that a UKI's command line has. There is no `initrd` where the vendor's UKI has one."""
    boot, loader = distribution.boot, spec.bootloader
    cmdline = _command_line(spec, distribution, layout)
    kernels = kernel_choice(spec, boot)
    counts = boot.bless if loader.tries else None
    inputs = (*all_of("lower", layers), *((Input("initrd", initrd.name),) if initrd else ()))
    for_uki = (*inputs, *((Input("verity", seal.name),) if seal else ()), Input("tools", tools.name))

    def uki(menu: Menu | None) -> MakeUki:
        return MakeUki(
            name=spec.name,
            cmdline=cmdline,
            kernels=kernels,
            stub=boot.stub,
            loader=boot.loader if menu else "",
            removable_path=boot.removable_path,
            menu=menu,
            counts=counts,
            source_date_epoch=lock.source_date_epoch,
        )

    menu = Menu(loader.timeout, loader.tries)
    action: Action
    if loader.chain == "vendor":
        assert boot.vendor is not None
        kernels = vendor_choice(spec, boot)
        cmdline = cmdline if boot.vendor.uki is None else ""
        action = PlaceVendorChain(spec.name, cmdline, kernels, boot.vendor, boot.removable_path, menu, counts)
        return _alone(Step("boot", action, inputs))
    if loader.provider == "systemd-boot":
        if spec.kernel.uki:
            return _alone(Step("boot", uki(menu), for_uki))
        action = MakeEntries(spec.name, cmdline, kernels, boot.loader, boot.removable_path, menu, counts)
        return _alone(Step("boot", action, inputs))
    grub, platform = _grub(boot, legacy=loader.boot_type == "legacy")
    if loader.boot_type == "legacy":
        action = MakeGrubBios(cmdline, kernels, grub.mkimage, platform, layout.root.number, loader.timeout)
        files = Step("boot", action, inputs)
        layer = Step("boot-files", PlaceBootFiles(), (*all_of("lower", layers), Input("boot", files.name)))
        return BootSteps((files, layer), files, (layer,))
    efi = ChainGrubEfi if spec.kernel.uki else MakeGrubEfi
    action = efi(spec.name, cmdline, kernels, grub.mkimage, platform, boot.removable_path, loader.timeout)
    if not spec.kernel.uki:
        return _alone(Step("boot", action, inputs))
    ukis = Step("uki", uki(None), for_uki)
    files = Step("boot", action, (*all_of("lower", layers), Input("uki", ukis.name)))
    return BootSteps((ukis, files), files)


def _command_line(spec: ImageSpec, distribution: Distribution, layout: DiskLayout) -> str:
    """The template's words come last, so that they count where two say different things."""
    words = [f"root={root_device(layout)}", "ro" if layout.read_only_root else "rw"]
    data = distribution.initrd.read_only_root
    if layout.read_only_root and data is not None:
        words.append(data.cmdline)
    return " ".join(word for word in (*words, spec.kernel.cmdline) if word)


def _alone(step: Step) -> BootSteps:
    return BootSteps((step,), step)


def _grub(boot: BootData, *, legacy: bool) -> tuple[GrubData, GrubPlatform]:
    assert boot.grub is not None
    platform = boot.grub.bios if legacy else boot.grub.efi
    assert platform is not None
    return boot.grub, platform
