from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.load import load_image_spec
from os_image_composer.config.remarks import remarks
from support.boot_keys import KeyFolder

Write = Callable[..., Path]
HEAD = """\
image: {name: test, version: "1.0"}
target: {os: debian, dist: debian12, arch: x86_64, imageType: raw}
systemConfig:
"""
OPEN = "  immutability: {enabled: false}\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.mark.parametrize(
    ("users", "said"),
    [
        ("[]", ["nobody-can-log-in"]),
        ("[{name: ada}]", ["nobody-can-log-in"]),
        ("[{name: ada, password: x}]", []),
        (f"[{{name: ada, sshAuthorizedKeys: ['{KEY}']}}]", []),
        (f"[{{name: ada, sudo: true, sshAuthorizedKeys: ['{KEY}']}}]", ["sudo-without-password"]),
        ("[{name: root, password: x}]", ["root-password"]),
    ],
)
def test_what_is_seldom_meant_is_told(write: Write, data: Path, users: str, said: list[str]) -> None:
    spec = load_image_spec(write(HEAD + f"  users: {users}\n"), data)
    assert [finding.reference for finding in remarks(spec)] == said


def test_a_rule_of_sudo_needs_no_password(write: Write, data: Path) -> None:
    write("ada ALL=(ALL) NOPASSWD: ALL\n", "rule")
    user = f"  users: [{{name: ada, sudo: true, sshAuthorizedKeys: ['{KEY}']}}]\n"
    file = '  additionalFiles: [{local: rule, final: /etc/sudoers.d/ada, mode: "0440"}]\n'
    assert remarks(load_image_spec(write(HEAD + user + file), data)) == ()


def test_an_initrd_that_no_signature_covers_is_told(write: Write, data: Path) -> None:
    users = "  users: [{name: ada, password: x}]\n"
    vendor = "  bootloader: {provider: grub, chain: vendor}\n" + OPEN
    (finding,) = remarks(load_image_spec(write(HEAD + users + vendor), data))
    assert (finding.reference, finding.origin and finding.origin.line) == ("initrd-not-protected", 5)


def test_keys_without_a_uki_leave_the_initrd_unsigned_and_that_is_told(
    write: Write, data: Path, keys: KeyFolder
) -> None:
    text = HEAD + "  users: [{name: ada, password: x}]\n" + f"  secureBoot: {keys.template()}\n"
    assert remarks(load_image_spec(write(text), data)) == ()
    (said,) = remarks(load_image_spec(write(text + "  kernel: {uki: false}\n" + OPEN), data))
    assert (said.reference, said.origin and said.origin.line) == ("initrd-not-protected", 6)
