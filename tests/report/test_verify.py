"""`verify` on a small image that is signed in every way: each attack is found, and named."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from os_image_composer.build.clock import SystemClock
from os_image_composer.cli.main import run
from os_image_composer.errors import TrustError
from os_image_composer.ospackage.openpgp import keyring_of
from os_image_composer.report.inspect import inspect_image
from os_image_composer.report.text import image_lines
from os_image_composer.signing.authenticode import signed_program
from os_image_composer.signing.detached import CmsFiles, FileSigner, open_openpgp
from os_image_composer.signing.enrolment import PlatformKeys, enrolment
from support.boot_keys import KeyFolder
from support.deb_repository import SigningKey
from support.efi_programs import efi_program
from support.small_images import MIB, empty_file, ext_image, fat_image, made, partitioned

ROOT_TYPE = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
TREE_TYPE = "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5"
LOADER, UKI = "EFI/BOOT/BOOTX64.EFI", "EFI/Linux/sample.efi"
KEYS = "sample-1.0.secure-boot"


@dataclass(frozen=True)
class Sealed:
    """A root filesystem and its hash tree, and the root hash."""

    data: Path
    tree: Path
    root_hash: str


@dataclass
class Told:
    """What `verify` said: its exit code, and state and detail of each check by what was checked."""

    code: int
    checks: list[tuple[str, str, str]] = field(default_factory=list)

    def failed(self) -> list[str]:
        return [what for what, state, _ in self.checks if state == "failed"]

    def detail(self, what: str) -> str:
        return " | ".join(text for name, state, text in self.checks if name == what and state == "failed")


@pytest.fixture(scope="session")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    folder = tmp_path_factory.mktemp("sealed")
    (folder / "files" / "etc").mkdir(parents=True)
    (folder / "files" / "etc" / "os-release").write_text("ID=sample\n")
    data = ext_image(folder / "data", folder / "files", "ext4", size=4 * MIB)
    tree, root = folder / "tree", folder / "root"
    made("veritysetup", "format", f"--salt={'ab' * 32}", f"--root-hash-file={root}", str(data), str(tree))
    return Sealed(data, tree, root.read_text())


def uki(root_hash: str, options: str = "") -> bytes:
    cmdline = f"roothash={root_hash} root=/dev/mapper/root ro{options}\0".encode()
    return efi_program({".osrel": b"ID=sample\n", ".cmdline": cmdline, ".uname": b"6.1", ".linux": b"kernel" * 200})


def disk_of(folder: Path, sealed: Sealed, programs: dict[str, bytes]) -> Path:
    """An image with an ESP that holds `programs`, and the sealed root."""
    files = folder / "esp-files"
    for name, content in {**programs, "loader/loader.conf": b"timeout 0\n"}.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_bytes(content)
    esp = fat_image(folder / "esp", 16, files)
    digits = sealed.root_hash
    data_uuid, tree_uuid = (f"{d[:8]}-{d[8:12]}-{d[12:16]}-{d[16:20]}-{d[20:]}" for d in (digits[:32], digits[32:]))
    script = (
        "label: gpt\nstart=1MiB, size=24MiB, type=U, name=esp\n"
        f"start=25MiB, size=4MiB, type={ROOT_TYPE}, uuid={data_uuid}\n"
        f"start=29MiB, size=1MiB, type={TREE_TYPE}, uuid={tree_uuid}\n"
    )
    disk = partitioned(folder / "sample-1.0.raw", script, size=32 * MIB)
    with disk.open("r+b") as stream:
        for start, part in ((1, esp), (25, sealed.data), (29, sealed.tree)):
            stream.seek(start * MIB)
            stream.write(part.read_bytes())
    return disk


def leave_keys(image: Path, keys: PlatformKeys) -> dict[str, str]:
    """What machines take the keys from, as a build leaves it; the SHA-256 of each file by its name beside the image."""
    folder = image.with_name(KEYS)
    folder.mkdir(exist_ok=True)
    files = enrolment(keys, 1_700_000_000)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {f"{folder.name}/{name}": hashlib.sha256(content).hexdigest() for name, content in files.items()}


def sign_around(image: Path, signers: list[FileSigner], keys: PlatformKeys) -> None:
    """A bill of materials, keys to enrol, the manifest, and a signature of everything but the keys."""
    enrolled = leave_keys(image, keys)
    bill = image.with_name("sample-1.0.spdx.json")
    bill.write_text('{"spdxVersion": "SPDX-2.3"}\n')
    record = image.with_name("sample-1.0.manifest.json")
    digest = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (image, bill)}
    value = {
        "artifacts": [
            {"file": image.name, "sha256": digest[image]},
            {"file": "sample-1.0.vmdk", "sha256": "0" * 64},  # which was left where it was built
        ],
        "blockMaps": [],
        "sboms": [{"file": bill.name, "sha256": digest[bill]}],
        "secureBoot": {"files": [{"file": name, "sha256": own} for name, own in enrolled.items()]},
    }
    record.write_text(json.dumps(value))
    sums = image.with_name("sample-1.0.sha256sums")
    listed = {image.name: digest[image], bill.name: digest[bill], "sample-1.0.vmdk": "0" * 64, **enrolled}
    sums.write_text("".join(f"{own}  {name}\n" for name, own in listed.items()))
    for path in (image, bill, record, sums):
        for signer in signers:
            suffix = {"openpgp": ".asc", "x509": ".p7s"}[signer.form]
            own = hashlib.sha256(path.read_bytes()).hexdigest()
            path.with_name(path.name + suffix).write_bytes(signer.sign(path, own))


@pytest.fixture(scope="session")
def signers(keys: KeyFolder) -> list[FileSigner]:
    return [open_openpgp(keys.file("image.pgp")), CmsFiles(keys.signer("image"))]


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> KeyFolder:
    """Keys of somebody else."""
    return KeyFolder.made(tmp_path_factory.mktemp("others"))


@pytest.fixture(scope="session")
def good(keys: KeyFolder, sealed: Sealed, signers: list[FileSigner], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an image on which nothing is wrong."""
    folder = tmp_path_factory.mktemp("good")
    sign = keys.signer()
    programs = {
        LOADER: signed_program(efi_program({".text": b"loader" * 300}), sign, "loader"),
        UKI: signed_program(uki(sealed.root_hash), sign, "uki"),
    }
    image = disk_of(folder, sealed, programs)
    shutil.rmtree(folder / "esp-files")
    (folder / "esp").unlink()
    sign_around(image, signers, keys.platform())
    return folder


