"""The look-alike repositories, whole: Azure Linux 3 and Edge Microvisor Toolkit 3, and one of probes."""

from __future__ import annotations

import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from os_image_composer.config.distribution_data import default_template_path, known_targets, load_distribution
from os_image_composer.config.load import load_image_spec
from os_image_composer.config.settings import load_settings
from os_image_composer.ospackage.resolve import Repository
from os_image_composer.ospackage.rpm.package import read_package
from support.lookalike import convert, debian, probes, system
from support.lookalike.recipe import Kitchen, Recipe
from support.lookalike.repository import RsaKey, publish

# Below the root that is served, as the vendors lay theirs out.
AZL3 = "azurelinux/3.0/prod/base/x86_64"
EMT3 = "files-edge-orch/microvisor/rpms/3.0/base"
PROBES = "azurelinux/3.0/prod/extended/x86_64"
# What the distributions' data call those that they read.
NAMES = {AZL3: "azurelinux-base", EMT3: "edge-base"}
_PROVIDES, _REQUIRES = 1047, 1049
_SONAME = re.compile(r"^\S+\.so[^ ]*\(.*\)")


@dataclass(frozen=True)
class Lookalikes:
    """Repositories below `root`, with a key each by the repository's path."""

    root: Path
    keys: dict[str, RsaKey]

    def described(self, path: str, url: str, *, priority: int | None = None) -> Repository:
        """As `url` serves `root`."""
        keyring = self.root / path / "RPM-GPG-KEY"
        fingerprint = self.keys[path].fingerprint.upper()
        return Repository(path, (f"{url}/{path}",), (), (), (fingerprint,), (keyring,), priority)

    def settings_text(self, url: str) -> str:
        """Settings with which the distributions' data, unchanged, are built from here; `url` serves `root`."""
        mirrors = "".join(f"  {name}: {url}/{path}\n" for path, name in NAMES.items())
        trust = "".join(
            f"  {name}: {{fingerprints: [{self.keys[path].fingerprint.upper()}], "
            f"keyring: {self.root / path / 'RPM-GPG-KEY'}}}\n"
            for path, name in NAMES.items()
        )
        return f"mirrors:\n{mirrors}repositories:\n{trust}"


def cache_folder() -> Path:
    """Where what is slow to make is kept between runs; OIC_TEST_CACHE names another place."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "os-image-composer-tests"
    return Path(os.environ.get("OIC_TEST_CACHE") or default) / "lookalike"


def make(root: Path, cache: Path | None = None) -> Lookalikes:
    """Both vendors' repositories and the probes', signed with new keys."""
    kitchen_cache = cache or cache_folder()
    kitchen = Kitchen(kitchen_cache / "rpms")
    debs = debian.fetch(kitchen_cache)
    converted = _convert_all(kitchen, debs)
    base_passwd = next(d.path for d in debs if d.name == "base-passwd")
    present = {"kernel" if convert.KERNEL.fullmatch(d.name) else d.name for d in debs}
    grub_efi = next(d.path for d in debs if d.name == "grub-efi-amd64-bin")
    common = [*system.base(base_passwd), system.system_setup(), system.grub_binary(grub_efi)]
    common += system.names(present | {r.name for r in common})
    common += system.notes(asked_for() - present - {r.name for r in common})
    shared = [*converted, *_build_all(kitchen, common)]
    keys = {path: RsaKey(f"Look-alike {path}") for path in (AZL3, EMT3, PROBES)}
    azl = _build_all(kitchen, list(system.release("azurelinux", "Microsoft Azure Linux")))
    edge = _build_all(kitchen, list(system.release("edge", "Edge Microvisor Toolkit")))
    publish(root / AZL3, [*shared, *azl], keys[AZL3], "gz")
    publish(root / EMT3, [*shared, *edge], keys[EMT3], "zst")
    publish(root / PROBES, _build_all(kitchen, list(probes.probes())), keys[PROBES], "zst")
    return Lookalikes(root, keys)


def asked_for() -> set[str]:
    """The names of all packages that the shipped default templates and chroot environments ask for."""
    data = load_settings(None, {}, Path.cwd()).config_dir
    names: set[str] = set()
    for os_name, dist in (("azure-linux", "azl3"), ("edge-microvisor-toolkit", "emt3")):
        for target in known_targets(data):
            if (target.os, target.dist) == (os_name, dist):
                default = load_image_spec(default_template_path(data, target), data)
                names |= {name for group in default.package_groups for name in group.packages}
                names |= {*load_distribution(os_name, dist, target.arch, data).chroot_packages}
    return names


def _build_all(kitchen: Kitchen, recipes: list[Recipe]) -> list[Path]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda recipe: kitchen.build(recipe, kitchen.key(recipe)), recipes))


def _convert_all(kitchen: Kitchen, debs: list[debian.Deb]) -> list[Path]:
    """Each .deb as an RPM; the suite's linux-image-cloud-amd64 is only a pointer to the kernel."""
    debs = sorted((d for d in debs if d.name != "linux-image-cloud-amd64"), key=lambda d: -d.path.stat().st_size)
    present = {d.name for d in debs}

    def one(deb: debian.Deb, without: str = "") -> Path:
        recipe = replace(convert.convert(convert.control(deb.path), deb.path, present), without=without)
        kept = kitchen.key(recipe, deb.sha256)
        if kept.is_file():
            return kept
        with tempfile.TemporaryDirectory(dir=kitchen.cache, prefix="tree-") as name:
            tree = Path(name) / "tree"
            tree.mkdir()
            convert.unpack(recipe, deb.path, tree)
            return kitchen.build(recipe, kept, tree)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        built = list(pool.map(one, debs))
    return [
        one(deb, f"^({'|'.join(n.replace('.', '[.]') for n in absent)})[(]") if absent else rpm
        for deb, rpm, absent in zip(debs, built, _absent_libraries(built), strict=True)
    ]


def _absent_libraries(rpms: list[Path]) -> list[list[str]]:
    """For each RPM the libraries that it needs and nothing has. Debian only recommends those of optional plugins, as
    iproute2 does libatm; an RPM distribution would split the plugin off."""
    headers = [read_package(rpm).header for rpm in rpms]
    there = {name for header in headers for name in header.strings(_PROVIDES)}
    return [
        sorted({n.partition("(")[0] for n in header.strings(_REQUIRES) if _SONAME.match(n) and n not in there})
        for header in headers
    ]
