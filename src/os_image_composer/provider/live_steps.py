"""What of a live system's plan depends on whether the template names keys: its initrd, and what starts it."""

from __future__ import annotations

from dataclasses import replace

from os_image_composer.build.step import Input, Step
from os_image_composer.chroot.installer import all_of
from os_image_composer.config.distribution import Distribution, GrubData, InitrdModule, LiveData, PackagedFile
from os_image_composer.config.spec import ImageSpec
from os_image_composer.errors import TemplateError
from os_image_composer.image.identifiers import derived_uuid
from os_image_composer.image.initrd import InitrdFile
from os_image_composer.image.iso import volume_label
from os_image_composer.image.live_boot import MakeLiveBoot
from os_image_composer.image.live_boot_signed import MakeSignedLiveBoot
from os_image_composer.image.verity import FormatLiveVerity
from os_image_composer.ospackage.lock import Lock
from os_image_composer.provider.boot_steps import kernel_choice
from os_image_composer.provider.needed_packages import absent
from os_image_composer.provider.root_steps import ForInitrd


def medium_label(spec: ImageSpec, lock: Lock) -> str:
    return volume_label(spec.name, derived_uuid(lock.seed, "live", spec.version))


def live_initrd(spec: ImageSpec, distribution: Distribution) -> ForInitrd:
    """Raises TemplateError `no-live-image` for a distribution of which it is not known how."""
    live, data = _live(distribution), distribution.initrd.read_only_root
    modules: tuple[InitrdModule, ...] = (live, *((_signed(live, distribution),) if spec.secure_boot else ()))
    files = tuple(
        InitrdFile(f"{module.into}/{name}", text, program) for module in modules for name, text, program in module.files
    )
    argv = tuple(word for module in modules for word in module.argv)
    if not spec.immutability.enabled:
        return ForInitrd(argv, files)
    if data is None:
        raise _unknown(distribution, "how its initrd opens a sealed root")
    return ForInitrd((*argv, *data.verity_argv), files, data.verity_needs)


def seal_step(spec: ImageSpec, lock: Lock, root: Step, tools: Step) -> Step | None:
    """The hash tree over the squashfs of the step `root`, where the template wants it sealed."""
    if not spec.immutability.enabled:
        return None
    salt = "".join(derived_uuid(lock.seed, "live", f"verity-salt-{n}").hex for n in (1, 2))
    action = FormatLiveVerity(salt, str(derived_uuid(lock.seed, "live", "verity")))
    return Step("verity", action, (Input("root", root.name), Input("tools", tools.name)))


def live_boot_step(
    spec: ImageSpec,
    lock: Lock,
    distribution: Distribution,
    layers: list[Step],
    initrd: Step,
    tools: Step,
    seal: Step | None,
) -> Step:
    """Raises TemplateError `no-live-image`, `no-boot-files`."""
    boot, grub = distribution.boot, _grub(distribution)
    inputs = (*all_of("lower", layers), Input("initrd", initrd.name))
    if spec.secure_boot is None:
        action = MakeLiveBoot(
            title=spec.live.title,
            label=medium_label(spec, lock),
            mark=f"live/{derived_uuid(lock.seed, 'live', spec.version)}",
            cmdline=spec.kernel.cmdline,
            kernels=kernel_choice(spec, boot),
            grub=grub,
            removable_path=boot.removable_path,
            timeout=spec.bootloader.timeout,
        )
        return Step("boot", action, inputs)
    data = distribution.initrd.read_only_root
    package = _loader_package(spec, lock, distribution)
    signed = MakeSignedLiveBoot(
        title=spec.live.title,
        label=medium_label(spec, lock),
        cmdline=spec.kernel.cmdline,
        kernels=kernel_choice(spec, boot),
        grub=replace(grub, efi=None),
        stub=PackagedFile(boot.stub, package),
        loader=PackagedFile(boot.loader, package),
        removable_path=boot.removable_path,
        timeout=spec.bootloader.timeout,
        sealed=data.cmdline if seal and data else "",
        source_date_epoch=lock.source_date_epoch,
    )
    further = (*((Input("verity", seal.name),) if seal else ()), Input("tools", tools.name))
    return Step("boot", signed, (*inputs, *further))


def _loader_package(spec: ImageSpec, lock: Lock, distribution: Distribution) -> str:
    """Told before anything is built: the OS default templates have it for images with a disk only."""
    package = distribution.boot.loader_package
    if package is None:
        raise _unknown(distribution, "which package has the boot loader that is signed")
    if absent(lock, (package,)):
        raise TemplateError(
            "no-boot-files",
            f"the image has no package {package}, whose boot loader and stub start a live ISO under secure boot",
            hint=f"add {package} to systemConfig.packages",
            origin=spec.origin("systemConfig.secureBoot.key") or spec.origin("systemConfig.immutability.enabled"),
        )
    return package


def _live(distribution: Distribution) -> LiveData:
    if distribution.live is None:
        raise _unknown(distribution, "how its initrd finds the medium")
    return distribution.live


def _signed(live: LiveData, distribution: Distribution) -> InitrdModule:
    if live.signed is None:
        raise _unknown(distribution, "how its initrd learns which entry of the menu was chosen")
    return live.signed


def _grub(distribution: Distribution) -> GrubData:
    grub = distribution.boot.grub
    if grub is None or grub.efi is None or grub.bios is None:
        raise _unknown(distribution, "which GRUB starts it by UEFI and by a BIOS")
    return grub


def _unknown(distribution: Distribution, what: str) -> TemplateError:
    return TemplateError(
        "no-live-image",
        f"no live ISO can be made of {distribution.dist}",
        cause=f"its data do not say {what}",
    )
