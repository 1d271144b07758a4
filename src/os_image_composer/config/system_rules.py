"""What single words of `systemConfig` may be: zones, locales, units, addresses, modes."""

from __future__ import annotations

import ipaddress
import posixpath
import re

from os_image_composer.config import rules
from os_image_composer.config.rules import wrong

__all__ = ["Address", "Interface"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}")
LOCALE = re.compile(r"(C|POSIX|[a-z]{2,3}(_[A-Z]{2})?)(\.[A-Za-z0-9-]+)?(@[a-z]+)?")
SUFFIXES = ("service", "socket", "timer", "path", "mount", "automount", "swap", "target", "slice")
UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,240}")
LINK_NAME = re.compile(r"[A-Za-z0-9_.*?-]{1,15}")
HARDWARE_ADDRESS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
KEYBOARD_NAMES = re.compile(r"[A-Za-z0-9_:+-]*(,[A-Za-z0-9_:+-]*){0,15}")
MODE = re.compile(r"(0o)?0?[0-7]{3,4}")
# Filled anew whenever the machine starts, so that what an image has there is never seen.
IN_MEMORY = ("/dev", "/proc", "/run", "/sys", "/tmp")  # noqa: S108


def account(value: str) -> str:
    """A name that the image's own tools take: useradd refuses numbers, which could be ids."""
    if value.isdigit():
        raise wrong("wrong-value", f"cannot be '{value}': a name of digits could be a number", "begin with a letter")
    return value


def startup_script(value: str) -> str:
    """Empty text asks for nothing."""
    return rules.program(value) if value else value


def timezone(value: str) -> str:
    """The name of a zone (tz database, "theory"); whether it exists, the target's tzdata says."""
    if not ZONE.fullmatch(value):
        raise wrong("wrong-value", f"'{value}' is not a time zone's name", "such as Europe/Berlin or Etc/UTC")
    return value


def locale(value: str) -> str:
    """language[_TERRITORY][.codeset][@modifier], as setlocale(3) has it."""
    if not LOCALE.fullmatch(value):
        raise wrong("wrong-value", f"'{value}' is not a locale's name", "such as en_US.UTF-8 or C.UTF-8")
    return value


def keyboard_names(value: str) -> str:
    """Names of xkeyboard-config(7), divided by commas; whether they exist, the target's tables say."""
    if not KEYBOARD_NAMES.fullmatch(value) or not value.strip(","):
        raise wrong("wrong-value", f"'{value}' is not a keyboard's name", "such as us, de or gb; several with commas")
    return value


def unit(value: str) -> str:
    """A unit's whole name (systemd.unit(5)); without a suffix it is a service."""
    if not UNIT.fullmatch(value) or value.startswith((".", "-")):
        raise wrong("wrong-value", f"'{value}' is not a unit's name", "such as ssh.service or fstrim.timer")
    name, dot, suffix = value.rpartition(".")
    if not dot or suffix not in SUFFIXES:
        return f"{value}.service"
    if not name:
        raise wrong("wrong-value", f"'{value}' is not a unit's name", "such as ssh.service or fstrim.timer")
    return value


def link_name(value: str) -> str:
    """A network interface's name (IFNAMSIZ: 15 characters), or a pattern of names."""
    if not LINK_NAME.fullmatch(value) or value in (".", ".."):
        hint = "at most 15 letters, digits, '-', '_' and '.'; '*' and '?' stand for several names, as in 'en*'"
        raise wrong("wrong-value", f"'{value}' is not an interface's name", hint)
    return value


def hardware_address(value: str) -> str:
    if not HARDWARE_ADDRESS.fullmatch(value):
        raise wrong("wrong-value", f"'{value}' is not a hardware address", "six pairs of hex digits: 52:54:00:12:34:56")
    if int(value[:2], 16) & 1:
        raise wrong("wrong-value", f"'{value}' is the address of a group, not of an interface")
    return value.lower()


def interface_address(value: str) -> str:
    """An address with the length of its network's prefix: `192.0.2.10/24`."""
    try:
        address: Interface = ipaddress.ip_interface(value)
    except ValueError:
        raise wrong("wrong-value", f"'{value}' is not an address", "such as 192.0.2.10/24 or 2001:db8::10/64") from None
    network = address.network
    if "/" not in value:
        length = 24 if address.version == 4 else 64
        raise wrong("wrong-value", f"'{value}' has no prefix length", f"such as '{value}/{length}'")
    if not value.rpartition("/")[2].isdigit():
        raise wrong("wrong-value", f"'{value}' has a mask", f"write '{address.ip}/{network.prefixlen}'")
    if address.ip.is_multicast or address.ip.is_unspecified or address.ip.is_loopback:
        raise wrong("wrong-value", f"'{value}' cannot be an interface's address")
    if address.version == 4 and network.prefixlen < 31:
        if address.ip == network.network_address:
            raise wrong("wrong-value", f"'{value}' is a network's own address", "give the host's address in it")
        if address.ip == network.broadcast_address:
            raise wrong("wrong-value", f"'{value}' is its network's broadcast address")
    return str(address)


def address(value: str) -> str:
    try:
        found: Address = ipaddress.ip_address(value)
    except ValueError:
        hint = "write it without the prefix length" if "/" in value else "such as 192.0.2.1 or 2001:db8::1"
        raise wrong("wrong-value", f"'{value}' is not an address", hint) from None
    if found.is_unspecified or found.is_multicast:
        raise wrong("wrong-value", f"'{value}' cannot be a host's address")
    return str(found)


def destination(value: str) -> str:
    """`default`, or a network: `198.51.100.0/24`."""
    if value == "default":
        return value
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        pass
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        hint = "'default', or a network such as 198.51.100.0/24"
        raise wrong("wrong-value", f"'{value}' is not a destination", hint) from None
    raise wrong("wrong-value", f"'{value}' is a host's address in a network", f"write '{network}'")


def mode(value: str) -> str:
    """Permissions in octal digits, as chmod(1) takes them."""
    if not MODE.fullmatch(value):
        raise wrong("wrong-value", f"'{value}' is not a mode", 'octal digits in quotes, such as "0640"')
    return value


def owner(value: str) -> str:
    """An account's or group's name, or its number in digits."""
    if not re.fullmatch(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,31}", value) or (value.isdigit() and int(value) > 65_535):
        raise wrong("wrong-value", f"'{value}' is neither a name nor a number up to 65535")
    return value


def additional_file(value: str) -> str:
    """A place where a file of the image is seen on the running machine; `/` for a folder."""
    rules.image_path(value)
    if value == "/etc/machine-id":
        message = "cannot be '/etc/machine-id': each machine makes its own at its first boot"
        raise wrong("wrong-value", message, "systemd.machine_id= on the kernel's command line sets one")
    for folder in IN_MEMORY:
        if value == folder or posixpath.commonpath((value, folder)) == folder:
            message = f"'{value}' would never be seen: the running system fills {folder} anew at each start"
            hint = "a file in /usr/lib/tmpfiles.d can have it made there" if folder != "/dev" else None
            raise wrong("wrong-value", message, hint)
    return value