@pytest.fixture
def copy(good: Path, tmp_path: Path) -> Path:
    """The same for a test to change: the image's path."""
    shutil.copytree(good, tmp_path / "copy")
    return tmp_path / "copy" / "sample-1.0.raw"


@pytest.fixture
def verify(keys: KeyFolder, capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    def verifier(image: Path, openpgp: str = "image.asc", x509: str = "image.pem", db: str = "db.pem") -> Told:
        words = ["verify", "--json", str(image)]
        for flag, name in (("--openpgp", openpgp), ("--x509", x509), ("--db", db)):
            words += [flag, str(keys.file(name))] if name else []
        code = run(words)
        said = json.loads(capsys.readouterr().out)
        assert said["passed"] == (code == 0)
        return Told(code, [(c["what"], c["state"], c["detail"]) for c in said["checks"]])

    return verifier


def poke(path: Path, at: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte[0] ^ 1]))


def replaced(image: Path, keys: KeyFolder, folder: Path, name: str, program: bytes) -> None:
    """Another program in place of one on the EFI system partition, by mtools."""
    (folder / "program").write_bytes(program)
    where = ["-i", f"{image}@@{MIB}"]
    made("mcopy", *where, "-o", str(folder / "program"), f"::{name}")


def test_nothing_is_wrong_with_what_was_signed(good: Path, verify: Callable[..., Told]) -> None:
    told = verify(good / "sample-1.0.raw")
    assert (told.code, told.failed()) == (0, [])
    found = [what for what, state, _ in told.checks if state == "ok"]
    before = ["sample-1.0.manifest.json", "sample-1.0.raw", "sample-1.0.spdx.json"]
    files = [name for name in before for _ in range(2)] + [KEYS] + ["sample-1.0.sha256sums"] * 2
    assert found == [*files, f"/{LOADER}", f"/{UKI}", f"sealed root of /{UKI}"]
    assert ("EFI system partition", "note", "in no signature: /loader/loader.conf") in told.checks


