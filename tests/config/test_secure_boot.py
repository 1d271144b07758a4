"""The keys of a template: which they are, and what is wrong with them, where it stands."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.load import check_template, load_image_spec
from os_image_composer.errors import Finding
from support.boot_keys import KeyFolder, locked_copy
from support.tools import host_tool

Marked = Callable[[str], Finding]
Write = Callable[..., Path]
HEAD = """\
image: {name: test, version: "1.0"}
target: {os: debian, dist: debian13, arch: x86_64, imageType: raw}
systemConfig:
"""


@pytest.fixture
def folder(keys: KeyFolder, tmp_path: Path) -> Path:
    """Keys beside the template, where a test may change them."""
    for path in keys.path.iterdir():
        shutil.copy2(path, tmp_path / path.name)
    return tmp_path


def section(fields: str) -> str:
    return HEAD + "  secureBoot: {" + fields + "}\n"


def test_paths_begin_at_the_templates_folder(folder: Path, write: Write, data: Path) -> None:
    text = section("key: db.key, certificate: db.pem, pk: {key: PK.key, certificate: PK.der}, enroll: if-safe")
    said = load_image_spec(write(text), data).secure_boot
    assert said is not None
    assert (said.db.key, said.db.certificate) == (folder / "db.key", folder / "db.pem")
    assert said.pk is not None
    assert said.pk.certificate == folder / "PK.der"
    assert (said.kek, said.trusted, said.enroll) == (None, (), "if-safe")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [('"2026-11-28"', 1795824000), ("2026-11-28", 1795824000), ('"2026-11-28T18:00:01Z"', 1795824000 + 18 * 3600 + 1)],
)
@pytest.mark.usefixtures("folder")
def test_date_of_what_is_enrolled_is_a_day_or_a_second_by_utc(
    write: Write, data: Path, text: str, seconds: int
) -> None:
    said = load_image_spec(write(section(f"key: db.key, certificate: db.pem, dated: {text}")), data).secure_boot
    assert said is not None
    assert said.dated == seconds


def test_template_without_keys_asks_for_nothing(write: Write, data: Path) -> None:
    assert load_image_spec(write(HEAD + "  hostname: a\n"), data).secure_boot is None


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("fields", "reference"),
    [
        ("key: ▸absent.key, certificate: db.pem", "key-unreadable"),
        ("key: db.key, certificate: ▸absent.pem", "certificate-unreadable"),
        ("key: ▸KEK.key, certificate: db.pem", "key-differs"),
        ("key: ▸db.pem, certificate: db.pem", "key-not-private"),
        ("key: db.key, certificate: ▸db.key", "certificate-unreadable"),
        ("key: db.key, certificate: db.pem, kek: {key: ▸db.key, certificate: KEK.pem}", "key-differs"),
        ("key: db.key, certificate: db.pem, trusted: [PK.pem, ▸PK.key]", "certificate-unreadable"),
        ("key: db.key, certificate: db.pem, passphraseFile: ▸absent", "key-unreadable"),
        ("key: db.key, certificate: db.pem, enroll: ▸auto", "wrong-value"),
        ('key: db.key, certificate: db.pem, dated: ▸"today"', "wrong-value"),
        ('key: db.key, certificate: db.pem, dated: ▸"2026-02-30"', "wrong-value"),
        ('key: db.key, certificate: db.pem, dated: ▸"2026-11-28T18:00:00+01:00"', "wrong-value"),
        ('key: db.key, certificate: db.pem, dated: ▸"1999-12-31"', "wrong-value"),
        ("key: db.key, certificate: db.pem, ▸password: x", "unknown-key"),
    ],
)
def test_what_is_wrong_is_found_where_it_stands(marked: Marked, fields: str, reference: str) -> None:
    assert marked(section(fields)).reference == reference


def test_key_without_its_certificate_is_not_enough(folder: Path, marked: Marked) -> None:
    assert marked(HEAD + "  ▸secureBoot: {key: db.key}\n").reference == "missing-key"


def test_key_that_the_group_can_read_is_refused(folder: Path, marked: Marked) -> None:
    (folder / "db.key").chmod(0o640)
    finding = marked(section("key: ▸db.key, certificate: db.pem"))
    assert finding.reference == "key-not-private"
    assert finding.hint is not None
    assert "chmod 600" in finding.hint


def test_key_with_a_passphrase_is_not_opened_to_check_a_template(
    keys: KeyFolder, folder: Path, write: Write, data: Path
) -> None:
    locked_copy(keys.signer(), folder / "locked.key")
    said = load_image_spec(write(section("key: locked.key, certificate: db.pem")), data).secure_boot
    assert said is not None
    assert said.db.passphrase is None


def test_key_that_firmware_does_not_verify_is_refused(folder: Path, marked: Marked) -> None:
    words = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=ec")
    done = host_tool("openssl", *words, "-keyout", str(folder / "ec.key"), "-out", str(folder / "ec.pem"))
    assert done.returncode == 0
    (folder / "ec.key").chmod(0o600)
    assert marked(section("key: ▸ec.key, certificate: ec.pem")).reference == "key-not-rsa"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("  immutability: {enabled: false, ▸secureBootDBKey: db.key}\n", "missing-key"),
        ("  immutability: {enabled: false, ▸secureBootDBCrt: db.pem, secureBootDBCer: db.der}\n", "missing-key"),
        (
            "  immutability: {enabled: false, ▸secureBootDBKey: db.key, secureBootDBCrt: db.pem, "
            "secureBootDBCer: db.der}\n",
            "wrong-value",
        ),
        (
            "  secureBoot: {key: db.key, certificate: db.pem}\n"
            "  immutability: {enabled: false, ▸secureBootDBKey: db.key, secureBootDBCrt: db.pem, "
            "secureBootDBCer: db.der}\n",
            "duplicate-value",
        ),
    ],
)
def test_words_of_the_predecessor_are_all_there_and_once(marked: Marked, text: str, reference: str) -> None:
    assert marked(HEAD + text).reference == reference


KEYS = "secureBoot: {key: db.key, certificate: db.pem"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "text",
    [
        # A BIOS verifies nothing, and what a vendor signed is not signed again.
        f"  bootloader: {{bootType: legacy, provider: grub}}\n  ▸{KEYS}}}\n",
        f"  bootloader: {{provider: grub, chain: vendor}}\n  ▸{KEYS}}}\n",
        f"  bootloader: {{provider: grub}}\n  {KEYS}, enroll: ▸force}}\n",
    ],
)
def test_keys_that_a_boot_chain_has_no_use_for_are_refused_by_name(write: Write, data: Path, text: str) -> None:
    before, _, _ = (HEAD + text).partition("▸")
    place = (before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    path = write((HEAD + text).replace("▸", ""))
    found = [(f.reference, (f.origin.line, f.origin.column)) for f in check_template(path, data) if f.origin]
    assert ("boot-combination", place) in found
