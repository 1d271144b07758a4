"""THE list of steps of an image of each kind, in the order in which they happen; `pack_steps` has those behind the
disk."""

from __future__ import annotations

from dataclasses import dataclass

from os_image_composer.build.step import Input, Step
from os_image_composer.chroot.installer import Surroundings, all_of, installer_for
from os_image_composer.chroot.services import PackageFile
from os_image_composer.chroot.unpack import UnpackPackages
from os_image_composer.config.distribution import Distribution
from os_image_composer.config.spec import ImageSpec
from os_image_composer.image.accounts import Account, AccountGroup
from os_image_composer.image.carried_files import CarriedFile
from os_image_composer.image.enrolment import MakeEnrolment
from os_image_composer.image.identifiers import derived_uuid, fat_serial
from os_image_composer.image.initrd import MakeInitrd
from os_image_composer.image.initrd_image import CopyKernel, PrepareInitrdRoot, WriteInitrdImage, WriteStartExample
from os_image_composer.image.iso import WriteIso, esp_partition
from os_image_composer.image.layout import DiskLayout, fstab, lay_out
from os_image_composer.image.live_root import WriteSquashfs
from os_image_composer.image.os_config import ConfigureOs
from os_image_composer.image.placed_files import PlacedFile
from os_image_composer.image.projection import ProjectConfiguration
from os_image_composer.image.sign_boot import SignBoot
from os_image_composer.image.units import UnitStates
from os_image_composer.ospackage.lock import Lock, PackageSet
from os_image_composer.provider.bill import ReadLicences, WriteBill, declared_packages
from os_image_composer.provider.boot_keys import BootCertificates
from os_image_composer.provider.boot_steps import boot_steps, kernel_choice, makes_initrd
from os_image_composer.provider.live_steps import live_boot_step, live_initrd, medium_label, seal_step
from os_image_composer.provider.needed_packages import check_initrd_needs
from os_image_composer.provider.pack_steps import (
    INITRD_IMAGE,
    IPXE_EXAMPLE,
    ISO_IMAGE,
    KERNEL,
    QEMU_EXAMPLE,
    file_names,
    pack_steps,
)
from os_image_composer.provider.root_steps import ForInitrd, disk_step, initrd_for, root_steps
from os_image_composer.provider.selinux_steps import asked, label_steps, labelled, switched

BILL = "sbom"  # the step whose result is published beside the image as well
ENROLMENT = "enrolment"  # the same, where there are keys to enrol

# It configures the interfaces for both backends: netplan writes its files for it.
NETWORK_SERVICE = "systemd-networkd.service"


@dataclass(frozen=True)
class Extras:
    """What the plan needs beside spec and lock: users, files and keys by digest, secrets and paths left out."""

    accounts: tuple[Account, ...]
    files: tuple[PlacedFile, ...]
    boot_certificates: BootCertificates | None = None
    carried: tuple[CarriedFile, ...] = ()


def image_steps(spec: ImageSpec, lock: Lock, distribution: Distribution, extras: Extras) -> list[Step]:
    """Every step from locked packages to what is published."""
    kinds = {"raw": raw_image_steps, "img": initrd_image_steps, "iso": live_image_steps}
    return kinds[spec.target.image_type](spec, lock, distribution, extras)


def initrd_image_steps(spec: ImageSpec, lock: Lock, distribution: Distribution, extras: Extras) -> list[Step]:
    """The root filesystem as an initrd, the kernel, and how they are started."""
    spec = switched(spec, distribution)
    tools = Step("image-tools", UnpackPackages(_files(lock.sets["image-tools"])))
    surroundings = _surroundings(lock, distribution)
    installed = installer_for(distribution.family).installed(lock.sets["image"], lock.sets["chroot"], surroundings)
    layers = list(installed.layers)
    configured = _configured(spec, lock, distribution, extras, None, layers)
    licences, bill = _bill(spec, lock, distribution, layers, configured)
    whole = [*layers, configured, bill]
    root = Step("initrd-root", PrepareInitrdRoot(), all_of("lower", whole))
    lower = all_of("lower", [*whole, root])
    image = Step(INITRD_IMAGE, WriteInitrdImage(lock.source_date_epoch), (*lower, Input("tools", tools.name)))
    kernel = Step(KERNEL, CopyKernel(kernel_choice(spec, distribution.boot)), all_of("lower", layers))
    names = file_names(spec)
    examples = [
        Step(step, WriteStartExample(form, spec.name, names[KERNEL], names[INITRD_IMAGE], spec.kernel.cmdline), lower)
        for form, step in (("qemu", QEMU_EXAMPLE), ("ipxe", IPXE_EXAMPLE))
    ]
    return [tools, *installed.steps, configured, licences, bill, root, kernel, *examples, image]


