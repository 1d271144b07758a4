"""THE list of steps of a raw image, in the order in which they happen."""

from __future__ import annotations

from dataclasses import dataclass

from os_image_composer.build.step import Input, Step
from os_image_composer.chroot.installer import Surroundings, all_of, installer_for
from os_image_composer.chroot.services import PackageFile
from os_image_composer.chroot.unpack import UnpackPackages
from os_image_composer.config.distribution import Distribution, Need
from os_image_composer.config.partition_roles import Role
from os_image_composer.config.spec import ImageSpec
from os_image_composer.errors import TemplateError
from os_image_composer.image.accounts import Account, AccountGroup
from os_image_composer.image.disk import WriteDisk
from os_image_composer.image.identifiers import derived_uuid
from os_image_composer.image.initrd import MakeInitrd
from os_image_composer.image.layout import DiskLayout, alone, bare, fstab, lay_out, root_device
from os_image_composer.image.os_config import ConfigureOs
from os_image_composer.image.placed_files import PlacedFile
from os_image_composer.image.projection import ProjectConfiguration
from os_image_composer.image.root_filesystem import WriteRootFilesystem
from os_image_composer.image.state import InitrdFile, state_settings
from os_image_composer.image.uki import MakeUki
from os_image_composer.image.units import UnitStates
from os_image_composer.image.verity import FormatVerity
from os_image_composer.ospackage.lock import Lock, PackageSet
from os_image_composer.provider.bill import ReadLicences, WriteBill, declared_packages

ROOT = "root-filesystem"
VERITY = "verity"
BILL = "sbom"  # the step whose result is published beside the image as well

# It configures the interfaces for both backends: netplan writes its files for it.
NETWORK_SERVICE = "systemd-networkd.service"


@dataclass(frozen=True)
class Extras:
    """What the plan needs beside spec and lock: users and files by digest, secrets and paths left out."""

    accounts: tuple[Account, ...]
    files: tuple[PlacedFile, ...]


def raw_image_steps(spec: ImageSpec, lock: Lock, distribution: Distribution, extras: Extras) -> list[Step]:
    """Every step from locked packages to the disk image, inputs before what uses them."""
    layout = lay_out(spec, lock.seed)
    tools = Step("image-tools", UnpackPackages(_files(lock.sets["image-tools"])))
    surroundings = _surroundings(lock, distribution)
    installed = installer_for(distribution.family).installed(lock.sets["image"], lock.sets["chroot"], surroundings)
    layers = list(installed.layers)
    configured = _configured(spec, lock, distribution, extras, layout, layers)
    projected = _projected(distribution, layers, configured)
    initrd = _initrd(spec, lock, distribution, layout, layers, projected)
    licences, bill = _bill(spec, lock, distribution, layers, configured)
    whole = [*layers, configured, bill]
    root = _root(lock, layout, whole, tools)
    boot = _boot(spec, lock, distribution, layout, layers, initrd, tools, root)
    disk = _disk(lock, layout, whole, tools, root, boot)
    return [tools, *installed.steps, configured, projected, initrd, licences, bill, *root, boot, disk]


def _root(lock: Lock, layout: DiskLayout, whole: list[Step], tools: Step) -> list[Step]:
    """The root filesystem as a file, where nothing is written to it, and the hash tree over that where it is sealed."""
    if not layout.read_only_root:
        return []
    partition, of_tools = layout.root, Input("tools", tools.name)
    action = WriteRootFilesystem(alone(partition), lock.source_date_epoch)
    root = Step(ROOT, action, (*all_of("lower", whole), of_tools))
    if not layout.verity:
        return [root]
    parts = (derived_uuid(lock.seed, partition.id, f"verity-salt-{n}") for n in (1, 2))
    seal = FormatVerity("".join(part.hex for part in parts), str(derived_uuid(lock.seed, partition.id, "verity")))
    return [root, Step(VERITY, seal, (Input("root", root.name), of_tools))]


