"""Distribution data: what stands under `osv` in the configuration folder, checked and as values.

osv/image-tools.yml
osv/<os>/<dist>/config.yml                                  the distribution and its architectures; `extends` names
                                                            a file that it shares with others
osv/<os>/<dist>/providerconfigs/<arch>_repo.yml             its repositories
osv/<os>/<dist>/chrootenvconfigs/chrootenv_<arch>.yml       its chroot environment
osv/<os>/<dist>/imageconfigs/defaultconfigs/default-<type>-<arch>.yml
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

from os_image_composer.config.distribution import (
    BootData,
    Distribution,
    FirstBootFile,
    GrubData,
    GrubPlatform,
    ImageTools,
    InitrdData,
    InitrdModule,
    LiveData,
    PackagedFile,
    ReadOnlyRootData,
    RepositoryData,
    SelinuxData,
    VendorChain,
)
from os_image_composer.config.findings import check, failure
from os_image_composer.config.merge import merge_mappings
from os_image_composer.config.nearest import did_you_mean
from os_image_composer.config.rules import pattern, wrong
from os_image_composer.config.spec import Target
from os_image_composer.config.yaml_source import MappingNode, ScalarNode, read_yaml
from os_image_composer.errors import UsageError

__all__ = ["default_template_path", "known_targets", "load_distribution", "load_image_tools"]

# What the file names call a kind of image, as the tool's predecessor does.
_FILE_WORDS = {"img": "initrd"}
DEFAULT_TEMPLATE = re.compile(r"default-([a-z0-9]+)-([a-z0-9_]+)\.yml")

Model = TypeVar("Model", bound=BaseModel)


def _relative_glob(value: str) -> str:
    if value.startswith("/") or ".." in value.split("/") or not value:
        raise wrong("wrong-value", f"'{value}' is not a path below the image's root", "no leading '/', no '..'")
    return value


def _mentions(*places: str) -> AfterValidator:
    def rule(argv: list[str]) -> list[str]:
        for place in places:
            if not any(place in argument for argument in argv):
                raise wrong("wrong-value", f"must hold '{place}'")
        return argv

    return AfterValidator(rule)


Fingerprint = Annotated[str, AfterValidator(pattern(r"[0-9A-F]{40}", "40 upper-case hex digits"))]
Word = Annotated[str, AfterValidator(pattern(r"[A-Za-z0-9][A-Za-z0-9._+/-]*", "a plain word"))]
Compression = Annotated[str, AfterValidator(pattern(r"gzip|lz4|xz|zstd", "gzip, lz4, xz or zstd"))]
Program = Annotated[str, AfterValidator(pattern(r"[A-Za-z0-9][A-Za-z0-9._-]*", "a program's name, no path"))]
Variable = Annotated[str, AfterValidator(pattern(r"[A-Z_][A-Z0-9_]*", "an environment variable's name"))]
Glob = Annotated[str, AfterValidator(_relative_glob)]
KernelWord = Annotated[str, AfterValidator(pattern(r"[a-z_]+=[A-Za-z0-9_,]+", "a word such as selinux=1"))]
AbsolutePath = Annotated[str, AfterValidator(pattern(r"/.+", "an absolute path"))]
Url = Annotated[str, AfterValidator(pattern(r"(https?|file)://[^@\s]+", "http, https or file, no credentials"))]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


class _Repository(_Section):
    name: Word
    mirror: Word
    url: Url | None
    suites: list[Word] = []
    components: list[Word] = []
    fingerprints: list[Fingerprint]
    keyrings: list[AbsolutePath]
    priority: int | None = None
    key_url: Url | None = None
    signed_packages: bool = True
    enabled: bool = True


class _Repositories(_Section):
    repositories: list[_Repository]


class _Packages(_Section):
    packages: list[Word]


class _Tools(_Section):
    os: Word
    dist: Word
    packages: list[Word]
    format_packages: list[Word]


class _PackagedFile(_Section):
    path: Glob
    package: Word


class _ReadOnlyRoot(_Section):
    argv: list[str]
    verity_argv: list[str]
    files: Glob
    into: Glob
    cmdline: Annotated[str, AfterValidator(pattern(r"[ -~]*", "printable ASCII"))] = ""
    verified: list[Glob]
    needs: list[_PackagedFile]
    verity_needs: list[_PackagedFile]
    packages_known: bool = False


class _Initrd(_Section):
    argv: Annotated[list[str], _mentions("{kernel}", "{output}")]
    extra_modules_option: str
    configuration: list[Glob]
    dated_by: list[Glob] = []
    read_only_root: _ReadOnlyRoot | None = None


class _GrubPlatform(_Section):
    format: Word
    modules: _PackagedFile
    sbat: _PackagedFile | None = None


class _Grub(_Section):
    mkimage: _PackagedFile
    efi: _GrubPlatform | None = None
    bios: _GrubPlatform | None = None


class _VendorChain(_Section):
    shim: _PackagedFile
    loader: _PackagedFile
    key_manager: _PackagedFile
    loader_path: Glob
    key_manager_path: Glob
    config: Glob | None = None
    uki: _PackagedFile | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> _VendorChain:
        if (self.config is None) == (self.uki is None):
            message = "must have either 'config', GRUB's menu, or 'uki', what systemd-boot starts"
            raise wrong("wrong-value", message, "a vendor's chain is one of the two")
        return self


class _Boot(_Section):
    kernel: Glob
    modules: Glob
    stub: Glob
    loader: Glob
    removable_path: Glob
    loader_package: Word | None = None
    bless: _PackagedFile | None = None
    grub: _Grub | None = None
    vendor: _VendorChain | None = None


class _InitrdModule(_Section):
    argv: list[str]
    files: Glob
    into: Glob


class _Live(_InitrdModule):
    signed: _InitrdModule | None = None


class _Architecture(_Section):
    package_arch: Word
    boot: _Boot


class _FirstBootFile(_Section):
    when: Glob
    path: AbsolutePath
    content: str


class _Selinux(_Section):
    packages: list[Word] = []
    on: list[KernelWord] = list(SelinuxData.on)
    off: list[KernelWord] = list(SelinuxData.off)


class _Distribution(_Section):
    family: Word
    release_version: str
    sudo_group: Word
    held_back: list[Program]
    environment: dict[Variable, str]
    initrd: _Initrd
    leftovers: list[Glob]
    first_boot: list[_FirstBootFile]
    purl_namespace: Word | None = None
    selinux: _Selinux = _Selinux()
    live: _Live | None = None
    squashfs: Compression = "zstd"
    architectures: dict[Word, _Architecture]


def load_distribution(os: str, dist: str, arch: str, data: Path) -> Distribution:
    """What is known about `dist` on `arch`; `data` is the folder that holds `osv`.

    Raises UsageError when there is no such distribution, or its files are wrong.
    """
    folder = data / "osv" / os / dist
    if not (folder / "config.yml").is_file():
        raise _unknown(f"{os}/{dist}", _distributions(data), data)
    common = _read(folder / "config.yml", _Distribution, data)
    machine = common.architectures.get(arch)
    if machine is None:
        raise _unknown(f"{os}/{dist}/{arch}", tuple(f"{os}/{dist}/{a}" for a in common.architectures), data)
    repositories = _read(folder / "providerconfigs" / f"{arch}_repo.yml", _Repositories).repositories
    chroot = _read(folder / "chrootenvconfigs" / f"chrootenv_{arch}.yml", _Packages)
    return Distribution(
        os=os,
        dist=dist,
        arch=arch,
        family=common.family,
        release_version=common.release_version,
        package_arch=machine.package_arch,
        repositories=tuple(_repository(item) for item in repositories),
        chroot_packages=tuple(chroot.packages),
        held_back=tuple(common.held_back),
        environment=dict(common.environment),
        initrd=InitrdData(
            tuple(common.initrd.argv),
            common.initrd.extra_modules_option,
            tuple(common.initrd.configuration),
            tuple(common.initrd.dated_by),
            _read_only_root(common.initrd.read_only_root, data),
        ),
        boot=_boot(machine.boot),
        sudo_group=common.sudo_group,
        leftovers=tuple(common.leftovers),
        first_boot=tuple(FirstBootFile(file.when, file.path, file.content) for file in common.first_boot),
        purl_namespace=common.purl_namespace,
        selinux=SelinuxData(tuple(common.selinux.packages), tuple(common.selinux.on), tuple(common.selinux.off)),
        live=_live(common.live, data),
        squashfs=common.squashfs,
    )


def load_image_tools(data: Path) -> ImageTools:
    """Which packages the environments of image tools are made of. Raises UsageError when the file is wrong."""
    tools = _read(data / "osv" / "image-tools.yml", _Tools)
    return ImageTools(tools.os, tools.dist, tuple(tools.packages), tuple(tools.format_packages))


def known_targets(data: Path) -> tuple[Target, ...]:
    """Every target that can be built: those with distribution data and an OS default template, sorted."""
    found = []
    for path in data.glob("osv/*/*/imageconfigs/defaultconfigs/default-*.yml"):
        match = DEFAULT_TEMPLATE.fullmatch(path.name)
        folder = path.parents[2]
        if match and (folder / "config.yml").is_file():
            word, arch = match.groups()
            image_type = next((kind for kind, name in _FILE_WORDS.items() if name == word), word)
            found.append((folder.parent.name, folder.name, arch, image_type))
    return tuple(Target(*words) for words in sorted(found))


def default_template_path(data: Path, target: Target) -> Path:
    """Where the OS default template of `target` is, whether it exists or not."""
    name = f"default-{_FILE_WORDS.get(target.image_type, target.image_type)}-{target.arch}.yml"
    return data / "osv" / target.os / target.dist / "imageconfigs" / "defaultconfigs" / name


def _live(item: _Live | None, data: Path) -> LiveData | None:
    if item is None:
        return None
    signed = item.signed
    further = InitrdModule(*_module(signed, data)) if signed else None
    return LiveData(*_module(item, data), signed=further)


def _module(item: _InitrdModule, data: Path) -> tuple[tuple[str, ...], str, tuple[tuple[str, str, bool], ...]]:
    return tuple(item.argv), item.into, _files(data / "osv" / item.files)


def _read_only_root(item: _ReadOnlyRoot | None, data: Path) -> ReadOnlyRootData | None:
    if item is None:
        return None
    return ReadOnlyRootData(
        argv=tuple(item.argv),
        verity_argv=tuple(item.verity_argv),
        into=item.into,
        files=_files(data / "osv" / item.files),
        cmdline=item.cmdline,
        verified=tuple(item.verified),
        needs=tuple(PackagedFile(need.path, need.package) for need in item.needs),
        verity_needs=tuple(PackagedFile(need.path, need.package) for need in item.verity_needs),
        packages_known=item.packages_known,
    )


def _files(folder: Path) -> tuple[tuple[str, str, bool], ...]:
    """Name, text, and whether it is a program, of each file. Raises UsageError where the folder cannot be read."""
    try:
        found = [(path.name, path.read_text(), bool(path.stat().st_mode & 0o100)) for path in sorted(folder.iterdir())]
    except (OSError, UnicodeError) as error:
        raise UsageError("invalid-distribution-data", f"'{folder}' cannot be read", cause=str(error)) from error
    return tuple(found)


def _repository(item: _Repository) -> RepositoryData:
    return RepositoryData(
        name=item.name,
        mirror=item.mirror,
        url=item.url,
        suites=tuple(item.suites),
        components=tuple(item.components),
        fingerprints=tuple(item.fingerprints),
        keyrings=tuple(Path(path) for path in item.keyrings),
        priority=item.priority,
        key_url=item.key_url,
        signed_packages=item.signed_packages,
        enabled=item.enabled,
    )


def _boot(found: _Boot) -> BootData:
    return BootData(
        kernel=found.kernel,
        modules=found.modules,
        stub=found.stub,
        loader=found.loader,
        removable_path=found.removable_path,
        loader_package=found.loader_package,
        bless=_file(found.bless) if found.bless else None,
        grub=_grub(found.grub) if found.grub else None,
        vendor=_vendor(found.vendor) if found.vendor else None,
    )


def _grub(found: _Grub) -> GrubData:
    efi, bios = (_platform(p) if p else None for p in (found.efi, found.bios))
    return GrubData(_file(found.mkimage), efi, bios)


def _platform(found: _GrubPlatform) -> GrubPlatform:
    return GrubPlatform(found.format, _file(found.modules), _file(found.sbat) if found.sbat else None)


def _vendor(found: _VendorChain) -> VendorChain:
    return VendorChain(
        shim=_file(found.shim),
        loader=_file(found.loader),
        key_manager=_file(found.key_manager),
        loader_path=found.loader_path,
        key_manager_path=found.key_manager_path,
        config=found.config,
        uki=_file(found.uki) if found.uki else None,
    )


def _file(found: _PackagedFile) -> PackagedFile:
    return PackagedFile(found.path, found.package)


def _distributions(data: Path) -> tuple[str, ...]:
    found = data.glob("osv/*/*/config.yml")
    return tuple(sorted(f"{path.parent.parent.name}/{path.parent.name}" for path in found))


def _unknown(name: str, known: tuple[str, ...], data: Path) -> UsageError:
    near = did_you_mean(name, known)
    there = "there is " + ", ".join(known) if known else f"there is none in '{data}'"
    return UsageError(
        "unknown-distribution",
        f"there is no distribution data for {name}",
        cause=there,
        hint=near or "check target in the template, and the setting config_dir",
    )


def _read(path: Path, model: type[Model], data: Path | None = None) -> Model:
    """One file, and where `data` is given, over the file that its `extends` names."""
    node = read_yaml(path, UsageError)
    value, findings = check(_over_shared(node, path, data) if data else node, model)
    if value is None:
        raise failure(UsageError, "invalid-distribution-data", f"'{path}'", findings)
    return value


def _over_shared(node: MappingNode, path: Path, data: Path, seen: tuple[Path, ...] = ()) -> MappingNode:
    """`node`, the content of `path`, over the file below `osv` that it names under `extends`, and so on: mappings key
    by key, a list in place of a list."""
    named = node.get("extends")
    if not isinstance(named, ScalarNode):
        return node
    shared = (path.parent / named.text).resolve()
    if not shared.is_relative_to((data / "osv").resolve()) or not shared.is_file() or shared in seen:
        raise UsageError(
            "invalid-distribution-data",
            f"'{named.text}' cannot be extended",
            cause="the file extends itself" if shared in seen else "there is no such file below the folder osv",
            origin=named.origin,
            hint="a path relative to this file",
        )
    own = MappingNode(tuple(entry for entry in node.entries if entry.key != "extends"), node.origin)
    below = _over_shared(read_yaml(shared, UsageError), shared, data, (*seen, path.resolve(), shared))
    return merge_mappings(below, own)
