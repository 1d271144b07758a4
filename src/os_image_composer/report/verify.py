"""Is this image what somebody signed? Every link from the files beside it down to the last block of a sealed root."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cryptography import x509

from os_image_composer.errors import ImageError
from os_image_composer.formats.filesystem import NodeKind, walk
from os_image_composer.formats.pe import parse_pe
from os_image_composer.formats.volumes import open_filesystem
from os_image_composer.formats.window import ALLOWANCE, FileSource, FormatError, Window
from os_image_composer.report.file_signatures import (
    MANIFEST,
    Manifest,
    Trusted,
    digest_of,
    read_checksums,
    read_manifest,
    signature_faults,
)
from os_image_composer.report.inspect import disk_table, inspect_image, open_image, partition_type
from os_image_composer.report.program_signatures import program_signatures, trusted_signer
from os_image_composer.signing.detached import OPENPGP

_LARGEST = 1 << 30  # bytes of a program
_SUMS = ".sha256sums"
_DIFFERS = "it is not the file that the manifest names: its SHA-256 differs"
_FORMS = {OPENPGP: "OpenPGP"}


class State(Enum):
    OK = "ok"
    FAILED = "failed"
    NOTE = "note"  # nothing was asked, or nothing protects it: to be known, and no fault


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what, how it stands, and why or by whom."""

    what: str
    state: State
    detail: str


def verify_image(image: Path, trusted: Trusted, db: Sequence[x509.Certificate]) -> tuple[Check, ...]:
    """Everything that the keys given can tell, and whether sealed roots are whole. Raises ImageError where the file
    cannot be read."""
    with open_image(image):
        pass
    return (*_files(image, trusted), *_inside(image, db))


def passed(checks: Sequence[Check]) -> bool:
    return all(check.state is not State.FAILED for check in checks)


def _files(image: Path, trusted: Trusted) -> Iterator[Check]:
    """Manifest, image and bills of materials: signatures, and what the manifest says of these and of keys to enrol."""
    if trusted.keyring is None and not trusted.certificates:
        yield Check("files", State.NOTE, "no key was given for image, bills of materials, keys to enrol and manifest")
        return
    record = _manifest_of(image)
    try:
        manifest = read_manifest(record)
        yield from _file(record, digest_of(record), trusted)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else None
        yield Check(record.name, State.FAILED, f"cannot be read: {said or error}")
        yield from _file(image, digest_of(image), trusted)
        return
    if image.name not in manifest.images:
        yield Check(record.name, State.FAILED, f"it is about {', '.join(manifest.images)}, not about this file")
    for name, wanted in manifest.files.items():
        path = image.with_name(name)
        if name in manifest.images and name != image.name and not path.exists():
            continue  # the same image in another format, which is not here
        try:
            digest = digest_of(path)
        except OSError as error:
            yield Check(name, State.FAILED, f"cannot be read: {error.strerror}")
            continue
        if digest != wanted:
            yield Check(name, State.FAILED, _DIFFERS)
        yield from _file(path, digest, trusted)
    yield from _enrolment(image.with_name(manifest.keys), manifest)
    yield from _checksums(record.with_name(record.name.removesuffix(MANIFEST) + _SUMS), manifest, trusted)


def _enrolment(folder: Path, manifest: Manifest) -> Iterator[Check]:
    """The keys to enrol: the manifest alone vouches for them, and whoever enrols the folder believes all of it."""
    changed = False
    for name, wanted in manifest.enrolled.items():
        try:
            fault = None if digest_of(folder.parent / name) == wanted else _DIFFERS
        except OSError as error:
            fault = f"cannot be read: {error.strerror}"
        if fault is not None:
            changed = True
            yield Check(name, State.FAILED, fault)
    try:
        there = sorted(f"{folder.name}/{path.name}" for path in folder.iterdir())
    except FileNotFoundError:
        there = []
    except OSError as error:
        yield Check(folder.name, State.FAILED, f"cannot be read: {error.strerror}")
        return
    loose = [name for name in there if name not in manifest.enrolled]
    for name in loose:
        yield Check(name, State.FAILED, "the manifest does not name it: do not enrol it")
    if manifest.enrolled and not changed and not loose:
        yield Check(folder.name, State.OK, f"its {len(there)} files are those that the manifest names")


