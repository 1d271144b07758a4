"""Package lists on which a resolver can go wrong, for each release.

`name=@SUITE` stands for the version that the suite has today, `SUITE` for the release's code name. `backports` is the
priority of the backports repository; without one it is what the suite says of itself (100: only by name).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PackageList:
    """`every_run`: not only in the long run."""

    text: str
    backports: int | None = None
    every_run: bool = False

    def __str__(self) -> str:
        return self.text.split()[-1] + (f" at {self.backports}" if self.backports else "")


def _often(text: str, backports: int | None = None) -> PackageList:
    return PackageList(text, backports, every_run=True)


_COMMON = (
    # Alternatives and virtual packages: the first, the one that is there already, the default-* packages.
    _often("default-mta"),
    _often("postfix mailutils"),
    PackageList("sendmail bsd-mailx"),
    PackageList("exim4-daemon-heavy mutt logcheck"),
    PackageList("courier-mta cron mdadm"),
    _often("default-logind default-dbus-session-bus"),
    PackageList("original-awk gawk"),
    PackageList("libpam-systemd dbus-x11 xfce4-session lightdm"),
    _often("sysvinit-core elogind"),
    PackageList("runit-init"),
    PackageList("default-jre-headless ant"),
    PackageList("tomcat10 maven"),
    PackageList("default-mysql-server phpmyadmin"),
    # perlapi-*, python3:any, versioned and unversioned Provides.
    _often("libanyevent-perl libdbd-pg-perl"),
    PackageList("request-tracker5 libmodule-build-perl libtest-simple-perl"),
    _often("python3-pip build-essential libc6-dev:any"),
    PackageList("python3-numpy python3-scipy python3-apt"),
    PackageList("gcc-multilib"),
    PackageList("libopenmpi-dev libhdf5-dev libblas-dev"),
    PackageList("libcurl4-gnutls-dev libjpeg-dev qtbase5-dev"),
    # Breaks and Conflicts that decide: initrd generators, network, sysusers, resolvers, usrmerge.
    _often("linux-image-amd64 dracut"),
    PackageList("linux-image-amd64 tiny-initramfs"),
    PackageList("linux-image-amd64 grub-efi-amd64 shim-signed mdadm cryptsetup-initramfs"),
    PackageList("systemd-standalone-tmpfiles systemd-standalone-sysusers"),
    _often("netplan.io ifupdown"),
    PackageList("ifupdown2 resolvconf"),
    PackageList("usr-is-merged network-manager"),
    PackageList("pipewire-audio jackd2 pulseaudio-utils"),
    # Large sets, where a small preference early moves much.
    PackageList("apache2 php libapache2-mod-php wordpress"),
    PackageList("gnome-core"),
    PackageList("kde-plasma-desktop"),
    PackageList("task-xfce-desktop"),
    PackageList("qemu-system-x86 libvirt-daemon-system virt-manager"),
    PackageList("postgresql libreoffice-writer"),
    PackageList("r-base ruby-rails golang rustc cargo"),
    PackageList("podman docker.io samba cups"),
    # Several versions: updates and security beside the release, backports by name, version and priority.
    _often("openssh-server sudo ca-certificates tzdata"),
    _often("linux-image-amd64/SUITE-backports"),
    PackageList("linux-image-amd64/SUITE-backports linux-headers-amd64/SUITE-backports dracut"),
    _often("tmux=@SUITE-backports btrfs-progs=@SUITE-backports yt-dlp/SUITE-backports"),
    PackageList("golang-go=@SUITE-backports golang-src=@SUITE-backports"),
    PackageList(
        "cockpit/SUITE-backports cockpit-bridge/SUITE-backports cockpit-ws/SUITE-backports "
        "cockpit-system/SUITE-backports"
    ),
    _often("linux-image-amd64 cockpit podman", 500),
    PackageList("linux-image-cloud-amd64 libvirt-daemon-system smartmontools", 990),
    PackageList("nginx curl git openssh-server", 990),
)

_OF_DEBIAN_12 = (
    _often("policykit-1 usrmerge systemd-resolved"),
    PackageList("opensysusers polkitd-pkla"),
    PackageList("systemd-sysv udev systemd-boot dracut", 500),
    PackageList("linux-image-amd64=@bookworm linux-headers-amd64", 990),
)

_OF_DEBIAN_13 = (
    # The 64-bit time_t transition: libfoo1t64 provides a versioned libfoo1.
    _often("libglib2.0-0 libssl3 libcurl4"),
    PackageList("libgtk-3-0 libcups2 libpng16-16"),
    PackageList("systemd-cryptsetup systemd-boot systemd-ukify"),
    PackageList("linux-image-amd64=@trixie linux-headers-amd64", 990),
)

LISTS = {"debian12": _COMMON + _OF_DEBIAN_12, "debian13": _COMMON + _OF_DEBIAN_13}

#: What no system can have; the reason is given in our words, not apt's.
REFUSED = {
    "postfix exim4": "cannot-be-installed",
    "systemd-resolved resolvconf": "cannot-be-installed",
    "mail-transport-agent": "virtual-package",
    "cockpit/SUITE-backports": "cannot-be-installed",
    "no-such-package": "unknown-package",
}
