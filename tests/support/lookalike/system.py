"""Packages that no .deb stands for: the base of every system, and the vendors' names for what Debian has too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from support.lookalike.convert import file_of
from support.lookalike.recipe import Recipe
from support.lookalike.shared import SHARED_DIRECTORIES, SHARED_LINKS

_KEPT = "%config(noreplace)"
# What Debian's maintainer scripts make with adduser. rpm needs a name in the root's own /etc/passwd and /etc/group when
# it unpacks a file of that owner. Name: uid, gid, home.
_USERS = {
    "messagebus": (101, 101, "/nonexistent"),
    "sshd": (102, 65534, "/run/sshd"),
    "systemd-network": (998, 998, "/"),
    "systemd-resolve": (997, 997, "/"),
}
_GROUPS = {"messagebus": 101, "_ssh": 103, "input": 104, "sgx": 105, "kvm": 106, "render": 107} | {
    "systemd-journal": 999,
    "systemd-network": 998,
    "systemd-resolve": 997,
    "crontab": 108,
    "wheel": 109,
}
_CORE = """
filesystem system-setup base-files base-passwd bash bsdutils coreutils dash dbus debianutils diffutils e2fsprogs
fdisk findutils grep gzip hostname iproute2 kmod libc-bin libpam-modules libpam-runtime login mawk mount ncurses-base
passwd procps sed sudo systemd systemd-sysv tar tzdata udev util-linux
"""
_CONTAINER = """
setup filesystem system-setup bash dash coreutils findutils grep sed gzip tar util-linux libc-bin rpm
ca-certificates
"""

# The vendors' names, and the Debian packages that do what they do.
NAMES: dict[str, tuple[str, ...]] = {
    "core-packages-base-image": tuple(_CORE.split()),
    "core-packages-container": tuple(_CONTAINER.split()),
    "shadow-utils": ("login", "passwd"),
    "veritysetup": ("cryptsetup-bin",),
    "dracut-hostonly": ("dracut-core",),
    "dracut-virtio": ("dracut-core",),
    "dracut-hyperv": ("dracut-core",),
    "dracut-xen": ("dracut-core",),
    "dracut-vrf": ("dracut-core",),
    "shim": ("shim-unsigned",),
    "cronie-anacron": ("cron",),
    "cloud-init": (),
    "cloud-utils-growpart": (),
    "createrepo_c": (),
    "libselinux-utils": ("selinux-utils",),
    "kernel-drivers-gpu": ("kernel",),
    "grub2": ("grub-common",),
    "grub2-pc": ("grub2", "grub-pc-bin"),
    "grub2-efi": ("grub2", "grub-efi-amd64-bin"),
}
# Of the vendors' dracut-* packages little is more than such a file.
_FILES = {
    "dracut-virtio": ("50-virtio.conf", 'add_drivers+=" virtio_pci virtio_blk virtio_net virtio_scsi "\n'),
    "dracut-hyperv": ("50-hyperv.conf", 'add_drivers+=" hv_vmbus hv_storvsc hv_netvsc "\n'),
    "dracut-xen": ("50-xen.conf", "# nothing to add\n"),
    "dracut-vrf": ("50-vrf.conf", "# nothing to add\n"),
    "dracut-hostonly": ("00-hostonly.conf", 'hostonly="no"\n'),
}


def base(base_passwd: Path) -> Iterator[Recipe]:
    """`setup` has the names of users and groups and only files of root's; `filesystem` has the rest, for rpm reads the
    root's /etc/group when it begins with a package."""
    passwd = file_of(base_passwd, "/usr/share/base-passwd/passwd.master").decode().replace(":*:", ":x:")
    group = file_of(base_passwd, "/usr/share/base-passwd/group.master").decode().replace(":*:", ":x:")
    passwd += "".join(f"{n}:x:{u}:{g}::{home}:/usr/sbin/nologin\n" for n, (u, g, home) in _USERS.items())
    group += "".join(f"{n}:x:{g}:\n" for n, g in _GROUPS.items())
    users, groups = ([line.split(":")[0] for line in text.splitlines()] for text in (passwd, group))
    setup = Recipe("setup", "2.14").directory("/etc")
    for path, text in {
        "/etc/passwd": passwd,
        "/etc/group": group,
        "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
        "/etc/shells": "/bin/sh\n/bin/bash\n/usr/bin/bash\n",
        "/etc/environment": "",
    }.items():
        setup.file(path, text, flags=_KEPT)
    setup.add("Provides", *(f"user({n})" for n in users), *(f"group({n})" for n in groups))
    yield setup

    filesystem = Recipe("filesystem", "1.1", arch="x86_64").add("Requires(pre)", "setup").add("Requires", "setup")
    for path, mode in SHARED_DIRECTORIES.items():
        filesystem.directory(path, mode, {"/var/mail": "mail", "/var/local": "staff"}.get(path, "root"))
    for path, target in SHARED_LINKS.items():
        filesystem.link(path, target)
    shadow = "".join(f"{u}:*:19000:0:99999:7:::\n" for u in users)
    filesystem.file("/etc/shadow", shadow, 0o640, _KEPT, "shadow")
    filesystem.file("/etc/gshadow", "".join(f"{g}:*::\n" for g in groups), 0o640, _KEPT, "shadow")
    filesystem.file("/etc/fstab", "# /etc/fstab\n", flags=_KEPT)
    filesystem.file("/etc/machine-id", "", 0o444, f"{_KEPT} %verify(not md5 size mtime)")
    # Inside rpm, before there is any shell; the vendors' filesystem does the like.
    filesystem.script("%pretrans -p <lua>", 'if not posix.stat("/usr") then posix.mkdir("/usr") end')
    yield filesystem


