"""The network, as a template writes it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated

from pydantic import AfterValidator, model_validator

from os_image_composer.config import system_rules
from os_image_composer.config.rules import choice, wrong
from os_image_composer.config.section import Section

__all__ = ["InterfaceTemplate", "NetworkTemplate", "RouteTemplate"]

BACKENDS = ("netplan", "systemd-networkd")
Address = Annotated[str, AfterValidator(system_rules.address)]


class RouteTemplate(Section):
    to: Annotated[str, AfterValidator(system_rules.destination)]
    """`default`, or the network to reach: `198.51.100.0/24`."""
    via: Address
    """The router's address."""

    @model_validator(mode="after")
    def one_family(self) -> RouteTemplate:
        if self.to != "default" and ipaddress.ip_network(self.to).version != ipaddress.ip_address(self.via).version:
            raise wrong("wrong-value", f"'{self.via}' and '{self.to}' are not of one IP version", at="via")
        return self


class InterfaceTemplate(Section):
    name: Annotated[str, AfterValidator(system_rules.link_name)]
    """The interface's name, or a pattern of names such as `en*`; beside `macAddress` only the entry's."""
    mac_address: Annotated[str, AfterValidator(system_rules.hardware_address)] | None = None
    """The hardware address of the interface that is meant, whatever the kernel calls it."""
    dhcp4: bool = False
    """Whether addresses come from a DHCP server."""
    dhcp6: bool = False
    """Whether addresses come from a DHCPv6 server. Router advertisements are heard either way."""
    addresses: list[Annotated[str, AfterValidator(system_rules.interface_address)]] = []
    """Fixed addresses with their prefix length: `192.0.2.10/24`. They may stand beside DHCP."""
    routes: list[RouteTemplate] = []
    """Routes beside those of DHCP and of the addresses' own networks."""
    nameservers: list[Address] = []
    """DNS servers beside those of DHCP."""
    optional: bool = False
    """Whether the machine counts as online without it: services that wait for the network do not wait for it."""

    @model_validator(mode="after")
    def asks_for_something(self) -> InterfaceTemplate:
        if not (self.dhcp4 or self.dhcp6 or self.addresses):
            message = f"'{self.name}' has neither DHCP nor an address"
            raise wrong("wrong-value", message, "say dhcp4: true or give addresses", at="name")
        return self

    @model_validator(mode="after")
    def an_address_is_for_one_host(self) -> InterfaceTemplate:
        if self.addresses and self.mac_address is None and set(self.name) & set("*?"):
            message = "cannot stand at a pattern of names: two interfaces would have one address"
            raise wrong("wrong-value", message, "name one interface, or give its macAddress", at="addresses")
        return self

    @model_validator(mode="after")
    def routers_are_neighbours(self) -> InterfaceTemplate:
        """A route is refused by the kernel while no address of the interface reaches its router."""
        for number, route in enumerate(self.routes):
            router = ipaddress.ip_address(route.via)
            by_dhcp = self.dhcp4 if router.version == 4 else self.dhcp6 or router.is_link_local
            if not by_dhcp and not any(router in network for network in self._networks()):
                message = f"no address of '{self.name}' is in the network of '{route.via}'"
                raise wrong("wrong-value", f"routes[{number}]: {message}", at="routes")
        return self

    def _networks(self) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        return (ipaddress.ip_interface(address).network for address in self.addresses)


class NetworkTemplate(Section):
    backend: Annotated[str, AfterValidator(choice(BACKENDS))] | None = None
    """What configures the interfaces; `systemd-networkd` where it is left out."""
    interfaces: list[InterfaceTemplate] = []
    """The interfaces; those of a template replace the OS default's."""

    @model_validator(mode="after")
    def each_once(self) -> NetworkTemplate:
        for key in ("name", "mac_address", "addresses"):
            seen: set[str] = set()
            for number, interface in enumerate(self.interfaces):
                said = getattr(interface, key)
                words = said if isinstance(said, list) else [said] if said else []
                for word in (str(ipaddress.ip_interface(w).ip) if key == "addresses" else w for w in words):
                    if word in seen:
                        message = f"interfaces[{number}] has '{word}' a second time"
                        raise wrong("duplicate-value", message, at=f"interfaces.{number}")
                    seen.add(word)
        return self
