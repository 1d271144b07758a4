"""Users, network, services and files of a template: what is wrong is found where it stands, without a build."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.load import load_image_spec
from os_image_composer.config.spec import ImageSpec
from os_image_composer.errors import Finding

Marked = Callable[[str], Finding]
Write = Callable[..., Path]
HEAD = """\
image: {name: test, version: "1.0"}
target: {os: debian, dist: debian13, arch: x86_64, imageType: raw}
systemConfig:
"""


def blob(kind: str, *fields: bytes) -> str:
    """A key of RFC 4253 §6.6."""
    strings = (kind.encode(), *fields)
    return base64.b64encode(b"".join(len(text).to_bytes(4) + text for text in strings)).decode()


ED25519 = f"ssh-ed25519 {blob('ssh-ed25519', bytes(32))}"
SHORT_RSA = f"ssh-rsa {blob('ssh-rsa', b'aaa', (1 << 1023).to_bytes(128))}"


def user(fields: str) -> str:
    return HEAD + "  users: [{name: ada, " + fields + "}]\n"


def interface(fields: str) -> str:
    return HEAD + "  network:\n    interfaces: [{name: enp1s0, " + fields + "}]\n"


def static(fields: str) -> str:
    return interface("addresses: [192.0.2.10/24], " + fields)


@pytest.fixture
def spec(write: Write, data: Path) -> Callable[[str], ImageSpec]:
    return lambda text: load_image_spec(write(HEAD + text), data)


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (HEAD + "  timezone: ▸Europe/../etc/passwd\n", "wrong-value"),
        (HEAD + "  timezone: ▸/etc/localtime\n", "wrong-value"),
        (HEAD + "  locale: ▸english\n", "wrong-value"),
        (HEAD + "  locale: ▸en-US\n", "wrong-value"),
        (HEAD + "  keyboard: {layout: ▸'de(nodeadkeys)'}\n", "wrong-value"),
        (HEAD + "  keyboard: {layout: de, variant: ▸'nodeadkeys,'}\n", "wrong-value"),
        (HEAD + "  keyboard: {layout: ▸','}\n", "wrong-value"),
        (HEAD + "  keyboard: {▸layuot: de, layout: de}\n", "unknown-key"),
        (HEAD + "  ▸keyboard: {variant: nodeadkeys}\n", "missing-key"),
        (HEAD + "  groups: [{name: app}, {name: ▸app}]\n", "duplicate-value"),
        (HEAD + "  groups: [{name: app, gid: ▸70000}]\n", "wrong-value"),
        (HEAD + "  users: [{name: ▸'1234'}]\n", "wrong-value"),
        (HEAD + "  users: [{name: ▸ünal}]\n", "wrong-value"),
        (user("uid: ▸0"), "wrong-value"),
        (user("passwordMaxAge: ▸0"), "wrong-value"),
        (user("shell: /bin/sh, startupScript: ▸/usr/bin/top"), "wrong-value"),
        (user("password: " + "x" * 73 + ", hash_algo: ▸bcrypt"), "wrong-value"),
        (user("password: $6$abc$" + "a" * 86 + ", hash_algo: ▸yescrypt"), "wrong-value"),
        (user("password: x, hash_algo: ▸sha1"), "wrong-value"),
    ],
)
def test_accounts_and_places_that_no_image_can_have(marked: Marked, text: str, reference: str) -> None:
    assert marked(text).reference == reference


@pytest.mark.parametrize(
    ("key", "reference"),
    [
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA", "wrong-value"),
        (f"ssh-rsa {blob('ssh-ed25519', bytes(32))}", "wrong-value"),
        (f"ssh-ed25519x {blob('ssh-ed25519', bytes(32))}", "wrong-value"),
        (f"ssh-dss {blob('ssh-dss', b'1')}", "weak-key"),
        (SHORT_RSA, "weak-key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private-key"),
        ("~/.ssh/id_ed25519.pub", "wrong-value"),
        (f"restrict command=id {ED25519}", "wrong-value"),
    ],
)
def test_a_line_that_sshd_would_not_take_as_a_key(marked: Marked, key: str, reference: str) -> None:
    assert marked(user(f"sshAuthorizedKeys: [▸'{key}']")).reference == reference


@pytest.mark.parametrize("options", ["", "restrict ", 'from="192.0.2.0/24",command="echo \\"hi, you\\"" '])
def test_a_key_may_have_options_and_a_comment(spec: Callable[[str], ImageSpec], options: str) -> None:
    line = f"{options}{ED25519} ada@example with blanks"
    found = spec(f"  users: [{{name: ada, sshAuthorizedKeys: ['{line}']}}]\n")
    assert found.users[0].ssh_authorized_keys == (line,)


@pytest.mark.parametrize(
    ("text", "reference", "hint"),
    [
        (interface("▸adresses: []"), "unknown-key", "did you mean 'addresses'?"),
        (HEAD + "  network: {backend: ▸networkd}\n", "wrong-value", "did you mean 'systemd-networkd'?"),
        (HEAD + "  network: {interfaces: [{name: ▸a-name-of-17-chars, dhcp4: true}]}\n", "wrong-value", "at most 15"),
        (HEAD + "  network: {interfaces: [{name: ▸enp1s0}]}\n", "wrong-value", "dhcp4: true"),
        (interface("addresses: [▸192.0.2.10]"), "wrong-value", "such as '192.0.2.10/24'"),
        (interface("addresses: [▸192.0.2.10/255.255.255.0]"), "wrong-value", "write '192.0.2.10/24'"),
        (interface("addresses: [▸192.0.2.0/24]"), "wrong-value", "the host's address"),
        (interface("addresses: [▸192.0.2.255/24]"), "wrong-value", None),
        (interface("addresses: [▸127.0.0.1/8]"), "wrong-value", None),
        (interface("addresses: [▸192.0.2.300/24]"), "wrong-value", "such as"),
        (interface("dhcp4: true, macAddress: ▸'52:54:00:12:34'"), "wrong-value", "six pairs"),
        (interface("dhcp4: true, macAddress: ▸'01:00:5e:00:00:01'"), "wrong-value", None),
        (interface("dhcp4: true, nameservers: [▸192.0.2.53/24]"), "wrong-value", "without the prefix"),
        (static("routes: [{to: ▸198.51.100.1/24, via: 192.0.2.1}]"), "wrong-value", "write '198.51.100.0/24'"),
        (static("routes: [{to: default, via: ▸192.0.2.1/24}]"), "wrong-value", "without the prefix"),
        (static("routes: [{to: 2001:db8::/32, via: ▸192.0.2.1}]"), "wrong-value", None),
        (static("▸routes: [{to: default, via: 203.0.113.1}]"), "wrong-value", None),
        (HEAD + "  network: {interfaces: [{name: en*, ▸addresses: [192.0.2.10/24]}]}\n", "wrong-value", "macAddress"),
    ],
)
def test_a_network_that_could_not_work(marked: Marked, text: str, reference: str, hint: str | None) -> None:
    finding = marked(text)
    assert finding.reference == reference
    assert hint is None or hint in (finding.hint or "")


def test_two_interfaces_cannot_have_one_address(marked: Marked) -> None:
    first = "{name: enp1s0, addresses: [192.0.2.10/24]}"
    second = "{name: enp2s0, addresses: [192.0.2.10/25]}"
    assert marked(HEAD + f"  network:\n    interfaces: [{first}, ▸{second}]\n").reference == "duplicate-value"


@pytest.mark.parametrize(
    "text",
    [
        "  services: {enable: [▸'a b']}\n",
        "  services: {enable: [▸.service]}\n",
        "  services: {mask: [▸../../etc/passwd]}\n",
    ],
)
def test_a_unit_has_a_units_name(marked: Marked, text: str) -> None:
    assert marked(HEAD + text).reference == "wrong-value"


def test_a_unit_has_one_state(marked: Marked) -> None:
    text = HEAD + "  services: {enable: [ssh.service], mask: [▸ssh]}\n"
    assert marked(text).reference == "duplicate-value"


def test_a_unit_without_a_suffix_is_a_service(spec: Callable[[str], ImageSpec]) -> None:
    found = spec("  services: {enable: [ssh, fstrim.timer, serial-getty@ttyS1, dbus-org.freedesktop.network1]}\n")
    assert found.services.enable == (
        "ssh.service",
        "fstrim.timer",
        "serial-getty@ttyS1.service",
        "dbus-org.freedesktop.network1.service",
    )


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ("final: /etc/x, mode: ▸0640", 'write it in quotes: "0640"'),
        ("final: /etc/x, mode: ▸'0980'", "octal digits"),
        ("final: /etc/x, owner: ▸'70000'", None),
        ("final: ▸/run/x", "tmpfiles.d"),
        ("final: ▸/dev/null", None),
        ("final: ▸/etc/machine-id", "systemd.machine_id="),
    ],
)
def test_a_file_that_could_not_be_placed(marked: Marked, write: Write, fields: str, hint: str | None) -> None:
    write("x", "x.conf")
    finding = marked(HEAD + f"  additionalFiles: [{{local: x.conf, {fields}}}]\n")
    assert finding.reference in ("wrong-value", "wrong-type")
    assert hint is None or hint in (finding.hint or "")


def test_mode_is_octal(spec: Callable[[str], ImageSpec], write: Write) -> None:
    write("x", "x.conf")
    found = spec("  additionalFiles: [{local: x.conf, final: /etc/x, mode: '0640', owner: ada, group: adm}]\n")
    (file,) = (f for f in found.additional_files if f.final == "/etc/x")
    assert (file.mode, file.owner, file.group) == (0o640, "ada", "adm")


def test_interfaces_of_a_template_replace_those_of_the_default(spec: Callable[[str], ImageSpec]) -> None:
    before = spec("  name: x\n").network
    assert before is not None
    assert [i.name for i in before.interfaces] == ["en*", "eth*"]
    after = spec("  network: {interfaces: [{name: enp1s0, dhcp4: true}]}\n").network
    assert after is not None
    assert (after.backend, [i.name for i in after.interfaces]) == ("systemd-networkd", ["enp1s0"])
    other = spec("  network: {backend: netplan}\n").network
    assert other is not None
    assert (other.backend, other.interfaces) == ("netplan", before.interfaces)
    assert spec("  network: {interfaces: []}\n").network is None


def test_startup_script_takes_the_place_of_the_shell(spec: Callable[[str], ImageSpec]) -> None:
    found = spec("  users: [{name: kiosk, startupScript: /usr/bin/top}, {name: ada, startupScript: ''}]\n")
    assert [u.shell for u in found.users] == ["/usr/bin/top", None]
