"""A tar has no partitions and no boot loader: what a template asks for that is made of these is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.load import check_template, load_image_spec
from os_image_composer.errors import Finding

Marked = Callable[[str], Finding]
Write = Callable[..., Path]
SEALED_BY_DEFAULT = ("debian/debian13", "wind-river-elxr/elxr12", "edge-microvisor-toolkit/emt3")
NOT_SEALED = ("debian/debian12", "azure-linux/azl3")
LAYOUT = """\
  name: disk
  size: 2GiB
  partitions:
    - {id: esp, type: esp, fsType: fat32, start: 1MiB, end: 257MiB, mountPoint: /boot/efi}
    - {id: root, type: linux-root-amd64, fsType: ext4, start: 257MiB, end: 1500MiB, mountPoint: /}
    - {id: hash, start: 1500MiB, end: 1600MiB}
    - {id: data, fsType: ext4, start: 1600MiB, end: "0"}
"""
OPEN = "systemConfig: {immutability: {enabled: false}}\n"


def only(artifacts: str, system: str = "", target: str = "debian/debian13") -> str:
    os, dist = target.split("/")
    return (
        'image: {name: test, version: "1.0"}\n'
        f"target: {{os: {os}, dist: {dist}, arch: x86_64, imageType: raw}}\n"
        f"disk:\n  artifacts: {artifacts}\n{system}"
    )


@pytest.mark.parametrize("target", SEALED_BY_DEFAULT)
def test_a_seal_of_the_os_default_is_told_at_the_artifacts_with_the_way_out(
    write: Write, data: Path, target: str
) -> None:
    path = write(only("[{type: tar}, {type: tar, compression: zstd}]", target=target))
    (finding,) = check_template(path, data)
    assert (finding.reference, str(finding.origin)) == ("not-in-a-tar", f"{path}:4:3")
    assert (finding.hint or "").startswith("systemConfig.immutability: {enabled: false}, or add")
    assert check_template(write(only("[{type: tar}]", OPEN, target)), data) == ()


@pytest.mark.parametrize("target", NOT_SEALED)
def test_a_tar_of_what_is_not_sealed_needs_no_word(write: Write, data: Path, target: str) -> None:
    spec = load_image_spec(write(only("[{type: tar}]", target=target)), data)
    assert [made.type for made in spec.disk.artifacts] == ["tar"]


@pytest.mark.parametrize("artifacts", ["[{type: tar}, {type: raw}]", "[{type: qcow2}, {type: tar}]", "[{bmap: true}]"])
def test_a_disk_beside_the_tar_is_sealed(write: Write, data: Path, artifacts: str) -> None:
    assert load_image_spec(write(only(artifacts)), data).immutability.enabled


@pytest.mark.parametrize("target", [*SEALED_BY_DEFAULT, *NOT_SEALED])
def test_a_seal_that_the_template_asks_for_is_refused_at_its_line(marked: Marked, target: str) -> None:
    finding = marked(only("[{type: tar}]", f"{LAYOUT}systemConfig:\n  immutability: {{enabled: ▸true}}\n", target))
    assert finding.reference == "not-in-a-tar"
    assert "write false" in (finding.hint or "")


@pytest.mark.parametrize(
    ("system", "key"),
    [
        ("immutability: {enabled: false}\n  secureBoot: {key: a.key, certificate: a.crt}", "secureBoot"),
        ("immutability: {secureBootDBKey: a, secureBootDBCrt: b, secureBootDBCer: c}", "immutability.secureBootDBKey"),
        ("immutability: {enabled: false, secureBootDBCer: c}", "immutability.secureBootDBCer"),
        ("immutability: {enabled: false}\n  bootloader: {provider: grub, chain: vendor}", "bootloader.chain"),
    ],
)
def test_keys_and_a_vendors_chain_are_refused(write: Write, data: Path, system: str, key: str) -> None:
    text = only("[{type: tar}]", f"systemConfig:\n  {system}\n")
    found = [finding for finding in check_template(write(text), data) if f"'systemConfig.{key}'" in finding.message]
    (finding,) = [finding for finding in found if finding.reference == "not-in-a-tar"]
    line = text[: text.index(key.split(".")[-1])].count("\n") + 1
    assert (finding.origin and finding.origin.line) == line
    assert (finding.hint or "").startswith("remove it, or add an artifact with a disk")
