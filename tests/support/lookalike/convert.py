"""A .deb as a recipe. Its maintainer scripts are left out; what they would have done and a system needs is done here by
RPM's means."""

from __future__ import annotations

import re
import shutil
import stat
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from os_image_composer.ospackage.deb.archive import control_file, open_data_tar
from os_image_composer.ospackage.deb.control import parse_paragraph
from support.lookalike.recipe import Item, Recipe
from support.lookalike.relations import epoch_version_release, requirements, version_in_relation
from support.lookalike.shared import MERGED, SHARED_DIRECTORIES, SHARED_LINKS

# The vendors call what Debian calls the policy `default` by another name.
_RENAMED = {"selinux-policy-default": "selinux-policy"}
_POLICY = re.compile(r"^(/etc/selinux/|/usr/share/selinux/)default(?=/|$)")
KERNEL = re.compile(r"linux-image-(\d.*-amd64)")
_DOCUMENTATION = re.compile(
    r"/usr/share/(doc/[^/]+(/(?!copyright$).*)?$|(man|info|bug|menu|locale|lintian|doc-base|bash-completion|zsh)(/|$))"
)
_KEPT = "%config(noreplace)"
Fields = Mapping[str, str]
_Edit = Callable[[Recipe, Path, str], None]  # recipe, .deb, Debian version


def control(deb: Path) -> Fields:
    return parse_paragraph((control_file(deb, "control") or b"").decode())


def convert(fields: Fields, deb: Path, present: set[str]) -> Recipe:
    """The recipe without its files; `present` are the Debian names that are converted."""
    name, version = fields["package"], fields["version"]
    epoch, upstream, release = epoch_version_release(version)
    kernel = KERNEL.fullmatch(name)
    recipe = Recipe(
        "kernel" if kernel else _RENAMED.get(name, name),
        upstream,
        release,
        epoch,
        "noarch" if fields["architecture"] == "all" else "x86_64",
        summary=fields.get("description", name).split("\n", 1)[0],
        licence="LicenseRef-Debian-copyright-file",
        sonames=fields["architecture"] != "all",
    )
    own = {name}
    for clause, text in requirements(fields.get("provides", "")):
        own.add(clause[0].name)
        recipe.add("Provides", text)
    for field, kinds in (("depends", ("Requires",)), ("pre-depends", ("Requires(pre)", "Requires"))):
        for _, text in requirements(fields.get(field, "")):
            for kind in kinds:
                recipe.add(kind, text)
    for field, kind in (("recommends", "Recommends"), ("suggests", "Suggests"), ("enhances", "Enhances")):
        recipe.add(kind, *(text for _, text in requirements(fields.get(field, ""))))
    for clause, text in requirements(f"{fields.get('conflicts', '')}, {fields.get('breaks', '')}".strip(", ")):
        # In Debian an unversioned Provides never meets a versioned relation and nothing excludes itself; in RPM both
        # do, so what can only hit a virtual name, or the package itself, goes.
        if clause[0].name not in own and (clause[0].operator is None or clause[0].name in present):
            recipe.add("Conflicts", text)
    if name != "base-files":
        recipe.add("Requires(pre)", "filesystem").add("Requires", "filesystem")
    if kernel:
        _kernel(recipe, kernel[1], name, version)
    edit = _EDITS.get(name)
    if edit:
        edit(recipe, deb, version)
    return recipe


def unpack(recipe: Recipe, deb: Path, root: Path) -> None:
    """The files of the .deb below `root` and in the recipe; documentation is left out."""
    configuration = {
        _POLICY.sub(r"\1targeted", _merged(line.split()[-1]))
        for line in (control_file(deb, "conffiles") or b"").decode().splitlines()
        if line
    }
    omitted = _OMITTED.get(recipe.name, frozenset())
    with open_data_tar(deb) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            path = _POLICY.sub(r"\1targeted", _merged(member.name))
            if path in omitted or path in recipe.items or _DOCUMENTATION.match(path):
                continue
            if member.isdir() and (path in SHARED_DIRECTORIES or path in SHARED_LINKS or path == "/"):
                continue
            if member.issym() and member.name.strip("./") in MERGED:
                continue
            kind = _extract(archive, member, root, path)
            if kind is None:
                continue
            flags = {"directory": "%dir"}.get(kind, _KEPT if path in configuration else "")
            if path.startswith("/usr/share/doc/") and path.endswith("/copyright"):
                flags = "%license"
            owner, group = member.uname or "root", member.gname or "root"
            recipe.items[path] = Item(kind, stat.S_IMODE(member.mode), owner, group, flags)  # type: ignore[arg-type]
    for path, change in _CHANGED.items():
        if path in recipe.items:
            for key, value in change.items():
                setattr(recipe.items[path], key, value)
    _units(recipe)