def _checksums(sums: Path, manifest: Manifest, trusted: Trusted) -> Iterator[Check]:
    """The list for sha256sum(1), where it is there: nobody needs it, and whoever uses it believes it."""
    if not sums.exists():
        return
    try:
        said = read_checksums(sums)
        digest = digest_of(sums)
    except (OSError, ValueError) as error:
        yield Check(sums.name, State.FAILED, f"cannot be read: {error}")
        return
    if said != {**manifest.files, **manifest.enrolled}:
        yield Check(sums.name, State.FAILED, "it does not say what the manifest says of the files")
    yield from _file(sums, digest, trusted)


def _manifest_of(image: Path) -> Path:
    """Where the manifest of an image is, or would be: `NAME-VERSION` stands before `.raw` as before `.raw.zst`."""
    stem = image.stem
    packed = stem.rpartition(".")[2] in ("raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "tar")
    return image.with_name(f"{stem.rpartition('.')[0] if packed else stem}{MANIFEST}")


def _file(path: Path, digest: str, trusted: Trusted) -> Iterator[Check]:
    for form, signer, fault in signature_faults(path, digest, trusted):
        kind = _FORMS.get(form, "X.509")
        if fault is None:
            yield Check(path.name, State.OK, f"signed by {signer} ({kind})")
        else:
            yield Check(path.name, State.FAILED, f"{kind} signature: {fault}")


def _inside(image: Path, db: Sequence[x509.Certificate]) -> Iterator[Check]:
    """What a machine would check: each program of the EFI system partition, and the roots that command lines name."""
    try:
        info = inspect_image(image)
    except ImageError as error:
        state = State.FAILED if db else State.NOTE
        yield Check("boot chain", state, error.message + (f": {error.cause}" if error.cause else ""))
        return
    for finding in info.findings:
        yield Check("image", State.NOTE, finding)
    if db:
        yield from _programs(image, db)
        programs = {program.path for program in info.programs}
        loose = [file.path for file in info.esp_files if file.path not in programs]
        if loose:
            yield Check("EFI system partition", State.NOTE, f"in no signature: {', '.join(loose)}")
    else:
        yield Check("boot chain", State.NOTE, "no certificate was given for what boots (--db)")
    for sealed in info.sealed:
        what = f"sealed {sealed.what} of {sealed.program}"
        fault = sealed.fault
        yield Check(
            what, State.FAILED if fault else State.OK, fault or f"all of it has the root hash {sealed.root_hash}"
        )
    if not info.sealed:
        yield Check("root", State.NOTE, "not sealed: nothing protects it on the machine")


def _programs(image: Path, db: Sequence[x509.Certificate]) -> Iterator[Check]:
    """A firmware that has only `db` must be able to start every one of them."""
    seen = 0
    with open_image(image) as source:
        try:
            for path, content in _esp_programs(image, source):
                source.allow(ALLOWANCE)
                seen += 1
                yield _program(path, content, db)
        except FormatError as error:
            yield Check("EFI system partition", State.FAILED, f"it is damaged: {error}")
    if not seen:
        yield Check("boot chain", State.FAILED, "the image has no EFI program")


def _program(path: str, content: Window, db: Sequence[x509.Certificate]) -> Check:
    try:
        if content.size > _LARGEST:
            raise FormatError(f"{content.size} bytes, which is not read")
        found = program_signatures(parse_pe(content), content)
    except FormatError as error:
        return Check(path, State.FAILED, f"it is no EFI program: {error}")
    signer = trusted_signer(found, db)
    if signer is not None:
        return Check(path, State.OK, f"signed by {signer.name}")
    if not found:
        return Check(path, State.FAILED, "it is not signed")
    reasons = (f"signed by {one.name}: {one.fault or 'none of the certificates given'}" for one in found)
    return Check(path, State.FAILED, "; ".join(reasons))


def _esp_programs(image: Path, source: FileSource) -> Iterator[tuple[str, Window]]:
    disk = Window.over(source)
    table = disk_table(image, disk)
    for partition in table.partitions if table else ():
        if partition_type(partition) not in ("esp", "xbootldr", "fat32"):
            continue
        filesystem = open_filesystem(disk.part(partition.start, partition.size))
        for path, node in walk(filesystem) if filesystem else ():
            if filesystem is not None and node.kind is NodeKind.FILE:
                content = filesystem.content(node)
                if content.head(2) == b"MZ":
                    yield f"/{path}", content
