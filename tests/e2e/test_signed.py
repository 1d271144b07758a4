"""An image built with keys: what is signed, with which bytes, and where no key is to be found."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import re2
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from support.boot_keys import PASSPHRASE, KeyFolder, locked_copy
from support.signed_image import LOADER, UKI, SignedImage, build_signed, signed_template
from support.tools import host_tool
from support.workshop import CHECKOUT, TEMPLATE, Workshop

pytestmark = pytest.mark.build

_LONGEST_NEEDLE = 256


@pytest.fixture(scope="module")
def signed(built: Workshop, keys: KeyFolder, tmp_path_factory: pytest.TempPathFactory) -> SignedImage:
    words = (
        *("--sign-openpgp", str(keys.file("image.pgp")), "--sign-x509", str(keys.file("image.key"))),
        *("--sign-certificate", str(keys.file("image.pem"))),
    )
    return build_signed(built, tmp_path_factory.mktemp("signed"), keys, *words)


def verify(workshop: Workshop, image: Path, keys: KeyFolder) -> subprocess.CompletedProcess[str]:
    words = ("--openpgp", "image.asc"), ("--x509", "image.pem"), ("--db", "db.pem")
    flags = [word for flag, name in words for word in (flag, str(keys.file(name)))]
    return workshop.run("verify", "--json", *flags, str(image))


def test_boot_loader_and_kernel_carry_a_signature_that_sbverify_accepts(signed: SignedImage, tmp_path: Path) -> None:
    for name in (LOADER, UKI):
        (tmp_path / "program.efi").write_bytes(signed.program(name))
        done = host_tool("sbverify", "--cert", str(signed.keys.file("db.pem")), str(tmp_path / "program.efi"))
        assert done.returncode == 0, done.stderr


def test_keys_to_enrol_lie_beside_the_image(signed: SignedImage) -> None:
    names = {f"{name}.{suffix}" for name in ("PK", "KEK", "db") for suffix in ("esl", "auth", "der")}
    assert {path.name for path in signed.enrolment.iterdir()} == names
    for name in ("PK", "KEK", "db"):
        assert (signed.enrolment / f"{name}.der").read_bytes() == signed.keys.file(f"{name}.der").read_bytes()


def test_everything_that_was_signed_is_verified(built: Workshop, signed: SignedImage) -> None:
    done = verify(built, signed.image, signed.keys)
    checks = json.loads(done.stdout)["checks"]
    assert done.returncode == 0, done.stdout
    assert {c["what"] for c in checks if c["state"] == "ok"} == {
        *(
            f"debian13-minimal-1.0.{suffix}"
            for suffix in ("raw", "manifest.json", "spdx.json", "cdx.json", "secure-boot", "sha256sums")
        ),
        *(f"/{LOADER}", f"/{UKI}", f"sealed root of /{UKI}"),
    }


def test_sha256sum_and_verify_find_a_key_to_enrol_of_somebody_else(
    built: Workshop, signed: SignedImage, tmp_path: Path
) -> None:
    """All that lies beside the image is copied, the image itself stays where it is."""
    copy = tmp_path / signed.image.name
    for path in signed.image.parent.glob(f"{signed.image.stem}.*"):
        if path == signed.image:
            copy.symlink_to(path)
        elif path.is_dir():
            shutil.copytree(path, tmp_path / path.name)
        else:
            shutil.copyfile(path, tmp_path / path.name)
    words = ("sha256sum", "--check", "--strict", copy.with_suffix(".sha256sums").name)

    def check() -> tuple[int, set[str]]:
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        lines = (line.rpartition(": ") for line in done.stdout.splitlines())
        return done.returncode, {name for name, _, said in lines if said != "OK"}

    assert check() == (0, set())
    listed = {line.split("  ")[1] for line in copy.with_suffix(".sha256sums").read_text().splitlines()}
    assert {f"{signed.enrolment.name}/{path.name}" for path in signed.enrolment.iterdir()} < listed
    assert verify(built, copy, signed.keys).returncode == 0
    name = f"{signed.enrolment.name}/PK.der"
    shutil.copyfile(KeyFolder.made(tmp_path / "others").file("PK.der"), tmp_path / name)
    assert check() == (1, {name})
    done = verify(built, copy, signed.keys)
    assert done.returncode == 1
    assert [c["what"] for c in json.loads(done.stdout)["checks"] if c["state"] == "failed"] == [name]


@pytest.mark.parametrize(("name", "section"), [(UKI, ".initrd"), (UKI, ".cmdline"), (LOADER, ".text")])
def test_changed_boot_file_is_named(
    built: Workshop, signed: SignedImage, tmp_path: Path, name: str, section: str
) -> None:
    image = signed.with_program(tmp_path, name, signed.changed(name, section))
    done = built.run("verify", "--db", str(signed.keys.file("db.pem")), str(image))
    assert done.returncode == 1
    assert f"failed  /{name}: signed by " in done.stdout
    assert "changed after it was signed" in done.stdout


def test_manifest_says_who_signed_and_warns(signed: SignedImage) -> None:
    value = json.loads(signed.image.with_suffix(".manifest.json").read_text())
    jsonschema.validate(value, json.loads((CHECKOUT / "docs" / "manifest.schema.json").read_text()))
    certificate = signed.keys.file("db.der").read_bytes()
    assert value["secureBoot"]["db"]["sha256"] == hashlib.sha256(certificate).hexdigest()
    assert value["secureBoot"]["db"]["development"] is True
    assert {file["file"]: file["sha256"] for file in value["secureBoot"]["files"]} == {
        f"{signed.enrolment.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in signed.enrolment.iterdir()
    }
    assert [one["form"] for one in value["signatures"]] == ["openpgp", "x509"]
    assert len([line for line in value["warnings"] if "development key" in line]) == 5


def test_another_key_runs_what_signs_and_the_disk_alone(built: Workshop, signed: SignedImage, tmp_path: Path) -> None:
    others = KeyFolder.made(tmp_path)
    said = built.run("plan", "--json", str(signed_template(tmp_path, others)))
    steps = {step["name"]: step["verdict"] for step in json.loads(said.stdout)["steps"]}
    assert {name for name, verdict in steps.items() if verdict != "reused"} == {"enrolment", "sign-boot", "disk"}


def test_build_without_signing_leaves_no_signature_of_an_earlier_one(
    built: Workshop, keys: KeyFolder, tmp_path: Path
) -> None:
    first = build_signed(built, tmp_path, keys, "--sign-openpgp", str(keys.file("image.pgp")))
    assert first.image.with_name(f"{first.image.name}.asc").exists()
    second = build_signed(built, tmp_path, keys)
    assert [path.name for path in second.image.parent.glob("*.asc")] == []


@pytest.mark.matrix
def test_build_without_keys_leaves_no_keys_of_an_earlier_one(built: Workshop, keys: KeyFolder, tmp_path: Path) -> None:
    """A file of somebody else in their folder stays."""
    first = build_signed(built, tmp_path, keys)
    assert (first.enrolment / "PK.auth").exists()
    (first.enrolment / "notes.txt").write_text("mine")
    done = built.run("build", "--output", str(first.image.parent), str(TEMPLATE))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in first.enrolment.iterdir()] == ["notes.txt"]
    (first.enrolment / "notes.txt").unlink()
    done = built.run("build", "--output", str(first.image.parent), str(TEMPLATE))
    assert done.returncode == 0, done.stderr
    assert not first.enrolment.exists()


# -- no key anywhere ---------------------------------------------------------------------------------------------


class Watch:
    """What processes of this user show to others while a build runs: arguments, and what they were started with."""

    def __init__(self, needles: list[bytes], besides: int) -> None:
        self.needles = needles
        self.besides = besides
        self.seen = 0
        self.found: list[str] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        given = Path(f"/proc/{self.besides}/cmdline").read_bytes()
        while not self._end.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    arguments = (process / "cmdline").read_bytes()
                    self._compare(process / "cmdline", arguments)
                    # The variable is in the environment of whom it was given to, and of nobody else. A child is its
                    # parent until it has become the program that it was made for (vfork(2)).
                    if arguments != given and int(process.name) != os.getpid():
                        self._compare(process / "environ", (process / "environ").read_bytes())
                except OSError:
                    continue
            time.sleep(0.01)

    def _compare(self, file: Path, text: bytes) -> None:
        self.seen += 1
        self.found += [str(file) for needle in self.needles if needle in text]


def needles_of(keys: KeyFolder) -> list[bytes]:
    """Pieces of each private key in the forms in which it could be somewhere, and the passphrase."""
    found = [PASSPHRASE]
    for name in ("PK", "KEK", "db", "image"):
        key = keys.signer(name).key
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        numbers = key.private_numbers()
        prime = numbers.p.to_bytes(128)  # type: ignore[union-attr]
        found += [prime[:48], prime[:48].hex().encode(), base64.b64encode(der)[400:464]]
        found += keys.file(f"{name}.key").read_bytes().splitlines()[10:14]
    found += keys.file("image.pgp").read_bytes().splitlines()[10:14]
    return [needle for needle in found if len(needle) > 20]


def written_since(start_ns: int, *folders: Path) -> Iterator[Path]:
    """Files below `folders` whose status changed after the start: no program can set that time."""
    for folder in folders:
        for where, _, names in os.walk(folder):
            yield from (p for p in (Path(where, n) for n in names) if p.lstat().st_ctime_ns >= start_ns)


def any_of(needles: list[bytes]) -> re2._Regexp:
    """An automaton: it reads a gigabyte in the seconds that thirty searches would take minutes for."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(b"|".join(b"".join(b"\\x%02x" % byte for byte in needle) for needle in needles), options)