def system_setup() -> Recipe:
    """What Debian's maintainer scripts leave to each other, once, at the end of the transaction."""
    presets = ("getty@.service", "remote-fs.target", "ssh.service", "sshd-keygen.service", "systemd-networkd.service")
    recipe = Recipe("system-setup")
    users = 'u messagebus - "D-Bus" /nonexistent\nu sshd - "sshd" /run/sshd\ng _ssh -\n'
    recipe.file("/usr/lib/sysusers.d/system-setup.conf", users)
    enabled = "".join(f"enable {unit}\n" for unit in (*presets, "systemd-resolved.service"))
    recipe.file("/usr/lib/systemd/system-preset/10-system.preset", enabled)
    recipe.file("/usr/lib/systemd/system-preset/99-default-disable.preset", "disable *\n")
    recipe.file("/etc/sudoers.d/wheel", "%wheel ALL=(ALL:ALL) ALL\n", 0o440)  # in the vendor's own sudoers
    for name in ("filesystem", "libc-bin", "coreutils", "dash"):
        recipe.add("Requires", name).add("Requires(posttrans)", name)
    recipe.add("Requires", "/usr/bin/sh", "/usr/sbin/ldconfig", "(mawk if dracut-core)")
    links = {"awk": "mawk", "nawk": "mawk", "which": "which.debianutils", "pager": "less"}
    missing = "[ -e /usr/bin/{0} ] || [ ! -e /usr/bin/{1} ] || ln -s {1} /usr/bin/{0}\n"
    link = "".join(missing.format(name, target) for name, target in links.items())
    recipe.script(
        "%posttrans",
        f"export PATH=/usr/sbin:/usr/bin\nldconfig || :\n{link}"
        "[ ! -x /usr/bin/systemd-sysusers ] || systemd-sysusers >/dev/null 2>&1 || :\n"
        "[ ! -x /usr/bin/systemctl ] || systemctl preset-all >/dev/null 2>&1 || :\n"
        # Without /dev in the root the redirections above made a plain file.
        "[ ! -f /dev/null ] || rm -f /dev/null\nexit 0",
    )
    return recipe


def names(present: set[str]) -> Iterator[Recipe]:
    """A package for each of the vendors' names, which requires what is there of the packages that stand in for it."""
    for name, stand_ins in NAMES.items():
        if name not in present:
            recipe = Recipe(name, "3.0", "9.azl3").add("Requires", *(s for s in stand_ins if s in present))
            if name == "core-packages-base-image":
                recipe.add("Requires", "system-release")
            if name == "grub2":
                recipe.link("/usr/bin/grub2-mkimage", "grub-mkimage")
            if name in _FILES:
                file, text = _FILES[name]
                recipe.file(f"/usr/lib/dracut/dracut.conf.d/{file}", text)
            if name == "cloud-init":
                recipe.file("/etc/cloud/cloud.cfg", "# nothing runs it here\n", flags=_KEPT)
            yield recipe
    initramfs = Recipe("initramfs", "3.0", "5.azl3").add("Requires", "dracut", "dash")
    initramfs.script("%posttrans", "dracut --force --regenerate-all || :")
    initramfs.script("%transfiletriggerin -- /usr/lib/modules", "dracut --force --regenerate-all || :")
    yield initramfs


def notes(names: Iterable[str]) -> Iterator[Recipe]:
    """Packages of these names that hold a note: what no image that is built here has, but templates ask for."""
    for name in sorted(names):
        text = "Made for a test: a look-alike, nothing of the vendor's.\n"
        yield Recipe(name, "3.0", "9.azl3").directory(f"/usr/share/{name}").file(f"/usr/share/{name}/README", text)


def grub_binary(grub_efi: Path) -> Recipe:
    """GRUB for EFI as one program, where the vendor's package has it; from Debian's package of modules."""
    program = file_of(grub_efi, "/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi")
    return Recipe("grub2-efi-unsigned", "2.06", "1.azl3").file("/usr/share/grub2-efi/grubx64.efi", program)


def release(os_id: str, name: str, version: str = "3.0") -> Iterator[Recipe]:
    """The release files of one of the vendors, marked as a look-alike's."""
    said = f"{name} {version} (look-alike made of Debian 12 for tests)"
    text = f'NAME="{name}"\nVERSION="{version}"\nID={os_id}\nVERSION_ID="{version}"\nPRETTY_NAME="{said}"\n'
    recipe = Recipe(f"{os_id}-release", version, "24.azl3")
    recipe.file("/usr/lib/os-release", text).link("/etc/os-release", "../usr/lib/os-release")
    recipe.file("/etc/issue", f"{said} \\r (\\l)\n", flags=_KEPT)
    recipe.add("Provides", f"system-release = {version}").add("Requires", f"({os_id}-repos-shared if rpm)")
    yield recipe
    yield Recipe(f"{os_id}-repos-shared", version, "4.azl3").directory("/etc/yum.repos.d")
