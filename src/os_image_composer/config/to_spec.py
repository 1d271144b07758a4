"""The merged template as the frozen `ImageSpec` that the rest of the program reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from os_image_composer.config import rules, spec
from os_image_composer.config.artifacts import artifact
from os_image_composer.config.boot_rules import loader_name, makes_uki
from os_image_composer.config.folders import files_in_folder
from os_image_composer.config.secure_boot import secure_boot_spec
from os_image_composer.config.template import DiskTemplate, ImageTemplate, LiveTemplate, SystemTemplate
from os_image_composer.config.template_accounts import UserTemplate
from os_image_composer.config.template_network import NetworkTemplate
from os_image_composer.config.template_system import FileTemplate, KeyboardTemplate, ServicesTemplate
from os_image_composer.config.yaml_source import MappingNode, Node, ScalarNode, SequenceNode
from os_image_composer.errors import Origin

__all__ = ["image_spec", "local_file"]


def image_spec(
    model: ImageTemplate, chain: Sequence[tuple[str, MappingNode]], origins: Mapping[str, Origin]
) -> spec.ImageSpec:
    """`model` is the merge of `chain` and was checked whole; `origins` are the places of its values."""
    disk, system = model.disk, model.system_config
    if system is None:
        raise ValueError("the template was not checked")
    target = model.target
    files, origins = _files(system.additional_files, origins)
    keys = secure_boot_spec(system.secure_boot, system.immutability, origins)
    return spec.ImageSpec(
        name=model.image.name,
        version=model.image.version,
        target=spec.Target(target.os, target.dist, target.arch, target.image_type),
        disk=spec.NO_DISK if disk is None else _disk(disk),
        config_name=system.name or "",
        hostname=system.hostname or None,
        timezone=system.timezone,
        locale=system.locale,
        keyboard=_keyboard(system.keyboard),
        package_groups=_package_groups(chain),
        weak_dependencies=bool(system.weak_dependencies),
        bootloader=_bootloader(system),
        kernel=_kernel(system, signed_iso=target.image_type == "iso" and keys is not None),
        immutability=spec.Immutability(system.immutability is not None and system.immutability.enabled),
        users=tuple(_user(user) for user in system.users),
        groups=tuple(spec.Group(group.name, group.gid) for group in system.groups),
        network=_network(system.network),
        services=_services(system.services),
        selinux=system.selinux,
        additional_files=files,
        configurations=tuple(
            spec.Configuration(entry.cmd, origins.get(f"systemConfig.configurations[{index}].cmd"))
            for index, entry in enumerate(system.configurations)
        ),
        suites=tuple(
            spec.RequestedSuite(repository.codename, repository.priority) for repository in model.package_repositories
        ),
        live=_live(system.live, origins),
        secure_boot=keys,
        origins={**origins, **_package_places(chain)},
    )


def local_file(local: str, origin: Origin) -> Path:
    """The absolute path of a build host's file that a template names, relative to that template's folder."""
    return (Path(origin.file).parent / local).resolve()


def _disk(disk: DiskTemplate) -> spec.Disk:
    return spec.Disk(
        name=disk.name,
        size=disk.size,
        partition_table_type=disk.partition_table_type,
        partitions=tuple(
            spec.Partition(
                id=partition.id,
                name=partition.name or partition.id,
                type=partition.type,
                type_uuid=partition.type_uuid,
                fs_type=partition.fs_type,
                fs_label=partition.fs_label,
                start=partition.start,
                end=partition.end,
                mount_point=partition.mount_point,
                mount_options=partition.mount_options,
                flags=tuple(partition.flags),
            )
            for partition in disk.partitions
        ),
        artifacts=tuple(map(artifact, disk.artifacts)) or (spec.Artifact("raw"),),
    )


def _bootloader(system: SystemTemplate) -> spec.Bootloader:
    loader = system.bootloader
    if loader is None:
        return spec.Bootloader("", "")
    return spec.Bootloader(
        boot_type=loader.boot_type or "",
        provider=loader_name(loader.provider),
        timeout=loader.timeout or 0,
        tries=loader.tries,
        kernels=loader.kernels or "default",
        chain=loader.chain or "own",
    )


def _kernel(system: SystemTemplate, *, signed_iso: bool) -> spec.Kernel:
    """A signed ISO has a unified kernel image for UEFI, whatever starts it by a BIOS."""
    kernel = system.kernel
    if kernel is None:
        raise ValueError("the template was not checked")
    return spec.Kernel(
        version=kernel.version,
        cmdline=(kernel.cmdline or "").strip(),
        packages=tuple(kernel.packages or ()),
        extra_modules=tuple((kernel.enable_extra_modules or "").split()),
        uki=signed_iso or makes_uki(kernel.uki, loader_name(system.bootloader.provider if system.bootloader else None)),
    )


def _user(user: UserTemplate) -> spec.User:
    secret = spec.Secret(user.password) if user.password is not None else None
    hashed = user.password is not None and rules.is_hash(user.password)
    return spec.User(
        name=user.name,
        password=None if hashed else secret,
        password_hash=secret if hashed else None,
        hash_algo=user.hash_algo or "sha512",
        password_max_age=user.password_max_age,
        ssh_authorized_keys=tuple(dict.fromkeys(user.ssh_authorized_keys)),
        uid=user.uid,
        groups=tuple(dict.fromkeys(user.groups)),
        sudo=bool(user.sudo),
        home=user.home,
        shell=user.startup_script or user.shell,
    )


def _network(network: NetworkTemplate | None) -> spec.Network | None:
    if network is None or not network.interfaces:
        return None
    interfaces = tuple(
        spec.Interface(
            name=interface.name,
            mac_address=interface.mac_address,
            dhcp4=interface.dhcp4,
            dhcp6=interface.dhcp6,
            addresses=tuple(interface.addresses),
            routes=tuple(spec.Route(route.to, route.via) for route in interface.routes),
            nameservers=tuple(interface.nameservers),
            optional=interface.optional,
        )
        for interface in network.interfaces
    )
    return spec.Network(network.backend or "systemd-networkd", interfaces)


def _services(services: ServicesTemplate | None) -> spec.ServiceStates:
    if services is None:
        return spec.ServiceStates((), (), ())
    return spec.ServiceStates(tuple(services.enable), tuple(services.disable), tuple(services.mask))


def _keyboard(keyboard: KeyboardTemplate | None) -> spec.Keyboard | None:
    if keyboard is None:
        return None
    model = keyboard.model or "pc105"
    return spec.Keyboard(keyboard.layout, keyboard.variant or "", model, keyboard.options or "")


def _files(
    items: Sequence[FileTemplate], origins: Mapping[str, Origin]
) -> tuple[tuple[spec.AdditionalFile, ...], Mapping[str, Origin]]:
    """Every file, those of folders one by one, and the places with the numbers that they have now. Of two files for one
    place the later one counts, which may be a child's."""
    listed = "systemConfig.additionalFiles"
    found: dict[str, tuple[int, spec.AdditionalFile]] = {}
    for index, item in enumerate(items):
        local = local_file(item.local, origins[f"{listed}[{index}].local"])
        for file in _of_item(item, local):
            found.pop(file.final, None)
            found[file.final] = (index, file)
    places = {path: origin for path, origin in origins.items() if not path.startswith(f"{listed}[")}
    for number, (index, _) in enumerate(found.values()):
        own = f"{listed}[{index}]"
        places |= {f"{listed}[{number}]{p[len(own) :]}": o for p, o in origins.items() if p.startswith(own)}
    return tuple(file for _, file in found.values()), places