def holds(path: Path, wanted: re2._Regexp) -> bool:
    """Whether it is in what is not a hole of a file."""
    size, offset = path.stat().st_size, 0
    with path.open("rb") as file, contextlib.suppress(OSError):  # where there is no data any more
        while offset < size:
            start = os.lseek(file.fileno(), offset, os.SEEK_DATA)
            block = os.pread(file.fileno(), 1 << 24, start)
            if wanted.search(block):
                return True
            offset = start + len(block) - (_LONGEST_NEEDLE if start + len(block) < size else 0)
    return False


def test_no_key_and_no_passphrase_in_arguments_logs_store_ids_or_outputs(
    built: Workshop, keys: KeyFolder, tmp_path: Path
) -> None:
    folder = tmp_path / "build"
    folder.mkdir()
    locked = locked_copy(keys.signer(), tmp_path / "locked.key")
    template = signed_template(folder, keys)
    template.write_text(template.read_text().replace(f"{keys.path}/db.key", str(locked)))
    log = folder / "log"
    argv = built.argv(
        *("--log-level", "debug", "--log-file", str(log), "build", "--output", str(folder / "out")),
        *("--sign-openpgp", str(keys.file("image.pgp")), "--sign-x509", str(keys.file("image.key"))),
        *("--sign-certificate", str(keys.file("image.pem")), str(template)),
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(CHECKOUT / "src"),
        "OS_IMAGE_COMPOSER_KEY_PASSPHRASE": PASSPHRASE.decode(),
    }
    needles = needles_of(keys)
    assert len(needles) > 30
    started = template.stat().st_ctime_ns
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(argv, env=environment, cwd=CHECKOUT, stdout=said, stderr=said)
        watch = Watch(needles, process.pid)
        try:
            assert process.wait(600) == 0, (folder / "said").read_text()
        finally:
            watch.stop()
    assert watch.seen > 100
    assert watch.found == []
    (folder / "planted").write_bytes(b"\0" * 5000 + needles[3])
    wanted, looked, found = any_of(needles), 0, []
    assert max(map(len, needles)) <= _LONGEST_NEEDLE
    for path in written_since(started, folder, built.cache):
        # What cannot be read is in layers, and belongs to an id that no step had a key for.
        if path.is_file() and os.access(path, os.R_OK):
            looked += 1
            found += [path] if holds(path, wanted) else []
    assert found == [folder / "planted"]
    assert looked > 30
    told = built.run("plan", "--json", str(template)).stdout
    assert hashlib.sha256(keys.file("db.der").read_bytes()).hexdigest() in told
    assert not [needle for needle in needles if needle.decode("latin-1") in told]


