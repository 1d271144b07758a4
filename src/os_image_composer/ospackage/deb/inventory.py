"""What is installed: dpkg's status file (dpkg(1), "/var/lib/dpkg/status"; deb-control(5))."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.deb.control import paragraphs
from os_image_composer.ospackage.inventory import InstalledPackage

# The second one is what images without dpkg itself carry: one file a package.
DATABASES = ("var/lib/dpkg/status", "var/lib/dpkg/status.d/*")


def installed(databases: Mapping[str, bytes]) -> tuple[InstalledPackage, ...]:
    """Packages in the state `installed`. Raises MetadataError."""
    found = []
    for path in sorted(databases):
        if path.endswith(".md5sums"):
            continue
        for fields in paragraphs(databases[path].decode("utf-8", "replace")):
            state = fields.get("status", "install ok installed").split()
            if state[-1:] == ["installed"]:
                found.append(_package(fields, path))
    return tuple(sorted(found))


def _package(fields: Mapping[str, str], path: str) -> InstalledPackage:
    try:
        name, version = fields["package"], fields["version"]
    except KeyError as error:
        raise MetadataError("bad-status", f"{path}: a package has no {error.args[0]}") from error
    source, _, source_version = fields.get("source", name).partition(" ")
    return InstalledPackage(
        name=name,
        version=version,
        arch=fields.get("architecture", ""),
        source=source,
        source_version=source_version.strip("()") or version,
        maintainer=fields.get("maintainer", ""),
        homepage=fields.get("homepage", ""),
    )


def purl(package: InstalledPackage, vendor: str, release: str) -> str:
    """Source: package-url/purl-spec, type `deb`: namespace is the vendor, `arch` and `distro` are qualifiers."""
    distro = f"&distro={quote(f'{vendor}-{release}', safe='')}" if release else ""
    name, version = quote(package.name, safe=""), quote(package.version, safe=":")
    return f"pkg:deb/{quote(vendor.lower(), safe='')}/{name}@{version}?arch={quote(package.arch, safe='')}{distro}"