def test_changed_bill_of_materials_is_found(copy: Path, verify: Callable[..., Told]) -> None:
    bill = copy.with_name("sample-1.0.spdx.json")
    bill.write_text('{"spdxVersion": "SPDX-2.4"}\n')
    told = verify(copy)
    assert told.code == 1
    assert set(told.failed()) == {bill.name}
    assert "SHA-256 differs" in told.detail(bill.name)


@pytest.mark.parametrize(
    ("text", "why"),
    [("0" * 64 + "  sample-1.0.raw\n", "does not say what the manifest says"), ("no list\n", "no list of checksums")],
)
def test_changed_list_of_checksums_is_found(copy: Path, verify: Callable[..., Told], text: str, why: str) -> None:
    sums = copy.with_name("sample-1.0.sha256sums")
    sums.write_text(text)
    told = verify(copy)
    assert (told.code, set(told.failed())) == (1, {sums.name})
    assert why in told.detail(sums.name)


def test_list_of_checksums_need_not_be_there(copy: Path, verify: Callable[..., Told]) -> None:
    copy.with_name("sample-1.0.sha256sums").unlink()
    assert verify(copy).code == 0


@pytest.mark.parametrize("suffix", ["der", "esl", "auth"])
@pytest.mark.parametrize("variable", ["PK", "KEK", "db"])
def test_key_to_enrol_of_somebody_else_is_found(
    copy: Path, others: KeyFolder, tmp_path: Path, verify: Callable[..., Told], variable: str, suffix: str
) -> None:
    name = f"{KEYS}/{variable}.{suffix}"
    leave_keys(tmp_path / copy.name, others.platform())
    shutil.copyfile(tmp_path / name, copy.parent / name)
    told = verify(copy)
    assert (told.code, told.failed()) == (1, [name])
    assert "SHA-256 differs" in told.detail(name)
    assert KEYS not in [what for what, _, _ in told.checks]


def test_keys_to_enrol_are_vouched_for_without_the_list_of_checksums(
    copy: Path, others: KeyFolder, verify: Callable[..., Told]
) -> None:
    copy.with_name("sample-1.0.sha256sums").unlink()
    assert set(verify(copy).failed()) == set()
    names = leave_keys(copy, others.platform())
    assert set(verify(copy).failed()) == set(names)


def test_list_of_checksums_that_names_other_keys_to_enrol_is_found(
    copy: Path, others: KeyFolder, signers: list[FileSigner], tmp_path: Path, verify: Callable[..., Told]
) -> None:
    """One that was signed with the right key: another build's of the same image."""
    other = tmp_path / "other" / copy.name
    shutil.copytree(copy.parent, other.parent)
    sign_around(other, signers, others.platform())
    for suffix in ("", ".asc", ".p7s"):
        shutil.copyfile(
            other.with_name(f"sample-1.0.sha256sums{suffix}"), copy.with_name(f"sample-1.0.sha256sums{suffix}")
        )
    shutil.rmtree(copy.with_name(KEYS))
    shutil.copytree(other.with_name(KEYS), copy.with_name(KEYS))
    told = verify(copy)
    assert verify(other).code == 0
    assert "does not say what the manifest says" in told.detail("sample-1.0.sha256sums")
    assert f"{KEYS}/PK.der" in told.failed()


def test_missing_key_to_enrol_is_found(copy: Path, verify: Callable[..., Told]) -> None:
    (copy.parent / KEYS / "KEK.auth").unlink()
    told = verify(copy)
    assert (told.code, told.failed()) == (1, [f"{KEYS}/KEK.auth"])
    assert told.detail(f"{KEYS}/KEK.auth") == "cannot be read: No such file or directory"
    shutil.rmtree(copy.parent / KEYS)
    assert len(verify(copy).failed()) == 9


def test_file_beside_the_keys_to_enrol_is_found(copy: Path, verify: Callable[..., Told]) -> None:
    (copy.parent / KEYS / "dbx.auth").write_bytes(b"\0")
    (copy.parent / KEYS / "more").mkdir()
    told = verify(copy)
    assert (told.code, told.failed()) == (1, [f"{KEYS}/dbx.auth", f"{KEYS}/more"])
    assert "the manifest does not name it" in told.detail(f"{KEYS}/dbx.auth")


