"""What of firmware, boot loader, kernel files and protection goes together, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.boot_rules import check_boot
from os_image_composer.config.distribution_data import load_distribution
from os_image_composer.config.findings import where
from os_image_composer.config.load import check_template, load_image_spec
from os_image_composer.config.yaml_source import read_yaml
from os_image_composer.errors import Finding

Write = Callable[..., Path]
HEAD = """\
image: {name: test, version: "1.0"}
target: {os: debian, dist: debian12, arch: x86_64, imageType: raw}
"""
BIOS_DISK = """\
disk:
  name: disk
  size: 2GiB
  partitions:
    - {id: bios, type: bios, start: 1MiB, end: 2MiB, flags: [bios_grub]}
    - {id: root, fsType: ext4, start: 2MiB, end: "0", mountPoint: /}
"""
SYSTEMD_BOOT, GRUB, LEGACY = (
    "bootloader: {bootType: efi, provider: systemd-boot}",
    "bootloader: {bootType: efi, provider: grub}",
    "bootloader: {bootType: legacy, provider: grub}",
)
SEALED = "immutability: {enabled: true}"


def findings(
    write: Write, data: Path, *lines: str, target: tuple[str, str, str] = ("debian", "debian12", "x86_64")
) -> list[Finding]:
    """What is wrong with the keys `lines` of systemConfig."""
    node = read_yaml(write("systemConfig:\n" + "".join(f"  {line}\n" for line in lines)))
    return list(check_boot(node, load_distribution(*target, data).boot))


@pytest.mark.parametrize(
    "lines",
    [
        (SYSTEMD_BOOT,),
        (SYSTEMD_BOOT, "kernel: {uki: false}"),
        (SYSTEMD_BOOT, SEALED),
        (GRUB,),
        (GRUB, "kernel: {uki: true}", SEALED),
        (SYSTEMD_BOOT, "kernel: {uki: false}", "secureBoot: {key: a.key}"),
        (LEGACY,),
        ("bootloader: {bootType: efi, provider: grub2, chain: vendor}",),
        ("bootloader: {bootType: efi, provider: systemd-boot, tries: 3}", "kernel: {uki: false}"),
        (SYSTEMD_BOOT, "kernel: {cmdline: 'dyndbg=\"file a.c +p\"'}"),
    ],
)
def test_what_goes_together_is_no_finding(write: Write, data: Path, lines: tuple[str, ...]) -> None:
    assert findings(write, data, *lines) == []


@pytest.mark.parametrize(
    ("lines", "key", "hint"),
    [
        (("bootloader: {bootType: legacy, provider: systemd-boot}",), "bootloader.provider", "provider: grub"),
        ((LEGACY, "kernel: {uki: true}"), "kernel.uki", "remove it, or write bootType: efi"),
        ((LEGACY, SEALED), "immutability.enabled", "bootType: efi with kernel.uki: true"),
        ((LEGACY, "secureBoot: {key: a.key, certificate: a.pem}"), "secureBoot", "bootType: efi"),
        ((GRUB, "secureBoot: {key: a.key}"), "secureBoot", "provider: systemd-boot"),
        ((GRUB, "kernel: {uki: true}", "secureBoot: {key: a.key}"), "secureBoot", "provider: systemd-boot"),
        ((LEGACY, "immutability: {secureBootDBKey: a.key}"), "immutability.secureBootDBKey", "bootType: efi"),
        ((SYSTEMD_BOOT, "kernel: {uki: false}", SEALED), "immutability.enabled", "kernel.uki: true"),
        ((GRUB, SEALED), "immutability.enabled", "kernel.uki: true"),
        (("bootloader: {bootType: efi, provider: grub, tries: 3}",), "bootloader.tries", "provider: systemd-boot"),
        ((GRUB, "kernel: {cmdline: 'a=\"b c\"'}"), "kernel.cmdline", "kernel.uki: true"),
        (("bootloader: {bootType: efi, provider: systemd-boot, chain: vendor}",), "bootloader.chain", "provider: grub"),
        (
            ("bootloader: {bootType: efi, provider: grub, chain: vendor}", "kernel: {uki: true}"),
            "bootloader.chain",
            "chain: own",
        ),
        (
            ("bootloader: {bootType: efi, provider: grub, chain: vendor}", "secureBoot: {key: a.key}"),
            "secureBoot",
            "chain: own",
        ),
    ],
)
def test_what_does_not_is_refused_at_its_place_with_the_reason_and_the_way_out(
    write: Write, data: Path, lines: tuple[str, ...], key: str, hint: str
) -> None:
    (finding,) = findings(write, data, *lines)
    assert finding.reference == "boot-combination"
    assert finding.message.startswith(f"'systemConfig.{key}' cannot ") or key == "bootloader.tries"
    assert hint in (finding.hint or "")
    node = read_yaml(write("systemConfig:\n" + "".join(f"  {line}\n" for line in lines)))
    location = ("systemConfig", *key.split("."))
    assert finding.origin == where(node, location, key=key.lower().startswith(("secure", "immutability.secure")))


@pytest.mark.parametrize(
    ("target", "lines", "key"),
    [
        (("azure-linux", "azl3", "aarch64"), (GRUB,), "bootloader.provider"),
        (("azure-linux", "azl3", "aarch64"), (LEGACY,), "bootloader.bootType"),
        (
            ("azure-linux", "azl3", "x86_64"),
            ("bootloader: {bootType: efi, provider: grub, chain: vendor}",),
            "bootloader.chain",
        ),
    ],
)
def test_a_loader_that_the_distributions_data_do_not_know_is_refused(
    write: Write, data: Path, target: tuple[str, str, str], lines: tuple[str, ...], key: str
) -> None:
    (finding,) = findings(write, data, *lines, target=target)
    assert f"'systemConfig.{key}'" in finding.message


def test_a_finding_is_one_of_the_whole_template_with_its_line(write: Write, data: Path) -> None:
    text = HEAD + BIOS_DISK + "systemConfig:\n  bootloader:\n    bootType: legacy\n    provider: systemd-boot\n"
    (finding,) = check_template(write(text), data)
    assert (finding.reference, finding.origin and finding.origin.line) == ("boot-combination", text.count("\n"))


def test_whether_there_is_a_uki_follows_from_the_loader_where_nothing_is_said(write: Write, data: Path) -> None:
    def made(loader: str) -> bool:
        return load_image_spec(write(f"{HEAD}systemConfig: {{bootloader: {{provider: {loader}}}}}\n"), data).kernel.uki

    assert [made(loader) for loader in ("systemd-boot", "grub", "grub2")] == [True, False, False]


def test_grub2_is_another_name_of_grub(write: Write, data: Path) -> None:
    spec = load_image_spec(write(HEAD + "systemConfig: {bootloader: {provider: grub2}}\n"), data)
    assert spec.bootloader.provider == "grub"


def test_a_disk_for_a_bios_needs_no_esp(write: Write, data: Path) -> None:
    assert check_template(write(HEAD + BIOS_DISK + f"systemConfig: {{{LEGACY}}}\n"), data) == ()


@pytest.mark.parametrize(
    ("old", "new", "reference"),
    [
        ("type: bios, start", "start", "no-bios-partition"),
        ("type: bios,", "type: bios, fsType: ext4,", "wrong-value"),
        ("fsType: ext4, start: 2MiB", "fsType: fat32, start: 2MiB", "wrong-value"),
        ("flags: [bios_grub]", "flags: [esp]", "wrong-value"),
        ("flags: [bios_grub]", "flags: [legacy_boot]", "not-built-yet"),
    ],
)
def test_a_disk_that_grub_cannot_start_from_is_refused(
    write: Write, data: Path, old: str, new: str, reference: str
) -> None:
    text = HEAD + BIOS_DISK.replace(old, new) + f"systemConfig: {{{LEGACY}}}\n"
    assert reference in {finding.reference for finding in check_template(write(text), data)}


@pytest.mark.parametrize("key", ["tries: 0", "tries: 100", "timeout: -1", "timeout: 3601", "kernels: some"])
def test_numbers_and_words_out_of_range_are_refused(write: Write, data: Path, key: str) -> None:
    text = HEAD + f"systemConfig: {{bootloader: {{{key}}}}}\n"
    assert [finding.reference for finding in check_template(write(text), data)] == ["wrong-value"]
