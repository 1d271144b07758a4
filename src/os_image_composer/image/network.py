"""The network's configuration files: systemd.network(5), and netplan's YAML (netplan.readthedocs.io, "YAML reference").

Both say the same. An interface that stands earlier in the template wins where a pattern further down matches it too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from os_image_composer.chroot.job import Edit, Job, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.spec import Interface, Network
from os_image_composer.errors import StepError

__all__ = ["netplan_file", "networkd_files", "set_network"]

NETPLAN = "netplan"
_GENERATOR = "usr/libexec/netplan/generate"
_OLD_GENERATOR = "usr/lib/netplan/generate"  # before netplan 0.106
_RESOLVED = "usr/lib/systemd/systemd-resolved"
_NETWORKD = "usr/lib/systemd/systemd-networkd"
_DHCP = {(True, True): "yes", (True, False): "ipv4", (False, True): "ipv6", (False, False): "no"}


@dataclass(frozen=True)
class NetworkFile:
    path: str
    text: str
    mode: int


def set_network(
    sandbox: Sandbox, tree: Tree, network: Network, env: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """Write the files; netplan's own generator must accept what it is given. Raises StepError where the image lacks
    a program that reads them."""
    _expect(sandbox, tree, (_NETWORKD,), "systemd-networkd", "systemd-networkd", "systemConfig.network")
    if any(interface.nameservers for interface in network.interfaces):
        _expect(sandbox, tree, (_RESOLVED,), "systemd-resolved", "systemd-resolved", "systemConfig.network")
    if network.backend == NETPLAN:
        generator = _expect(
            sandbox, tree, (_GENERATOR, _OLD_GENERATOR), "netplan", "netplan.io", "systemConfig.network.backend"
        )
    files = [netplan_file(network.interfaces)] if network.backend == NETPLAN else networkd_files(network.interfaces)
    edits: list[Edit] = [WriteFile(file.path, file.text.encode(), file.mode) for file in files]
    sandbox.edit(tree, edits)
    if network.backend == NETPLAN:
        # It writes to /run, which is not in the image.
        done = sandbox.run(Job(tree, (f"/{generator}",), env=env), say)
        if done.status:
            raise StepError(
                "network-refused",
                f"netplan does not accept the network's configuration (exit status {done.status})",
                detail=done.tail(),
                key="systemConfig.network",
            )


def networkd_files(interfaces: Sequence[Interface]) -> list[NetworkFile]:
    """One file for each. systemd-networkd takes the first whose [Match] fits, in the order of their names; those of
    the distribution begin with higher numbers."""
    return [
        NetworkFile(f"/etc/systemd/network/{number:02d}-{_label(interface)}.network", _unit(interface), 0o644)
        for number, interface in enumerate(interfaces, 10)
    ]


def netplan_file(interfaces: Sequence[Interface]) -> NetworkFile:
    """Readable by root only: netplan warns of anything else, since such files can hold keys."""
    plain = not any(i.mac_address or _is_pattern(i.name) for i in interfaces)
    lines = ["network:", "  version: 2", "  renderer: networkd", "  ethernets:"]
    for number, interface in enumerate(interfaces, 10):
        # netplan's files for systemd-networkd are sorted by these ids, and the first that matches wins.
        lines.append(f"    {_quoted(interface.name if plain else f'{number:02d}-{_label(interface)}')}:")
        lines += [f"      {line}" for line in ([] if plain else _match(interface)) + _settings(interface)]
    return NetworkFile("/etc/netplan/10-template.yaml", "\n".join(lines) + "\n", 0o600)


def _unit(interface: Interface) -> str:
    match = [f"Name={interface.name}"]
    if interface.mac_address:
        match = [f"PermanentMACAddress={interface.mac_address}"]
    elif interface.name.startswith("e") and _is_pattern(interface.name):
        match.append("Type=ether")
    settings = [f"DHCP={_DHCP[interface.dhcp4, interface.dhcp6]}"]
    settings += [f"Address={address}" for address in interface.addresses]
    settings += [f"DNS={server}" for server in interface.nameservers]
    text = _section("Match", match) + "\n"
    if interface.optional:
        text += _section("Link", ["RequiredForOnline=no"]) + "\n"
    text += _section("Network", settings)
    for route in interface.routes:
        to = [] if route.to == "default" else [f"Destination={route.to}"]
        text += "\n" + _section("Route", [*to, f"Gateway={route.via}"])
    return text


def _section(name: str, lines: Sequence[str]) -> str:
    return f"[{name}]\n" + "".join(f"{line}\n" for line in lines)


def _match(interface: Interface) -> list[str]:
    how = "macaddress" if interface.mac_address else "name"
    return ["match:", f"  {how}: {_quoted(interface.mac_address or interface.name)}"]


def _settings(interface: Interface) -> list[str]:
    lines = [f"dhcp4: {str(interface.dhcp4).lower()}", f"dhcp6: {str(interface.dhcp6).lower()}"]
    if interface.optional:
        lines.append("optional: true")
    if interface.addresses:
        lines += ["addresses:", *(f"  - {_quoted(address)}" for address in interface.addresses)]
    if interface.routes:
        lines.append("routes:")
        for route in interface.routes:
            lines += [f"  - to: {_quoted(route.to)}", f"    via: {_quoted(route.via)}"]
    if interface.nameservers:
        lines += ["nameservers:", "  addresses:", *(f"    - {_quoted(server)}" for server in interface.nameservers)]
    return lines


def _quoted(text: str) -> str:
    """A JSON string is a YAML one (YAML 1.2.2, 7.3.1)."""
    return json.dumps(text)


def _label(interface: Interface) -> str:
    return re.sub(r"[*?]+", "-any-", interface.name).strip("-") or "any"


def _is_pattern(name: str) -> bool:
    return bool(set(name) & set("*?"))


def _expect(sandbox: Sandbox, tree: Tree, paths: Sequence[str], program: str, package: str, key: str) -> str:
    """The first of `paths` that is there."""
    found = sandbox.glob(tree, *paths)
    if not found:
        raise StepError(
            "network-program-missing",
            f"the network's configuration needs {program}, which is not in the image",
            hint=f"add the package that has it (Debian: {package}) to systemConfig.packages",
            key=key,
        )
    return found[0]