def test_keys_beside_an_image_that_is_not_signed_for_machines_are_found(
    copy: Path, signers: list[FileSigner], verify: Callable[..., Told]
) -> None:
    """As those of an image whose manifest does not name them yet: nothing vouches for them."""
    record = copy.with_name("sample-1.0.manifest.json")
    value = json.loads(record.read_text())
    del value["secureBoot"]
    record.write_text(json.dumps(value))
    failed = verify(copy).failed()
    assert {f"{KEYS}/{name}.der" for name in ("PK", "KEK", "db")} < set(failed)
    copy.with_name("sample-1.0.sha256sums").unlink()
    shutil.rmtree(copy.parent / KEYS)
    assert set(verify(copy).failed()) == {record.name}


def test_file_in_place_of_the_folder_with_the_keys_is_found(copy: Path, verify: Callable[..., Told]) -> None:
    shutil.rmtree(copy.parent / KEYS)
    (copy.parent / KEYS).write_text("")
    assert f"{KEYS}/PK.auth" in verify(copy).failed()
    assert verify(copy).detail(KEYS) == "cannot be read: Not a directory"


def test_changed_manifest_is_found(copy: Path, verify: Callable[..., Told]) -> None:
    record = copy.with_name("sample-1.0.manifest.json")
    record.write_text(record.read_text() + " ")
    assert set(verify(copy).failed()) == {record.name}


def test_manifest_that_was_changed_along_with_what_it_names_is_found(copy: Path, verify: Callable[..., Told]) -> None:
    bill, record = copy.with_name("sample-1.0.spdx.json"), copy.with_name("sample-1.0.manifest.json")
    before = hashlib.sha256(bill.read_bytes()).hexdigest()
    bill.write_text("{}")
    record.write_text(record.read_text().replace(before, hashlib.sha256(b"{}").hexdigest()))
    assert set(verify(copy).failed()) == {record.name, bill.name, "sample-1.0.sha256sums"}


def test_changed_byte_of_the_root_is_found_by_file_and_by_block(copy: Path, verify: Callable[..., Told]) -> None:
    poke(copy, 25 * MIB + 300 * 4096 + 17)
    told = verify(copy)
    assert set(told.failed()) == {copy.name, f"sealed root of /{UKI}"}
    assert "block 300 of the data (partition 2)" in told.detail(f"sealed root of /{UKI}")


def test_changed_byte_of_the_hash_tree_is_found(copy: Path, verify: Callable[..., Told]) -> None:
    poke(copy, 29 * MIB + 2 * 4096)
    assert "block 2 of the hash tree (partition 3)" in verify(copy).detail(f"sealed root of /{UKI}")


def test_changed_byte_of_a_program_is_found(copy: Path, verify: Callable[..., Told]) -> None:
    content = copy.read_bytes()
    poke(copy, content.index(b"kernel" * 200) + 7)
    told = verify(copy)
    assert set(told.failed()) == {copy.name, f"/{UKI}"}
    assert "changed after it was signed" in told.detail(f"/{UKI}")
    poke(copy, content.index(b"loader" * 300) + 7)
    assert f"/{LOADER}" in verify(copy).failed()


def test_other_command_line_is_found(copy: Path, verify: Callable[..., Told]) -> None:
    at = copy.read_bytes().index(b"root=/dev/mapper/root ro")
    with copy.open("r+b") as stream:
        stream.seek(at)
        stream.write(b"root=/dev/mapper/root rw")
    assert f"/{UKI}" in verify(copy).failed()


def test_unsigned_program_is_found(
    keys: KeyFolder, sealed: Sealed, copy: Path, tmp_path: Path, verify: Callable[..., Told]
) -> None:
    replaced(copy, keys, tmp_path, UKI, uki(sealed.root_hash, " init=/bin/sh"))
    told = verify(copy)
    assert told.detail(f"/{UKI}") == "it is not signed"
    assert told.code == 1


def test_program_that_another_key_signed_is_found(
    keys: KeyFolder, sealed: Sealed, copy: Path, tmp_path: Path, verify: Callable[..., Told]
) -> None:
    replaced(copy, keys, tmp_path, UKI, signed_program(uki(sealed.root_hash), keys.signer("KEK"), "uki"))
    assert "none of the certificates given" in verify(copy).detail(f"/{UKI}")


