"""Directories and links that one package owns for all: two owners of a directory with different modes are a conflict
for rpm, and so is a directory where another package has a link."""

from __future__ import annotations

# Directories of the root that are links into /usr on a merged system; Debian 12's packages still ship them.
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")

SHARED_LINKS = {
    **{f"/{name}": f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")},
    "/var/run": "/run",
    "/var/lock": "/run/lock",
    "/var/spool/mail": "../mail",
    "/etc/mtab": "../proc/self/mounts",
}

_PLAIN = """
/ /boot /boot/efi /dev /etc /etc/default /etc/opt /etc/pam.d /etc/pki /etc/pki/rpm-gpg /etc/profile.d /etc/rpm /etc/skel
/etc/ssl /etc/sysconfig /etc/systemd /etc/systemd/system /etc/sysusers.d /etc/tmpfiles.d /etc/yum.repos.d /home /media
/mnt /opt /run /srv /usr /usr/bin /usr/games /usr/include /usr/lib /usr/lib64 /usr/lib/x86_64-linux-gnu /usr/lib/modules
/usr/lib/systemd /usr/lib/systemd/system /usr/lib/systemd/system-preset /usr/lib/sysusers.d /usr/lib/tmpfiles.d
/usr/libexec /usr/local /usr/local/bin /usr/local/sbin /usr/local/lib /usr/sbin /usr/share /usr/share/dict
/usr/share/doc /usr/share/info /usr/share/licenses /usr/share/man /usr/share/misc /usr/src /var /var/backups /var/cache
/var/lib /var/lib/misc /var/lib/rpm /var/local /var/log /var/opt /var/spool
"""
# Mode by path.
SHARED_DIRECTORIES = dict.fromkeys(_PLAIN.split(), 493) | {
    "/proc": 0o555,
    "/sys": 0o555,
    "/root": 0o700,
    "/tmp": 0o1777,
    "/var/tmp": 0o1777,
    "/var/mail": 0o2775,
}