def _disk(lock: Lock, layout: DiskLayout, whole: list[Step], tools: Step, root: list[Step], boot: Step) -> Step:
    """It sees the layers only where something on the disk is made of them."""
    on_disk = bare(layout)
    from_layers = any(p.mount_point for p in on_disk.partitions if not (root and p.role is Role.ROOT))
    inputs = (
        *(all_of("lower", whole) if from_layers else ()),
        *(Input({ROOT: "root", VERITY: "verity"}[step.name], step.name) for step in root),
        Input("boot", boot.name),
        Input("tools", tools.name),
    )
    return Step("disk", WriteDisk(on_disk, lock.source_date_epoch), inputs)


def _configured(
    spec: ImageSpec, lock: Lock, distribution: Distribution, extras: Extras, layout: DiskLayout, layers: list[Step]
) -> Step:
    mounted = (p.mount_point for p in layout.partitions)
    action = ConfigureOs(
        hostname=spec.hostname,
        timezone=spec.timezone,
        locale=spec.locale,
        keyboard=spec.keyboard,
        fstab=fstab(layout),
        mount_points=tuple(point for point in mounted if point and point != "none"),
        files=extras.files,
        groups=tuple(AccountGroup(group.name, group.gid) for group in spec.groups),
        accounts=extras.accounts,
        network=spec.network,
        commands=tuple(c.cmd for c in spec.configurations),
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
    layout: DiskLayout,
    layers: list[Step],
    projected: Step,
) -> Step:
    state = _state(spec, distribution, layout)
    action = MakeInitrd(
        argv=(*_initrd_argv(spec, distribution), *state.argv),
        environment=_surroundings(lock, distribution).environment,
        kernel=distribution.boot.kernel,
        modules=distribution.boot.modules,
        kernel_version=spec.kernel.version,
        source_date_epoch=lock.source_date_epoch,
        dated_by=distribution.initrd.dated_by,
        files=state.files,
        needs=state.needs,
    )
    return Step("initrd", action, (*all_of("lower", layers), Input("projection", projected.name)))


@dataclass(frozen=True)
class _State:
    """What the initrd takes for a root that cannot be written to."""

    argv: tuple[str, ...] = ()
    files: tuple[InitrdFile, ...] = ()
    needs: tuple[Need, ...] = ()


def _state(spec: ImageSpec, distribution: Distribution, layout: DiskLayout) -> _State:
    """Raises TemplateError `no-read-only-root` for a distribution whose initrd cannot do it."""
    if not layout.read_only_root:
        return _State()
    data = distribution.initrd.read_only_root
    if data is None:
        raise TemplateError(
            "no-read-only-root",
            f"{distribution.dist} cannot have a root that is never written to",
            cause="its data do not say how its initrd sets up what changes",
            hint="use ext4 for '/' and systemConfig.immutability: {enabled: false}",
            origin=spec.origin("systemConfig.immutability.enabled") or spec.origin("disk"),
        )
    own = tuple(InitrdFile(f"{data.into}/{name}", text, program) for name, text, program in data.files)
    settings = state_settings(layout, data.into, data.verified)
    if not layout.verity:
        return _State(data.argv, (*own, *settings), data.needs)
    return _State((*data.argv, *data.verity_argv), (*own, *settings), (*data.needs, *data.verity_needs))


def _boot(
    spec: ImageSpec,
    lock: Lock,
    distribution: Distribution,
    layout: DiskLayout,
    layers: list[Step],
    initrd: Step,
    tools: Step,
    root: list[Step],
) -> Step:
    boot = distribution.boot
    action = MakeUki(
        name=f"{spec.name}.efi",
        cmdline=f"root={root_device(layout)} {'ro' if layout.read_only_root else 'rw'} {spec.kernel.cmdline}".strip(),
        kernel=boot.kernel,
        modules=boot.modules,
        kernel_version=spec.kernel.version,
        stub=boot.stub,
        loader=boot.loader,
        removable_path=boot.removable_path,
        source_date_epoch=lock.source_date_epoch,
    )
    seal = (Input("verity", step.name) for step in root if step.name == VERITY)
    inputs = (*all_of("lower", layers), Input("initrd", initrd.name), *seal, Input("tools", tools.name))
    return Step("boot", action, inputs)


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