def test_root_hash_of_another_image_is_found(
    keys: KeyFolder, copy: Path, tmp_path: Path, verify: Callable[..., Told]
) -> None:
    replaced(copy, keys, tmp_path, UKI, signed_program(uki("ab" * 32), keys.signer(), "uki"))
    told = verify(copy)
    assert f"/{UKI}" not in told.failed()
    assert "no partition of this disk holds its data" in told.detail(f"sealed root of /{UKI}")


def test_program_beside_the_others_must_be_signed_too(
    keys: KeyFolder, copy: Path, tmp_path: Path, verify: Callable[..., Told]
) -> None:
    replaced(copy, keys, tmp_path, "EFI/BOOT/extra.efi", efi_program({".text": b"x"}))
    assert "/EFI/BOOT/extra.efi" in verify(copy).failed()


def test_missing_signature_is_found(copy: Path, verify: Callable[..., Told]) -> None:
    copy.with_name("sample-1.0.raw.asc").unlink()
    told = verify(copy)
    assert told.failed() == [copy.name]
    assert "there is no sample-1.0.raw.asc" in told.detail(copy.name)


def test_signature_of_another_file_is_found(copy: Path, verify: Callable[..., Told]) -> None:
    for suffix in (".asc", ".p7s"):
        shutil.copyfile(copy.with_name(f"sample-1.0.spdx.json{suffix}"), copy.with_name(f"{copy.name}{suffix}"))
    told = verify(copy)
    assert told.failed() == [copy.name, copy.name]
    assert "about other bytes" in told.detail(copy.name)


def test_keys_of_somebody_else_vouch_for_nothing(good: Path, verify: Callable[..., Told]) -> None:
    assert set(verify(good / "sample-1.0.raw", x509="db.pem", db="KEK.pem").failed()) == {
        *("sample-1.0.manifest.json", "sample-1.0.raw", "sample-1.0.spdx.json", "sample-1.0.sha256sums"),
        *(f"/{LOADER}", f"/{UKI}"),
    }


def test_openpgp_key_of_somebody_else_is_named_by_the_file_that_was_given(
    tmp_path: Path, good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = KeyFolder.made(tmp_path).file("image.asc")
    assert run(["verify", "--openpgp", str(given), str(good / "sample-1.0.raw")]) == 1
    said = capsys.readouterr().out
    (own,) = keyring_of([given], SystemClock().now()).fingerprints
    wanted = f"OpenPGP signature: sample-1.0.raw is not signed by a key of {given}: signed by SIGNER; {given} has {own}"
    assert re.search(re.escape(wanted).replace("SIGNER", "[0-9a-f]{40}") + "\n", said), said
    assert "pinned" not in said


@pytest.mark.parametrize("content", [None, b""])
def test_file_without_an_openpgp_key_is_refused_by_its_name(
    tmp_path: Path, good: Path, keys: KeyFolder, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    given = tmp_path / "given.asc"
    if content is not None:
        given.write_bytes(content)
    words = [word for file in (keys.file("image.asc"), given) for word in ("--openpgp", str(file))]
    assert run(["verify", *words, str(good / "sample-1.0.raw")]) == 1
    said = capsys.readouterr()
    assert f"error[key-not-found]: no OpenPGP certificate was found in {given}\n" in said.err
    assert ("there is no such file" in said.err) == (content is None)
    assert "pinned" not in said.err


def test_expired_openpgp_key_is_named_by_its_file(tmp_path: Path) -> None:
    key, given = SigningKey(validity_seconds=1), tmp_path / "given.asc"
    given.write_bytes(bytes(key.certificate))
    expiration = key.certificate.expiration
    assert expiration is not None
    with pytest.raises(TrustError) as caught:
        keyring_of([given], expiration.timestamp() + 1)
    assert caught.value.reference == "key-expired"
    assert caught.value.hint == f"ask whoever signs for a newer certificate than that in {given}"


def test_without_a_key_nothing_is_vouched_for(good: Path) -> None:
    assert run(["verify", str(good / "sample-1.0.raw")]) == 2


def test_image_without_its_manifest_is_not_verified(copy: Path, verify: Callable[..., Told]) -> None:
    copy.with_name("sample-1.0.manifest.json").unlink()
    assert "sample-1.0.manifest.json" in verify(copy).failed()


@pytest.mark.parametrize("name", ["../sample-1.0.spdx.json", "/etc/passwd", "", "..", "a\\u0000b", "a\\ud800"])
def test_manifest_that_names_a_file_elsewhere_is_refused(copy: Path, verify: Callable[..., Told], name: str) -> None:
    record = copy.with_name("sample-1.0.manifest.json")
    record.write_text(record.read_text().replace("sample-1.0.spdx.json", name))
    assert "names a file that is not beside it" in verify(copy).detail(record.name)


@pytest.mark.parametrize(
    "name",
    [
        *(f"{KEYS}/../PK.der", f"{KEYS}/..", f"{KEYS}/", f"{KEYS}//etc/passwd", f"../{KEYS}/PK.der", KEYS, "PK.der"),
        *(
            "other.secure-boot/PK.der",
            f"{KEYS}/more/PK.der",
            f"./{KEYS}/PK.der",
            f"{KEYS}/a\\u0000b",
            f"{KEYS}/\\udcff",
        ),
    ],
)
def test_manifest_that_names_a_key_to_enrol_elsewhere_is_refused(
    copy: Path, verify: Callable[..., Told], name: str
) -> None:
    record = copy.with_name("sample-1.0.manifest.json")
    record.write_text(record.read_text().replace(f"{KEYS}/PK.der", name))
    told = verify(copy)
    assert "names a file that is not beside it" in told.detail(record.name)
    assert f"{KEYS}/PK.auth" not in [what for what, _, _ in told.checks]


@pytest.mark.parametrize("name", [f"{KEYS}/../../PK.der", "/etc/passwd"])
def test_list_of_checksums_that_names_a_file_elsewhere_is_refused(
    copy: Path, verify: Callable[..., Told], name: str
) -> None:
    sums = copy.with_name("sample-1.0.sha256sums")
    sums.write_text(sums.read_text().replace(f"{KEYS}/PK.der", name))
    told = verify(copy)
    assert set(told.failed()) == {sums.name}
    assert "does not say what the manifest says" in told.detail(sums.name)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "[" * 100_000, '{"artifacts": 1}', '{"artifacts": [{"file": 1}], "sboms": 2}']
)
def test_what_is_no_manifest_is_a_failed_check(copy: Path, verify: Callable[..., Told], text: str) -> None:
    copy.with_name("sample-1.0.manifest.json").write_text(text)
    assert "sample-1.0.manifest.json" in verify(copy).failed()


