"""The steps of a root that is never written to: its filesystem as a file, the seal over it, what the initrd does for
what changes; and the disk, which takes them up."""

from __future__ import annotations

from dataclasses import dataclass

from os_image_composer.build.step import Input, Step
from os_image_composer.chroot.installer import all_of
from os_image_composer.config.distribution import Distribution, PackagedFile
from os_image_composer.config.partition_roles import Role
from os_image_composer.config.spec import ImageSpec
from os_image_composer.errors import TemplateError
from os_image_composer.image.disk import WriteDisk
from os_image_composer.image.identifiers import derived_uuid
from os_image_composer.image.initrd import InitrdFile
from os_image_composer.image.layout import DiskLayout, alone, bare
from os_image_composer.image.root_filesystem import WriteRootFilesystem
from os_image_composer.image.state import state_settings
from os_image_composer.image.verity import FormatVerity
from os_image_composer.ospackage.lock import Lock


@dataclass(frozen=True)
class RootSteps:
    """`filesystem` leaves the root as a file, None where it is written straight into the disk; `seal` its hash tree."""

    filesystem: Step | None = None
    seal: Step | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for step in (self.filesystem, self.seal) if step)

    def inputs(self) -> tuple[Input, ...]:
        """As the disk declares them."""
        named = (("root", self.filesystem), ("verity", self.seal))
        return tuple(Input(role, step.name) for role, step in named if step)


@dataclass(frozen=True)
class ForInitrd:
    """What an initrd takes beside the distribution's own."""

    argv: tuple[str, ...] = ()
    files: tuple[InitrdFile, ...] = ()
    needs: tuple[PackagedFile, ...] = ()


def root_steps(
    lock: Lock,
    layout: DiskLayout,
    whole: list[Step],
    tools: Step,
    distribution: Distribution,
    labels: tuple[Input, ...] = (),
) -> RootSteps:
    """`whole` are the layers of the finished root, `labels` what it is labelled with."""
    if not layout.read_only_root:
        return RootSteps()
    partition, of_tools = layout.root, Input("tools", tools.name)
    compression = distribution.squashfs if partition.filesystem == "squashfs" else ""
    action = WriteRootFilesystem(alone(partition), lock.source_date_epoch, compression)
    root = Step("root-filesystem", action, (*all_of("lower", whole), *labels, of_tools))
    if not layout.verity:
        return RootSteps(root)
    parts = (derived_uuid(lock.seed, partition.id, f"verity-salt-{n}") for n in (1, 2))
    seal = FormatVerity("".join(part.hex for part in parts), str(derived_uuid(lock.seed, partition.id, "verity")))
    return RootSteps(root, Step("verity", seal, (Input("root", root.name), of_tools)))


def disk_step(
    lock: Lock,
    layout: DiskLayout,
    whole: list[Step],
    tools: Step,
    root: RootSteps,
    boot: Step,
    labels: tuple[Input, ...] = (),
) -> Step:
    """It sees the layers only where something on the disk is made of them."""
    on_disk = bare(layout)
    made = {Role.ROOT} if root.filesystem else set[Role]()
    from_layers = any(p.mount_point for p in on_disk.partitions if p.role not in made)
    inputs = (*((*all_of("lower", whole), *labels) if from_layers else ()), *root.inputs())
    files = (Input("boot", boot.name), Input("tools", tools.name))
    return Step("disk", WriteDisk(on_disk, lock.source_date_epoch), (*inputs, *files))


def initrd_for(spec: ImageSpec, distribution: Distribution, layout: DiskLayout) -> ForInitrd:
    """Raises TemplateError `no-read-only-root` for a distribution whose initrd cannot do it."""
    if not layout.read_only_root:
        return ForInitrd()
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
        return ForInitrd(data.argv, (*own, *settings), data.needs)
    return ForInitrd((*data.argv, *data.verity_argv), (*own, *settings), (*data.needs, *data.verity_needs))