def _of_item(item: FileTemplate, local: Path) -> Iterator[spec.AdditionalFile]:
    if not local.is_dir():
        mode = int(item.mode.removeprefix("0o"), 8) if item.mode else None
        yield spec.AdditionalFile(local, item.final, mode, item.owner, item.group)
        return
    for path, final in files_in_folder(local, item.final):
        yield spec.AdditionalFile(path, final, None, item.owner, item.group, item.final)


def _live(live: LiveTemplate | None, origins: Mapping[str, Origin]) -> spec.Live:
    if live is None:
        return spec.Live()
    places = (origins[f"systemConfig.live.carry[{index}].local"] for index in range(len(live.carry)))
    carried = (
        spec.CarriedFile(local_file(item.local, place), item.name)
        for item, place in zip(live.carry, places, strict=True)
    )
    return spec.Live(live.title, tuple(carried))


def _package_groups(chain: Sequence[tuple[str, MappingNode]]) -> tuple[spec.PackageGroup, ...]:
    """One group for each template that adds packages, in the chain's order.

    Kernel packages belong to the last template that names them: one that replaces its parent's kernel must
    not find that kernel installed below it.
    """
    kernels = [_words(node, "systemConfig", "kernel", "packages") for _, node in chain]
    owner = max((index for index, kernel in enumerate(kernels) if kernel is not None), default=-1)
    groups: list[spec.PackageGroup] = []
    seen: set[str] = set()
    for index, (label, node) in enumerate(chain):
        wanted = [*(_words(node, "systemConfig", "packages") or ())]
        if index == owner:
            wanted += kernels[index] or ()
        added = tuple(name for name in dict.fromkeys(wanted) if name not in seen)
        seen.update(added)
        if added:
            groups.append(spec.PackageGroup(label, added))
    return tuple(groups)


def _package_places(chain: Sequence[tuple[str, MappingNode]]) -> dict[str, Origin]:
    """Where each package was asked for first."""
    places: dict[str, Origin] = {}
    for _, node in chain:
        for location in (("systemConfig", "packages"), ("systemConfig", "kernel", "packages")):
            found = _at(node, *location)
            for item in found.items if isinstance(found, SequenceNode) else ():
                if isinstance(item, ScalarNode):
                    places.setdefault(spec.package_key(item.text), item.origin)
    return places


def _at(node: MappingNode, *location: str) -> Node | None:
    found: Node | None = node
    for part in location:
        found = found.get(part) if isinstance(found, MappingNode) else None
    return found


def _words(node: MappingNode, *location: str) -> tuple[str, ...] | None:
    found = _at(node, *location)
    if not isinstance(found, SequenceNode):
        return None
    return tuple(item.text for item in found.items if isinstance(item, ScalarNode))
