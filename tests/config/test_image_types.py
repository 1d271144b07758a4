"""What a template of each kind of image must say, and cannot say."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.load import check_template, load_image_spec
from os_image_composer.config.remarks import remarks
from os_image_composer.config.spec import NO_DISK
from os_image_composer.errors import Finding
from support.boot_keys import KeyFolder

HEAD = """\
image: {name: small, version: "1"}
target: {os: debian, dist: debian13, arch: x86_64, imageType: KIND}
"""
DISK = """\
disk:
  name: own
  size: 2GiB
  partitions:
    - {id: root, type: linux-root-amd64, fsType: ext4, start: 1MiB, end: "0", mountPoint: /}
"""


@pytest.fixture
def checked(tmp_path: Path, data: Path) -> Callable[[str, str], tuple[Finding, ...]]:
    def run(kind: str, text: str) -> tuple[Finding, ...]:
        path = tmp_path / "template.yml"
        path.write_text(HEAD.replace("KIND", kind) + text)
        return check_template(path, data)

    return run


@pytest.mark.parametrize("kind", ["img", "iso"])
def test_an_image_that_is_no_disk_needs_none(kind: str, tmp_path: Path, data: Path) -> None:
    path = tmp_path / "template.yml"
    path.write_text(HEAD.replace("KIND", kind) + "systemConfig: {name: small}\n")
    spec = load_image_spec(path, data)
    assert (spec.disk, spec.target.image_type) == (NO_DISK, kind)


@pytest.mark.parametrize(
    ("kind", "key", "text"),
    [
        ("img", "disk", DISK),
        ("iso", "disk", DISK),
        ("img", "disk", "disk: {artifacts: [{type: qcow2}]}\n"),
        ("iso", "disk", "disk: {size: 2GiB}\n"),
        ("img", "systemConfig.bootloader", "systemConfig: {name: a, bootloader: {provider: grub}}\n"),
        ("img", "systemConfig.kernel.uki", "systemConfig: {name: a, kernel: {uki: true}}\n"),
        ("img", "systemConfig.live", "systemConfig: {name: a, live: {title: b}}\n"),
        ("raw", "systemConfig.live", "systemConfig: {name: a, live: {title: b}}\n"),
        ("iso", "systemConfig.bootloader.provider", "systemConfig: {name: a, bootloader: {provider: systemd-boot}}\n"),
        ("iso", "systemConfig.bootloader.bootType", "systemConfig: {name: a, bootloader: {bootType: efi}}\n"),
        ("iso", "systemConfig.bootloader.tries", "systemConfig: {name: a, bootloader: {tries: 3}}\n"),
        ("iso", "systemConfig.kernel.uki", "systemConfig: {name: a, kernel: {uki: true}}\n"),
        ("iso", "systemConfig.kernel.cmdline", "systemConfig: {name: a, kernel: {cmdline: \"a='b'\"}}\n"),
    ],
)
def test_what_says_nothing_about_an_image_is_refused_by_its_name(
    checked: Callable[[str, str], tuple[Finding, ...]], kind: str, key: str, text: str
) -> None:
    (finding,) = checked(kind, text)
    assert finding.reference == "image-type"
    assert f"'{key}'" in finding.message
    assert finding.hint


KEYS = "secureBoot: {key: db.key, certificate: db.pem}"
OLD_KEYS = "immutability: {enabled: true, secureBootDBKey: db.key, secureBootDBCrt: db.pem, secureBootDBCer: db.der}"


@pytest.fixture
def key_files(keys: KeyFolder, tmp_path: Path) -> None:
    for path in keys.path.iterdir():
        shutil.copy2(path, tmp_path / path.name)


@pytest.mark.usefixtures("key_files")
@pytest.mark.parametrize("keys_of", [KEYS, OLD_KEYS], ids=["secureBoot", "of the predecessor"])
@pytest.mark.parametrize(
    ("key", "more"),
    [
        ("systemConfig.bootloader.provider", "bootloader: {provider: systemd-boot}"),
        ("systemConfig.kernel.uki", "kernel: {uki: false}"),
        ("systemConfig.kernel.cmdline", "kernel: {cmdline: \"a='b'\"}"),
        ("systemConfig.bootloader.chain", "bootloader: {chain: vendor}"),
        ("systemConfig.bootloader.tries", "bootloader: {tries: 3}"),
    ],
)
def test_what_a_signed_iso_cannot_be_is_refused_by_its_name(
    checked: Callable[[str, str], tuple[Finding, ...]], keys_of: str, key: str, more: str
) -> None:
    (finding,) = checked("iso", f"systemConfig:\n  name: a\n  {keys_of}\n  {more}\n")
    assert (finding.reference, finding.hint is not None) == ("image-type", True)
    assert f"'{key}'" in finding.message


@pytest.mark.usefixtures("key_files")
@pytest.mark.parametrize(
    "more",
    ["", "kernel: {uki: true}", "bootloader: {provider: grub2, timeout: 9}", "immutability: {enabled: true}"],
)
def test_an_iso_takes_keys_and_has_a_unified_kernel_image_then(more: str, tmp_path: Path, data: Path) -> None:
    path = tmp_path / "template.yml"
    path.write_text(HEAD.replace("KIND", "iso") + f"systemConfig:\n  name: a\n  {KEYS}\n  {more}\n")
    spec = load_image_spec(path, data)
    assert spec.secure_boot is not None
    assert spec.kernel.uki
    assert "initrd-not-protected" not in {remark.reference for remark in remarks(spec)}


@pytest.mark.usefixtures("key_files")
def test_systemd_boot_enrols_the_keys_of_an_iso(checked: Callable[[str, str], tuple[Finding, ...]]) -> None:
    assert checked("iso", f"systemConfig: {{name: a, {KEYS[:-1]}, enroll: if-safe}}}}\n") == ()


@pytest.mark.usefixtures("key_files")
def test_keys_as_the_predecessor_names_them_seal_the_root_too(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "template.yml"
    path.write_text(HEAD.replace("KIND", "iso") + f"systemConfig: {{name: a, {OLD_KEYS}}}\n")
    spec = load_image_spec(path, data)
    assert spec.secure_boot is not None
    assert spec.immutability.enabled


def test_a_root_is_sealed_only_where_its_root_hash_is_signed(
    checked: Callable[[str, str], tuple[Finding, ...]],
) -> None:
    (finding,) = checked("iso", "systemConfig: {name: a, immutability: {enabled: true}}\n")
    assert "systemConfig.immutability.enabled" in finding.message
    assert finding.hint is not None
    assert "systemConfig.secureBoot" in finding.hint


def test_what_is_switched_off_is_no_fault(checked: Callable[[str, str], tuple[Finding, ...]]) -> None:
    for kind in ("img", "iso"):
        assert checked(kind, "systemConfig: {name: a, immutability: {enabled: false}}\n") == ()


def test_a_kind_without_default_template_is_unknown(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "template.yml"
    path.write_text(
        'image: {name: a, version: "1"}\ntarget: {os: azure-linux, dist: azl3, arch: aarch64, imageType: iso}\n'
    )
    findings = check_template(path, data)
    # And nothing of what another kind's default would be lacking.
    assert [(f.reference, f.origin.line if f.origin else 0) for f in findings] == [("unknown-target", 2)]


@pytest.mark.parametrize("title", ["it's", "a" * 61, "a\\b", ""])
def test_title_is_what_a_menu_can_show(checked: Callable[[str, str], tuple[Finding, ...]], title: str) -> None:
    assert checked("iso", f'systemConfig: {{name: a, live: {{title: "{title.replace(chr(92), chr(92) * 2)}"}}}}\n')


CARRY = "systemConfig:\n  name: a\n  live:\n    carry:\n"


def test_a_file_to_carry_is_found_beside_its_template(tmp_path: Path, data: Path) -> None:
    (tmp_path / "out.raw").write_bytes(b"x")
    path = tmp_path / "template.yml"
    path.write_text(HEAD.replace("KIND", "iso") + CARRY + "      - {local: out.raw, name: target.raw}\n")
    (carried,) = load_image_spec(path, data).live.carried
    assert (carried.local, carried.name) == (tmp_path / "out.raw", "target.raw")


@pytest.mark.parametrize(
    ("items", "reference", "place"),
    [
        ("      - {local: gone.raw, name: a}\n", "no-such-file", (7, 17)),
        ("      - {local: ., name: a}\n", "not-a-file", (7, 17)),
        ("      - {local: template.yml, name: a/b}\n", "wrong-value", (7, 37)),
        ("      - {local: template.yml, name: .a}\n", "wrong-value", (7, 37)),
        ("      - {local: template.yml}\n", "missing-key", (7, 9)),
        ("      - {local: template.yml, name: a}\n      - {local: other, name: a}\n", "duplicate-value", (8, 30)),
    ],
)
def test_what_cannot_be_carried_is_refused_where_it_stands(
    checked: Callable[[str, str], tuple[Finding, ...]],
    tmp_path: Path,
    items: str,
    reference: str,
    place: tuple[int, int],
) -> None:
    (tmp_path / "other").write_text("x")
    (finding,) = checked("iso", CARRY + items)
    assert finding.origin is not None
    assert (finding.reference, finding.origin.line, finding.origin.column) == (reference, *place)