def test_image_that_is_none_is_an_error(tmp_path: Path, keys: KeyFolder) -> None:
    empty_file(tmp_path / "a.raw", MIB)
    assert run(["verify", "--db", str(keys.file("db.pem")), str(tmp_path / "a.raw")]) == 1


def test_inspect_shows_who_signed_and_that_the_root_is_whole(good: Path, sealed: Sealed) -> None:
    text = "\n".join(image_lines(inspect_image(good / "sample-1.0.raw"), packages=False))
    assert text.count("signed by O=os-image-composer development key") == 2
    assert text.count("(is what was signed)") == 2
    assert f"sealed root: root hash {sealed.root_hash}, of /{UKI}" in text
    assert "all of it is what was sealed" in text


def test_inspect_shows_what_was_changed(copy: Path) -> None:
    poke(copy, copy.read_bytes().index(b"kernel" * 200) + 7)
    poke(copy, 25 * MIB + 300 * 4096)
    text = "\n".join(image_lines(inspect_image(copy), packages=False))
    assert "does not hold: the program was changed after it was signed" in text
    assert "changed: block 300 of the data (partition 2); 1 in all" in text


def test_memory_stays_bounded_however_long_the_image_is(keys: KeyFolder, tmp_path: Path) -> None:
    """Signing and verifying a file of 600 MB takes no more than a small part of that in memory of its own."""
    image = empty_file(tmp_path / "large.raw", 600 * MIB)
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from os_image_composer.signing.detached import open_openpgp\n"
        "from os_image_composer.ospackage.openpgp import keyring_of, verify_file\n"
        "image, secret, public = map(Path, sys.argv[1:])\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (200 << 20, 200 << 20))\n"
        "signature = open_openpgp(secret).sign(image, '')\n"
        "print(*verify_file(image, signature, 'image', keyring_of([public], 4e9)))\n"
    )
    files = (str(image), str(keys.file("image.pgp")), str(keys.file("image.asc")))
    done = subprocess.run([sys.executable, "-c", program, *files], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()[0]) == 40