def live_image_steps(spec: ImageSpec, lock: Lock, distribution: Distribution, extras: Extras) -> list[Step]:
    """The root filesystem on a medium that starts it, and lets it run from there."""
    spec = switched(spec, distribution)
    tools = Step("image-tools", UnpackPackages(_files(lock.sets["image-tools"])))
    uses = Input("tools", tools.name)
    surroundings = _surroundings(lock, distribution)
    installed = installer_for(distribution.family).installed(lock.sets["image"], lock.sets["chroot"], surroundings)
    layers = list(installed.layers)
    configured = _configured(spec, lock, distribution, extras, None, layers)
    projected = _projected(distribution, layers, configured)
    initrd = _initrd(spec, lock, distribution, layers, projected, live_initrd(spec, distribution))
    licences, bill = _bill(spec, lock, distribution, layers, configured)
    squashfs = WriteSquashfs(distribution.squashfs, lock.source_date_epoch)
    root = Step("root-filesystem", squashfs, (*all_of("lower", [*layers, configured, bill]), uses))
    seal = seal_step(spec, lock, root, tools)
    boot = live_boot_step(spec, lock, distribution, layers, initrd, tools, seal)
    signed = _signed(spec, lock, boot, extras)
    bootable = signed[-1] if signed else boot
    disk, esp = (derived_uuid(lock.seed, name) for name in ("disk", "esp"))
    label = medium_label(spec, lock)
    iso = WriteIso(label, str(disk), esp_partition(str(esp), fat_serial(esp)), lock.source_date_epoch, extras.carried)
    sealed = (Input("verity", seal.name),) if seal else ()
    medium = Step(ISO_IMAGE, iso, (Input("boot", bootable.name), Input("root", root.name), *sealed, uses))
    before = [tools, *installed.steps, configured, projected, initrd, licences, bill, root]
    return [*before, *((seal,) if seal else ()), boot, *signed, medium]


def raw_image_steps(spec: ImageSpec, lock: Lock, distribution: Distribution, extras: Extras) -> list[Step]:
    """Every step from locked packages to what is published, inputs before what uses them."""
    spec, layout = switched(spec, distribution), lay_out(spec, lock.seed)
    tools = Step("image-tools", UnpackPackages(_files(lock.sets["image-tools"])))
    surroundings = _surroundings(lock, distribution)
    installed = installer_for(distribution.family).installed(lock.sets["image"], lock.sets["chroot"], surroundings)
    layers = list(installed.layers)
    configured = _configured(spec, lock, distribution, extras, layout, layers)
    for_boot: list[Step] = []
    if makes_initrd(spec, distribution.boot):
        projected = _projected(distribution, layers, configured)
        more = initrd_for(spec, distribution, layout)
        for_boot = [projected, _initrd(spec, lock, distribution, layers, projected, more)]
    licences, bill = _bill(spec, lock, distribution, layers, configured)
    whole = [*layers, configured, bill]
    # A root that is never written to is whole, and has its labels, before there is anything that boots it.
    early = label_steps(spec, distribution, whole) if layout.read_only_root else []
    root = root_steps(lock, layout, whole, tools, distribution, labelled(early))
    boot = boot_steps(spec, lock, distribution, layout, layers, for_boot[-1] if for_boot else None, tools, root.seal)
    signed = _signed(spec, lock, boot.files, extras)
    bootable = signed[-1] if signed else boot.files
    whole = [*whole, *boot.layers]
    late = label_steps(spec, distribution, whole) if not layout.read_only_root else []
    labels = labelled([*early, *late])
    disk = disk_step(lock, layout, whole, tools, root, bootable, labels)
    packed = pack_steps(spec, lock, disk, (*all_of("lower", whole), *labels))
    made = (*early, *root.steps, *boot.steps, *signed, *late)
    return [tools, *installed.steps, configured, *for_boot, licences, bill, *made, disk, *packed]