def file_of(deb: Path, path: str) -> bytes:
    """A file of a .deb."""
    with open_data_tar(deb) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            file = archive.extractfile(member) if _merged(member.name) == path and member.isreg() else None
            if file:
                return file.read()
    raise KeyError(f"{deb.name} has no {path}")


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path, path: str) -> str | None:
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if member.isdir():
        place.mkdir(exist_ok=True)
        return "directory"
    if member.issym():
        place.symlink_to(member.linkname)
        return "link"
    if member.islnk():
        first = root / _merged(member.linkname).lstrip("/")
        if not first.exists():  # its first name was documentation
            return None
        place.hardlink_to(first)
        return "file"
    content = archive.extractfile(member)
    assert content is not None, f"{path} is of a type that no package here has"
    with place.open("wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    place.chmod(stat.S_IMODE(member.mode) & 0o777 | 0o200)
    return "file"


def _merged(name: str) -> str:
    """The absolute path on a system with one /usr."""
    path = "/" + name.removeprefix(".").strip("/")
    first, _, rest = path[1:].partition("/")
    return f"/usr/{first}{'/' * bool(rest)}{rest}" if first in MERGED else path


def _units(recipe: Recipe) -> None:
    """What %systemd_post and %sysusers_create_package do in a vendor's package."""
    units = re.compile(r"/usr/lib/systemd/system/([^/@]+\.(?:service|socket|timer|path|target))")
    found = [m[1] for p, item in sorted(recipe.items.items()) if item.kind == "file" and (m := units.fullmatch(p))]
    users = [m[1] for p in sorted(recipe.items) if (m := re.fullmatch(r"/usr/lib/sysusers\.d/([^/]+\.conf)", p))]
    lines = []
    if users:
        lines.append(f"[ ! -x /usr/bin/systemd-sysusers ] || systemd-sysusers {' '.join(users)} >/dev/null 2>&1 || :")
    if recipe.name == "systemd":
        lines.append("systemctl preset-all >/dev/null 2>&1 || :")
    elif found:
        preset = f"systemctl --no-reload preset {' '.join(found)}"
        lines.append(f"[ ! -x /usr/bin/systemctl ] || {preset} >/dev/null 2>&1 || :")
    if lines:
        recipe.script("%post", "\n".join(lines))


# -- what maintainer scripts do, by package ------------------------------------------------------------------------

_OMITTED = {"base-files": frozenset({"/usr/lib/os-release", "/etc/os-release", "/etc/issue", "/etc/issue.net"})}
_CHANGED: dict[str, dict[str, object]] = {
    # dpkg-statoverride in dbus's postinst, setcap in iputils-ping's.
    "/usr/lib/dbus-1.0/dbus-daemon-launch-helper": {"mode": 0o4754, "group": "messagebus"},
    "/usr/bin/ping": {"flags": "%caps(cap_net_raw=ep)"},
}


def _kernel(recipe: Recipe, release: str, name: str, version: str) -> None:
    recipe.add("Provides", f"{name} = {version_in_relation(version)}", "installonlypkg(kernel)")
    recipe.add("Provides", f"kernel-uname-r = {release.replace('-', '_')}")
    recipe.add("Requires(post)", "kmod", "dash").add("Requires(posttrans)", "dash")
    recipe.script("%post", f"/usr/sbin/depmod -a {release} || :")
    # The vendor's kernel leaves its initrd to dracut, when the transaction is over.
    recipe.script("%posttrans", f"[ ! -x /usr/bin/dracut ] || dracut --force --kver {release} || :")


def _base_files(recipe: Recipe, deb: Path, version: str) -> None:
    recipe.add("Requires", "filesystem")
    files = {"profile": "/etc/profile", "dot.profile": "/root/.profile", "dot.bashrc": "/root/.bashrc"}
    for source, path in files.items():
        recipe.file(path, file_of(deb, f"/usr/share/base-files/{source}"), flags=_KEPT)


def _libc6(recipe: Recipe, deb: Path, version: str) -> None:
    # Every ELF file of today requires this; a vendor's glibc provides it by hand.
    recipe.add("Provides", "rtld(GNU_HASH)", f"glibc = {version_in_relation(version)}")


def _libc_bin(recipe: Recipe, deb: Path, version: str) -> None:
    recipe.file("/etc/nsswitch.conf", file_of(deb, "/usr/share/libc-bin/nsswitch.conf"), flags=_KEPT)
    recipe.add("Provides", "/sbin/ldconfig").script("%post -p /usr/sbin/ldconfig")


def _also(kind: str, *texts: str) -> _Edit:
    def edit(recipe: Recipe, deb: Path, version: str) -> None:
        recipe.add(kind, *texts)

    return edit


def _pam(recipe: Recipe, deb: Path, version: str) -> None:
    """What pam-auth-update writes, which needs perl and debconf."""
    lines = {
        "auth": "auth [success=1 default=ignore] pam_unix.so nullok",
        "account": "account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so",
        "password": "password [success=1 default=ignore] pam_unix.so obscure yescrypt",
    }
    for kind, line in lines.items():
        text = f"{line}\n{kind} requisite pam_deny.so\n{kind} required pam_permit.so\n"
        recipe.file(f"/etc/pam.d/common-{kind}", text, flags=_KEPT)
    for kind, more in (("session", "-session optional pam_systemd.so\n"), ("session-noninteractive", "")):
        recipe.file(f"/etc/pam.d/common-{kind}", f"session required pam_unix.so\n{more}", flags=_KEPT)


def _sshd(recipe: Recipe, deb: Path, version: str) -> None:
    recipe.file("/etc/ssh/sshd_config", file_of(deb, "/usr/share/openssh/sshd_config"), flags=_KEPT)
    recipe.add("Provides", f"openssh = {version_in_relation(version)}")
    unit = (
        "[Unit]\nDescription=OpenSSH host keys\nBefore=ssh.service\n"
        "ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        "ExecStart=/usr/bin/ssh-keygen -A\n[Install]\nWantedBy=ssh.service\n"
    )
    recipe.file("/usr/lib/systemd/system/sshd-keygen.service", unit)


def _rpm(recipe: Recipe, deb: Path, version: str) -> None:
    # Debian's rpm looks in ~/.rpmdb, as Debian has no database of its own.
    recipe.file("/usr/lib/rpm/macros.d/macros.dbpath", "%_dbpath /var/lib/rpm\n")


def _ca_certificates(recipe: Recipe, deb: Path, version: str) -> None:
    recipe.add("Requires(post)", "findutils", "coreutils", "debianutils", "sed", "dash", "openssl")
    find = "find . -name '*.crt' -printf '%%P\\n' | sort > /etc/ca-certificates.conf"
    recipe.script("%post", f"cd /usr/share/ca-certificates && {find} && update-ca-certificates >/dev/null 2>&1 || :")


def _dracut(recipe: Recipe, deb: Path, version: str) -> None:
    tools = "coreutils findutils grep sed gzip bash util-linux mawk"
    recipe.add("Requires", *tools.split(), "system-setup")


def _selinux_policy(recipe: Recipe, deb: Path, version: str) -> None:
    """The vendor's has its policy built; here it is built as Debian's postinst does, under the vendor's name for it."""
    recipe.add("Requires(post)", "policycoreutils", "dash", "coreutils")
    modules = "/usr/share/selinux/targeted"
    off = "amtu bugzilla cobbler condor cyphesis git ksmtuned likewise livecd nessus numad oddjob openca soundserver"
    recipe.script(
        "%post",
        "[ -e /etc/selinux/config ] || printf 'SELINUX=permissive\\nSELINUXTYPE=targeted\\n' > /etc/selinux/config\n"
        f'for module in $(cat {modules}/.modules); do set -- "$@" -i {modules}/$module.pp.bz2; done\n'
        f'for module in {off} thunderbird updfstab usernetctl; do set -- "$@" -d $module; done\n'
        # The first argument is how often the package is installed.
        'shift; semodule -X 100 -n -s targeted "$@"',
    )


def _ukify(recipe: Recipe, deb: Path, version: str) -> None:
    # It comes from a newer release than the rest. It unpacks a kernel with python3-zstandard to learn its release,
    # which it is told; and it conflicts with the systemd that had its manual page.
    required = recipe.relations["Requires"]
    recipe.relations["Requires"] = [text for text in required if text != "python3-zstandard"]
    recipe.relations["Conflicts"] = []


_EDITS: dict[str, _Edit] = {
    "base-files": _base_files,
    "bash": _also("Provides", "/bin/bash"),
    "ca-certificates": _ca_certificates,
    "dash": _also("Provides", "/bin/sh", "/bin/dash"),
    "dracut-core": _dracut,
    "libc-bin": _libc_bin,
    "libc6": _libc6,
    "libpam-runtime": _pam,
    "openssh-server": _sshd,
    "rpm-common": _rpm,
    "selinux-policy-default": _selinux_policy,
    "systemd": _also("Requires", "system-setup"),
    "systemd-ukify": _ukify,
}
