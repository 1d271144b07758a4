"""The network's files, word for word; that the programs take them is proven in tests/e2e."""

from __future__ import annotations

from os_image_composer.config.spec import Interface, Route
from os_image_composer.image.network import netplan_file, networkd_files

STATIC = Interface(
    name="enp1s0",
    mac_address=None,
    dhcp4=False,
    dhcp6=False,
    addresses=("192.0.2.10/24", "2001:db8::10/64"),
    routes=(Route("default", "192.0.2.1"), Route("198.51.100.0/24", "192.0.2.254")),
    nameservers=("192.0.2.53",),
    optional=True,
)
BY_ADDRESS = Interface("lan", "52:54:00:12:34:56", True, False, (), (), ())
OTHERS = Interface("en*", None, True, True, (), (), ())

NETWORKD = """\
[Match]
Name=enp1s0

[Link]
RequiredForOnline=no

[Network]
DHCP=no
Address=192.0.2.10/24
Address=2001:db8::10/64
DNS=192.0.2.53

[Route]
Gateway=192.0.2.1

[Route]
Destination=198.51.100.0/24
Gateway=192.0.2.254
"""

NETPLAN = """\
network:
  version: 2
  renderer: networkd
  ethernets:
    "enp1s0":
      dhcp4: false
      dhcp6: false
      optional: true
      addresses:
        - "192.0.2.10/24"
        - "2001:db8::10/64"
      routes:
        - to: "default"
          via: "192.0.2.1"
        - to: "198.51.100.0/24"
          via: "192.0.2.254"
      nameservers:
        addresses:
          - "192.0.2.53"
"""


def test_networkd_gets_one_file_an_interface() -> None:
    (file,) = networkd_files([STATIC])
    assert (file.path, file.mode, file.text) == ("/etc/systemd/network/10-enp1s0.network", 0o644, NETWORKD)


def test_netplan_gets_one_file_for_its_eyes_only() -> None:
    file = netplan_file([STATIC])
    assert (file.path, file.mode, file.text) == ("/etc/netplan/10-template.yaml", 0o600, NETPLAN)


def test_files_sort_in_the_order_of_the_template_so_that_the_first_that_fits_wins() -> None:
    files = networkd_files([STATIC, BY_ADDRESS, OTHERS])
    assert [file.path.rpartition("/")[2] for file in files] == sorted(file.path.rpartition("/")[2] for file in files)
    assert [file.text.splitlines()[1:3] for file in files] == [
        ["Name=enp1s0", ""],
        ["PermanentMACAddress=52:54:00:12:34:56", ""],
        ["Name=en*", "Type=ether"],
    ]


def test_netplans_names_sort_so_too() -> None:
    lines = netplan_file([STATIC, BY_ADDRESS, OTHERS]).text.splitlines()
    assert [line for line in lines if line.startswith('    "')] == [
        '    "10-enp1s0":',
        '    "11-lan":',
        '    "12-en-any":',
    ]
    assert [line.strip() for line in lines if "name:" in line or "macaddress:" in line] == [
        'name: "enp1s0"',
        'macaddress: "52:54:00:12:34:56"',
        'name: "en*"',
    ]