def _configured(
    spec: ImageSpec,
    lock: Lock,
    distribution: Distribution,
    extras: Extras,
    layout: DiskLayout | None,
    layers: list[Step],
) -> Step:
    """Without `layout` nothing is mounted but the root itself."""
    mounted = (p.mount_point for p in layout.partitions) if layout else ()
    action = ConfigureOs(
        hostname=spec.hostname,
        timezone=spec.timezone,
        locale=spec.locale,
        keyboard=spec.keyboard,
        fstab=fstab(layout) if layout else "",
        mount_points=tuple(point for point in mounted if point and point != "none"),
        files=extras.files,
        groups=tuple(AccountGroup(group.name, group.gid) for group in spec.groups),
        accounts=extras.accounts,
        network=spec.network,
        commands=tuple(c.cmd for c in spec.configurations),
        selinux=asked(spec, distribution),
        units=_units(spec),
        leftovers=distribution.leftovers,
        first_boot=distribution.first_boot,
        environment=_surroundings(lock, distribution).environment,
        source_date_epoch=lock.source_date_epoch,
    )
    return Step("os-configuration", action, all_of("lower", layers))


def _units(spec: ImageSpec) -> UnitStates:
    """What the template says of units; interfaces need the service that configures them, unless it says otherwise."""
    states = spec.services
    enable = states.enable
    said = {*enable, *states.disable, *states.mask}
    if spec.network is not None and NETWORK_SERVICE not in said:
        enable = (*enable, NETWORK_SERVICE)
    return UnitStates(enable, states.disable, states.mask)


def _projected(distribution: Distribution, layers: list[Step], configured: Step) -> Step:
    """The part of the configuration that the initrd generator reads."""
    action = ProjectConfiguration(distribution.initrd.configuration)
    return Step("initrd-configuration", action, (*all_of("packages", layers), Input("configuration", configured.name)))


def _initrd(
    spec: ImageSpec,
    lock: Lock,
    distribution: Distribution,
    layers: list[Step],
    projected: Step,
    more: ForInitrd,
) -> Step:
    """Raises TemplateError `initrd-incomplete`."""
    check_initrd_needs(spec, lock, distribution, more.needs)
    action = MakeInitrd(
        argv=(*_initrd_argv(spec, distribution), *more.argv),
        environment=_surroundings(lock, distribution).environment,
        kernels=kernel_choice(spec, distribution.boot),
        source_date_epoch=lock.source_date_epoch,
        dated_by=distribution.initrd.dated_by,
        files=more.files,
        needs=more.needs,
    )
    return Step("initrd", action, (*all_of("lower", layers), Input("projection", projected.name)))


def _signed(spec: ImageSpec, lock: Lock, boot: Step, extras: Extras) -> list[Step]:
    """What is enrolled, and the boot step's files signed; nothing where the template names no keys."""
    said, certificates = spec.secure_boot, extras.boot_certificates
    if said is None or certificates is None:
        return []
    trusted = tuple(c.sha256 for c in certificates.trusted)
    digests = (certificates.pk.sha256, certificates.kek.sha256, certificates.db.sha256)
    dated = lock.source_date_epoch if said.dated is None else said.dated
    enrolment = Step(ENROLMENT, MakeEnrolment(*digests, trusted, dated))
    inputs = (Input("boot", boot.name), *((Input(ENROLMENT, enrolment.name),) if said.enroll != "manual" else ()))
    return [enrolment, Step("sign-boot", SignBoot(certificates.db.sha256, said.enroll), inputs)]


def _bill(
    spec: ImageSpec, lock: Lock, distribution: Distribution, layers: list[Step], configured: Step
) -> tuple[Step, Step]:
    """The licences of the packages, and the bill of materials of the finished root."""
    licences = Step("licences", ReadLicences(distribution.family), all_of("lower", layers))
    action = WriteBill(
        family=distribution.family,
        purl_namespace=distribution.purl_namespace,
        image=spec.name,
        image_version=spec.version,
        arch=spec.target.arch,
        seed=lock.seed,
        source_date_epoch=lock.source_date_epoch,
        packages=declared_packages(lock, distribution),
    )
    return licences, Step(BILL, action, (*all_of("lower", [*layers, configured]), Input("licences", licences.name)))


def _surroundings(lock: Lock, distribution: Distribution) -> Surroundings:
    """What package scripts see."""
    return Surroundings(
        distribution.package_arch,
        distribution.held_back,
        tuple(sorted(distribution.environment.items())),
        distribution.leftovers,
        lock.source_date_epoch,
    )


def _files(packages: PackageSet) -> tuple[PackageFile, ...]:
    return tuple(PackageFile.of(p) for p in packages.packages())


def _initrd_argv(spec: ImageSpec, distribution: Distribution) -> tuple[str, ...]:
    initrd = distribution.initrd
    modules = spec.kernel.extra_modules
    return (*initrd.argv, *((initrd.extra_modules_option, " ".join(modules)) if modules else ()))
