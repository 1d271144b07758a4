"""What of firmware, boot loader, kernel files and protection goes together, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.boot_rules import check_boot
from os_image_composer.config.distribution_data import load_distribution
from os_image_composer.config.findings import where
from os_image_composer.config.load import check_template, load_image_spec
from os_image_composer.config.remarks import remarks
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


AZL3 = """\
image: {name: test, version: "1.0"}
target: {os: azure-linux, dist: azl3, arch: x86_64, imageType: raw}
"""
CHAINED = f"{AZL3}systemConfig:\n  bootloader: {{chain: vendor}}\n"


def test_a_vendors_uki_needs_nothing_but_the_word_and_leaves_a_remark_of_what_the_os_default_says(
    write: Write, data: Path
) -> None:
    spec = load_image_spec(write(CHAINED + "  users: [{name: ada, password: x}]\n"), data)
    assert (spec.bootloader.chain, spec.bootloader.provider, spec.kernel.uki) == ("vendor", "systemd-boot", True)
    (said,) = remarks(spec)
    assert (said.reference, said.origin and said.origin.line) == ("vendor-command-line", 4)
    assert "kernel.cmdline 'console=tty0 console=ttyS0,115200'" in said.message
    assert "kernel.enableExtraModules 'usbcore usb-common'" in said.message


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("kernel: {cmdline: quiet}", "systemConfig.kernel.cmdline"),
        ("kernel: {enableExtraModules: dm-crypt}", "systemConfig.kernel.enableExtraModules"),
        ("kernel: {uki: false}", "systemConfig.kernel.uki"),
        ("selinux: permissive", "systemConfig.selinux"),
        ("secureBoot: {key: a.key, certificate: a.pem}", "systemConfig.secureBoot"),
    ],
)
def test_what_a_vendors_uki_has_inside_cannot_be_had_otherwise(write: Write, data: Path, line: str, key: str) -> None:
    found = [f for f in check_template(write(f"{CHAINED}  {line}\n"), data) if f.reference == "boot-combination"]
    (finding,) = found
    assert finding.message.startswith(f"'{key}' cannot be ")
    assert (finding.origin and finding.origin.line, "chain: own" in (finding.hint or "")) == (5, True)


def test_a_vendors_uki_has_no_sealed_root(write: Write, data: Path) -> None:
    lines = ("bootloader: {bootType: efi, provider: systemd-boot, chain: vendor}", SEALED)
    (finding,) = findings(write, data, *lines, target=("azure-linux", "azl3", "x86_64"))
    assert finding.message.startswith(
        "'systemConfig.immutability.enabled' cannot be true with bootloader.chain: vendor"
    )


@pytest.mark.parametrize(
    ("root", "key"),
    [
        ("type: linux, fsType: ext4", "disk.partitions[1].type"),
        ("fsType: ext4", "disk.partitions[1].type"),
        ("typeUUID: 0fc63daf-8483-4772-8e79-3d69d8477de4, fsType: ext4", "disk.partitions[1].type"),
        ("type: linux-root-amd64, fsType: erofs", "disk.partitions[1].fsType"),
        ("type: linux-root-amd64, fsType: ext4", None),
        ("typeUUID: 4f68bce3-e8cd-4db1-96e7-fbcaf984b709, fsType: ext4", None),
    ],
)
def test_a_vendors_uki_finds_its_root_by_the_partitions_type(
    write: Write, data: Path, root: str, key: str | None
) -> None:
    disk = (
        "disk:\n  name: disk\n  size: 4GiB\n  partitions:\n"
        "    - {id: esp, type: esp, fsType: fat32, start: 1MiB, end: 257MiB, mountPoint: /boot/efi}\n"
        f'    - {{id: root, {root}, start: 257MiB, end: "0", mountPoint: /}}\n'
    )
    template = write(CHAINED.replace("systemConfig:", f"{disk}systemConfig:"))
    found = [f.message.split("'")[1] for f in check_template(template, data) if f.reference == "boot-combination"]
    assert found == ([key] if key else [])


@pytest.mark.parametrize(
    ("target", "lines", "hint"),
    [
        (("azure-linux", "azl3", "x86_64"), "provider: grub", "provider: systemd-boot"),
        (("azure-linux", "azl3", "aarch64"), "provider: systemd-boot", "chain: own"),
        (("edge-microvisor-toolkit", "emt3", "x86_64"), "provider: systemd-boot", "chain: own"),
        (("wind-river-elxr", "elxr12", "x86_64"), "provider: grub", "chain: own"),
    ],
)
def test_a_vendors_chain_is_refused_where_the_data_have_another_or_none(
    write: Write, data: Path, target: tuple[str, str, str], lines: str, hint: str
) -> None:
    found = findings(write, data, f"bootloader: {{bootType: efi, {lines}, chain: vendor}}", target=target)
    (finding,) = [f for f in found if "bootloader.chain'" in f.message]
    assert hint in (finding.hint or "")


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


SEALED_BY_DEFAULT = (
    ("debian", "debian13"),
    ("wind-river-elxr", "elxr12"),
    ("edge-microvisor-toolkit", "emt3"),
)
UNSEALED = "systemConfig.immutability: {enabled: false}"
OPEN = "  immutability: {enabled: false}\n"


def on(target: tuple[str, str], system: str, disk: str = "") -> str:
    os, dist = target
    return (
        f'image: {{name: test, version: "1.0"}}\ntarget: {{os: {os}, dist: {dist}, arch: x86_64, imageType: raw}}\n'
        f"{disk}systemConfig:\n{system}"
    )


def line_of(finding: Finding, path: Path) -> str:
    """The line of the user's template that a finding points at."""
    assert finding.origin is not None
    assert finding.origin.file == str(path)
    return path.read_text().splitlines()[finding.origin.line - 1]