def test_passphrase_that_is_wrong_or_missing_stops_the_build_before_anything_runs(
    built: Workshop, keys: KeyFolder, tmp_path: Path
) -> None:
    locked = locked_copy(keys.signer(), tmp_path / "locked.key")
    template = signed_template(tmp_path, keys)
    template.write_text(template.read_text().replace(f"{keys.path}/db.key", str(locked)))
    answers: tuple[dict[str, str], ...] = ({}, {"OS_IMAGE_COMPOSER_KEY_PASSPHRASE": "wrong"})
    for given in answers:
        done = built.run("build", "--output", str(tmp_path / "out"), str(template), checkout=CHECKOUT, **given)
        assert done.returncode == 1
        assert "error[key-locked]" in done.stderr
        assert f"{template}:" in done.stderr
        assert "step " not in done.stderr
    passphrase = tmp_path / "passphrase"
    passphrase.write_bytes(PASSPHRASE + b"\n")
    passphrase.chmod(0o600)
    template.write_text(template.read_text().replace("secureBoot: {", f"secureBoot: {{passphraseFile: {passphrase}, "))
    done = built.run("build", "--output", str(tmp_path / "out"), str(template))
    assert done.returncode == 0, done.stderr


@pytest.mark.matrix
@pytest.mark.timeout(1800)
def test_signed_image_built_twice_from_nothing_is_the_same(built: Workshop, keys: KeyFolder, tmp_path: Path) -> None:
    image = build_signed(built, tmp_path, keys, "--verify", "--sign-openpgp", str(keys.file("image.pgp")))
    record = json.loads(image.image.with_suffix(".manifest.json").read_text())
    assert record["build"]["verified"]["equal"] is True
    # The manifest was written once more after that, and is signed as it is now.
    done = built.run("verify", "--openpgp", str(keys.file("image.asc")), str(image.image))
    assert done.returncode == 0, done.stdout
