"""The booted system is what its template says: accounts, network, services, places, files."""

from __future__ import annotations

import re

import pytest

from support.facts import Facts, boot_facts, write_facts_template
from support.workshop import Workshop

pytestmark = [pytest.mark.boot, pytest.mark.build, pytest.mark.timeout(1500)]

Made = pytest.TempPathFactory
# Under TCG, on two busy cores; a quiet machine takes a quarter.
SECONDS = 700


NETWORKD, NETPLAN = "systemd-networkd", "netplan"


@pytest.fixture(
    scope="module",
    params=[
        ("debian", "debian13", NETWORKD),
        pytest.param(("debian", "debian13", NETPLAN), marks=pytest.mark.matrix),
        pytest.param(("debian", "debian12", NETWORKD), marks=pytest.mark.matrix),
        pytest.param(("wind-river-elxr", "elxr12", NETWORKD), marks=pytest.mark.matrix),
    ],
    ids=lambda made: "-".join(made[1:]),
)
def facts(request: pytest.FixtureRequest, workshop: Workshop, tmp_path_factory: Made) -> Facts:
    os, dist, backend = request.param
    if (dist, backend) == ("debian13", NETWORKD):
        request.getfixturevalue("facts_template")
    else:
        template = write_facts_template(tmp_path_factory.mktemp(dist), os, dist, backend)
        # The settings make a difference only where the look-alike is the mirror.
        settings = ["--config", str(request.getfixturevalue("elxr").settings)] if dist == "elxr12" else []
        done = workshop.run(*settings, "build", str(template))
        assert done.returncode == 0, done.stdout + done.stderr
    image = workshop.work / f"{os}-{dist}-x86_64" / "imagebuild" / backend / "facts-1.0.raw"
    return boot_facts(image, backend, SECONDS)


def test_system_runs_and_no_unit_failed(facts: Facts) -> None:
    assert facts.lines("state") == ["running"]
    assert facts.lines("failed") == []


def test_host_name_zone_and_language_are_the_templates(facts: Facts) -> None:
    assert facts.lines("hostname") == ["edge-01.example.org"] * 3
    assert facts.lines("zone") == ["Europe/Berlin", "14:00"]
    assert facts.lines("locale") == ["LANG=de_DE.UTF-8", "Oktober"]


def test_keyboard_is_the_templates_on_the_console_too(facts: Facts) -> None:
    assert re.search(r"X11 Layout: de\n.*X11 Variant: nodeadkeys", facts.text("keyboard"), re.DOTALL)
    # Where others have y.
    assert re.search(r"^keycode +21 = \+z", facts.text("keyboard"), re.MULTILINE)


def test_users_have_their_numbers_homes_and_shells(facts: Facts) -> None:
    users = {line.split(":")[0]: line.split(":") for line in facts.lines("passwd")}
    assert users["ada"][2:] == ["1500", "1500", "", "/home/ada", "/bin/bash"]
    assert users["bob"][5:] == ["/srv/bob", "/bin/sh"]
    assert users["app"][3] == "2000"
    assert users["app"][6] == "/usr/sbin/nologin"
    assert users["kiosk"][6] == "/usr/bin/id"
    assert facts.lines("groups") == ["ada adm app bob sudo ", "bob "]


def test_who_has_no_password_is_locked_and_passwords_have_their_age(facts: Facts) -> None:
    status = {line.split()[0]: line.split() for line in facts.lines("password-status")}
    assert {name: words[1] for name, words in status.items()} == {
        "ada": "P",
        "bob": "L",
        "app": "L",
        "kiosk": "P",
        "root": "L",
    }
    assert status["ada"][4] == "3650"
    assert status["bob"][4] == "99999"


def test_sudo_works_for_who_may_and_for_nobody_else(facts: Facts) -> None:
    assert facts.lines("sudo") == ["root"]
    assert facts.answers["no-sudo"].status != 0


def test_ssh_lets_the_key_in_also_where_the_password_is_locked(facts: Facts) -> None:
    assert facts.lines("homes")[1:3] == ["700 ada:ada /home/ada/.ssh", "600 ada:ada /home/ada/.ssh/authorized_keys"]
    assert facts.lines("ssh")[-1:] == ["bob"]
    assert "ada" in facts.lines("ssh")


def test_units_are_enabled_disabled_and_masked(facts: Facts) -> None:
    assert facts.text("units").split() == ["enabled", "enabled", "disabled", "masked"]
    assert facts.text("running").split() == ["active", "inactive"]


def test_networkd_takes_the_files_and_configures_both_interfaces(facts: Facts) -> None:
    links = {line.split()[1]: line.split()[-1] for line in facts.lines("links")}
    assert links["dummy0"] == "configured"
    assert [state for name, state in links.items() if name.startswith("e")] == ["configured"]
    files = re.findall(r"Network File: (\S+)", facts.text("link"))
    folder, prefix = ("/run", "10-netplan-") if facts.backend == NETPLAN else ("/etc", "")
    assert files == [f"{folder}/systemd/network/{prefix}{name}.network" for name in ("11-dummy0", "10-uplink")]
    assert ".network" not in facts.text("network-warnings")
    addresses = {line.split()[0]: line for line in facts.lines("addresses")}
    assert "192.0.2.10/24" in addresses["dummy0"]
    assert "2001:db8::10/64" in addresses["dummy0"]
    # QEMU's own DHCP server.
    assert any("10.0.2.15/24" in line for name, line in addresses.items() if name.startswith("e"))
    routes = facts.lines("routes")
    assert "198.51.100.0/24 via 192.0.2.1 dev dummy0" in routes[0]
    # With the router that QEMU announces it may be one route of two hops.
    assert "via 2001:db8::1 dev dummy0" in " ".join(routes[1:])
    assert "192.0.2.53" in facts.text("dns")


def test_netplan_accepts_the_file_written_for_it(facts: Facts) -> None:
    made = set(facts.lines("netplan"))
    wanted = {"Name=dummy0", "Address=192.0.2.10/24", "Address=2001:db8::10/64", "DNS=192.0.2.53"}
    assert made >= {*wanted, "Destination=198.51.100.0/24", "Gateway=192.0.2.1", "Gateway=2001:db8::1"}


def test_filesystems_are_mounted_as_fstab_says(facts: Facts) -> None:
    mounts = facts.text("mounts")
    assert re.search(r"^/ +ext4$", mounts, re.MULTILINE)
    assert re.search(r"^/boot/efi +vfat$", mounts, re.MULTILINE)
    assert "Success, no errors or warnings detected" in mounts


def test_files_have_their_owners_and_none_is_swept_away(facts: Facts) -> None:
    assert facts.lines("files") == [
        "640 ada:app /srv/secret",
        "644 ada:ada /home/ada/.config/app/rc",
        "644 root:root /var/log/kept.log",
    ]
    # The tool may be executed; the folders were made for it.
    assert facts.lines("tree") == [
        "755 ada:ada tree",
        "755 ada:ada tree/below",
        "755 ada:ada tree/below/tool",
        "644 ada:ada tree/note",
    ]
    assert facts.lines("machine-id") == ["33"]