@pytest.mark.parametrize("target", SEALED_BY_DEFAULT)
@pytest.mark.parametrize(
    ("system", "disk", "line"),
    [
        ("  kernel:\n    uki: false\n", "", "    uki: false"),
        ("  bootloader:\n    provider: grub\n", "", "    provider: grub"),
        ("  bootloader:\n    bootType: legacy\n    provider: grub\n", BIOS_DISK, "    bootType: legacy"),
    ],
)
def test_a_seal_of_the_os_default_is_told_at_the_templates_own_line_and_left_in_one_step(
    write: Write, data: Path, target: tuple[str, str], system: str, disk: str, line: str
) -> None:
    path = write(on(target, system, disk))
    (finding,) = [found for found in check_template(path, data) if found.reference == "boot-combination"]
    assert "'systemConfig.immutability.enabled' is true in the OS default" in finding.message
    assert line_of(finding, path) == line
    assert (finding.hint or "").startswith(f"{UNSEALED}, or ")
    assert check_template(write(on(target, system + OPEN, disk)), data) == ()


@pytest.mark.parametrize(
    ("system", "line"),
    [
        ("  kernel: {uki: false}\n  immutability:\n    enabled: true\n", "    enabled: true"),
        ("  bootloader: {provider: grub}\n  immutability:\n    enabled: true\n", "    enabled: true"),
    ],
)
def test_a_seal_that_the_template_asks_for_is_told_at_its_line_and_kept_by_the_first_way_out(
    write: Write, data: Path, system: str, line: str
) -> None:
    path = write(on(("debian", "debian13"), system))
    (finding,) = check_template(path, data)
    assert line_of(finding, path) == line
    assert finding.hint == f"kernel.uki: true, or {UNSEALED}"


@pytest.mark.parametrize(
    ("system", "hint", "mended"),
    [
        (
            "  bootloader: {provider: grub, chain: vendor}\n",
            f"{UNSEALED}, or chain: own with kernel.uki: true",
            (
                f"  bootloader: {{provider: grub, chain: vendor}}\n{OPEN}",
                "  bootloader: {provider: grub, chain: own}\n  kernel: {uki: true}\n",
            ),
        ),
        (
            "  bootloader: {provider: grub, chain: vendor}\n  kernel: {uki: true}\n",
            f"kernel.uki: false with {UNSEALED}, or chain: own",
            (
                f"  bootloader: {{provider: grub, chain: vendor}}\n  kernel: {{uki: false}}\n{OPEN}",
                "  bootloader: {provider: grub, chain: own}\n  kernel: {uki: true}\n",
            ),
        ),
        (
            "  bootloader: {chain: vendor}\n",
            f"bootType: efi with provider: grub and {UNSEALED}",
            (f"  bootloader: {{chain: vendor, bootType: efi, provider: grub}}\n{OPEN}",),
        ),
    ],
)
def test_each_way_out_of_a_vendors_chain_on_a_sealed_default_leads_out_in_one_step(
    write: Write, data: Path, system: str, hint: str, mended: tuple[str, ...]
) -> None:
    path = write(on(("debian", "debian13"), system))
    (finding,) = check_template(path, data)
    assert (line_of(finding, path), finding.hint) == (system.splitlines()[0], hint)
    assert [check_template(write(on(("debian", "debian13"), text)), data) for text in mended] == [()] * len(mended)


def test_all_that_a_bios_forbids_on_a_sealed_default_is_told_at_the_key_that_asks_for_it(
    write: Write, data: Path
) -> None:
    path = write(on(("debian", "debian13"), "  bootloader:\n    bootType: legacy\n"))
    found = check_template(path, data)
    assert {line_of(finding, path) for finding in found} == {"    bootType: legacy"}
    assert [finding.reference for finding in found] == ["no-bios-partition", "boot-combination", "boot-combination"]
    hints = " ".join(finding.hint or "" for finding in found)
    assert all(way in hints for way in ("'disk' of your own", "{id: bios, type: bios,", "provider: grub", UNSEALED))
    text = on(("debian", "debian13"), f"  {LEGACY}\n{OPEN}", BIOS_DISK)
    assert check_template(write(text), data) == ()


def test_a_missing_bios_partition_of_a_layout_of_ones_own_is_told_at_the_layout(write: Write, data: Path) -> None:
    disk = BIOS_DISK.replace("    - {id: bios, type: bios, start: 1MiB, end: 2MiB, flags: [bios_grub]}\n", "")
    path = write(on(("debian", "debian12"), f"  {LEGACY}\n", disk))
    (finding,) = check_template(path, data)
    assert (line_of(finding, path), finding.hint) == ("  partitions:", "{id: bios, type: bios, start: 1MiB, end: 2MiB}")
