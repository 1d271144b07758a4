"""Where the image tools come from: the repositories of the distribution that the data name, or an archive of their
packages that the settings name."""

from __future__ import annotations

import os
from collections.abc import Sequence

from os_image_composer.chroot.check import Check, State
from os_image_composer.config.distribution import Distribution, ImageTools
from os_image_composer.config.distribution_data import load_distribution, load_image_tools
from os_image_composer.config.settings import Settings, ToolsArchiveSetting
from os_image_composer.config.spec import ImageSpec, PackageGroup, Target
from os_image_composer.errors import ComposerError, TrustError, UsageError
from os_image_composer.ospackage.family import family_for
from os_image_composer.ospackage.lock import PackageSet
from os_image_composer.ospackage.openpgp import Keyring
from os_image_composer.ospackage.resolve import Repository, SetRequest
from os_image_composer.ospackage.tools_archive import FORMAT_TOOLS, TOOLS, ToolsArchive, open_tools_archive
from os_image_composer.provider.packages import Source


def archive_digest(settings: Settings) -> str | None:
    """The digest of the archive that the settings name; None where the tools are resolved."""
    named = settings.image_tools
    return named.sha256 if isinstance(named, ToolsArchiveSetting) else None


def needs_format_tools(spec: ImageSpec) -> bool:
    """Whether more is to be made than a raw disk and its block map."""
    return any(artifact.type != "raw" or artifact.compression for artifact in spec.disk.artifacts)


def tools_requests(tools: ImageTools, *names: str) -> tuple[SetRequest, ...]:
    """What a resolver is asked for: the sets `names` of the image tools."""
    packages = {TOOLS: tools.packages, FORMAT_TOOLS: tools.format_packages}
    return tuple(SetRequest(name, (PackageGroup(name, packages[name]),), essential=False) for name in names)


def tools_target(settings: Settings) -> Target:
    """The distribution of the image tools, for this machine's programs."""
    tools = load_image_tools(settings.config_dir)
    return Target(tools.os, tools.dist, os.uname().machine, "raw")


def open_archive(settings: Settings, tools: ImageTools, distribution: Distribution) -> ToolsArchive | None:
    """The archive that the settings name, checked; None where they name none. Raises what `open_tools_archive` raises,
    and UsageError for one of another distribution or architecture."""
    named = settings.image_tools
    if not isinstance(named, ToolsArchiveSetting):
        return None
    archive = open_tools_archive(named.archive, named.sha256)
    index = archive.index
    found, wanted = (index.os, index.dist, index.arch), (tools.os, tools.dist, distribution.arch)
    if found != wanted:
        raise UsageError(
            "tools-archive-target",
            f"{archive.path} has the image tools of another distribution or architecture",
            cause=f"{' '.join(found)} instead of {' '.join(wanted)}",
            hint="write one with this version of the program: `env export`",
        )
    locked_tools(archive, tools_requests(tools, TOOLS), distribution)
    return archive


def locked_tools(
    archive: ToolsArchive, requests: Sequence[SetRequest], distribution: Distribution
) -> dict[str, PackageSet]:
    """What a lock has of an archive. Raises UsageError `tools-archive-incomplete` for a package that is not in it."""
    names = family_for(distribution.family).names
    found: dict[str, PackageSet] = {}
    for request in requests:
        texts = [text for group in request.groups for text in group.packages]
        asked = {text: next((p.name for p in archive.index.packages if names(text, p)), "") for text in texts}
        missing = [text for text, name in asked.items() if not name]
        if missing:
            raise UsageError(
                "tools-archive-incomplete",
                f"{archive.path} lacks image tools that are needed",
                cause=f"there is no package {', '.join(missing)} in it",
                hint="write one with this version of the program: `env export`",
            )
        found[request.name] = archive.locked(request.name, asked)
    return found


def archive_source(family: str) -> Source:
    """Packages of an archive: whoever wrote it has checked the repositories' signatures, and who uses it has pinned
    its digest, so there is no key to look for."""

    def keyring() -> Keyring:
        raise TrustError("no-keyring", "an archive of image tools has no key of its own")

    return Source(family_for(family), Repository(TOOLS, (), (), (), (), (), None, signed_packages=False), keyring)


def examine_tools(settings: Settings) -> Check:
    """Can the image tools be had? The archive is read whole, no mirror is asked."""
    name = "image tools"
    try:
        target = tools_target(settings)
        distribution = load_distribution(target.os, target.dist, target.arch, settings.config_dir)
        archive = open_archive(settings, load_image_tools(settings.config_dir), distribution)
    except ComposerError as error:
        return Check(name, State.FAILED, str(error), error.hint)
    if archive is not None:
        return Check(name, State.OK, f"{len(archive.index.packages)} packages in {archive.path}")
    return Check(name, State.OK, f"packages of {target.os} {target.dist}, from its mirror")
