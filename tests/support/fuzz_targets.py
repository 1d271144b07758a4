"""The parsers that read what somebody else wrote, each as a function of bytes that may only end in a result or in the
errors that it documents. tests/ospackage/test_parsers.py feeds them mutated samples, scripts/fuzz coverage-guided ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import stat
import struct
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.config.findings import check
from os_image_composer.config.settings_file import SettingsFile
from os_image_composer.config.sizes import format_size, parse_size
from os_image_composer.config.template import ImageTemplate
from os_image_composer.config.yaml_source import parse_yaml
from os_image_composer.errors import ComposerError
from os_image_composer.formats.file_contexts import FileContexts
from os_image_composer.formats.iso9660 import find_file, read_medium
from os_image_composer.formats.partition_table import read_partition_table
from os_image_composer.formats.pe import content, parse_pe, room_of
from os_image_composer.formats.signed_data import parse_signed_data
from os_image_composer.formats.uefi_keys import read_signature_lists, read_signed_update
from os_image_composer.formats.verity import check_tree
from os_image_composer.formats.virtual_disk import recognise
from os_image_composer.formats.virtual_disk_end import check_end
from os_image_composer.formats.volumes import identify, open_filesystem
from os_image_composer.formats.window import FormatError, Window
from os_image_composer.ospackage.bundle import unpack_bundle, write_bundle
from os_image_composer.ospackage.credentials import read_credentials
from os_image_composer.ospackage.deb.apt_sources import host_mirrors
from os_image_composer.ospackage.deb.archive import control_file, open_data_tar
from os_image_composer.ospackage.deb.control import paragraphs, parse_relations
from os_image_composer.ospackage.deb.packages import SuiteIndex
from os_image_composer.ospackage.deb.release import parse_release
from os_image_composer.ospackage.deb.version import version_key
from os_image_composer.ospackage.lock import (
    AskedGroup,
    Lock,
    LockedPackage,
    LockedRepository,
    PackageSet,
    Transaction,
)
from os_image_composer.ospackage.lock_file import parse_lock
from os_image_composer.ospackage.lock_text import dump_lock
from os_image_composer.ospackage.openpgp import load_keyring, verify_cleartext
from os_image_composer.ospackage.rpm.inventory import installed as installed_rpms
from os_image_composer.ospackage.rpm.package import read_package
from os_image_composer.ospackage.rpm.payload import open_payload_tar, packaged_files
from os_image_composer.ospackage.rpm.repomd import parse_repomd
from os_image_composer.ospackage.tools_index import ToolsIndex, dump_index, parse_index
from os_image_composer.report.file_signatures import read_manifest
from os_image_composer.report.program_signatures import program_signatures
from os_image_composer.signing.authenticode import signed_program
from os_image_composer.signing.cms import signed_content
from os_image_composer.signing.enrolment import enrolment
from os_image_composer.signing.verifying import SignatureError, signer_of
from support import small_medium
from support.boot_keys import KeyFolder
from support.deb_repository import NOW, DebRepository, SigningKey, deb
from support.efi_programs import efi_program
from support.rpm_database import blob, write_database
from support.rpm_package import rpm
from support.rpm_repository import RpmRepository
from support.virtual_disks import filled, qcow2, vhd, vhdx_tables

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Target:
    """`seeds` are samples that are right, or nearly; `longest` is how many bytes are worth trying."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    longest: int = 4096


class Workplace:
    """A folder (in memory where the host has one) for what parsers read from files, and a key."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        self._folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.path = Path(self._folder.name)
        self.key = SigningKey()
        keyring = self.file("keyring.pgp", bytes(self.key.certificate))
        self.keyring = load_keyring("test", [self.key.fingerprint], [keyring], NOW)

    def file(self, name: str, data: bytes, mode: int = 0o600) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(mode)
        return path


def targets(work: Workplace) -> dict[str, Target]:
    """By name."""

    def paragraph(data: bytes) -> None:
        for fields in paragraphs(data.decode("utf-8", "replace")):
            assert all(name == name.lower() for name in fields)

    def relations(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        for alternatives in parse_relations(text):
            for one in alternatives:
                assert parse_relations(str(one)) == ((one,),)

    def version(data: bytes) -> None:
        one, _, other = data.decode("utf-8", "replace").partition("\n")
        left, right = version_key(one), version_key(other)
        assert (left < right) + (left == right) + (left > right) == 1

    def release(data: bytes) -> None:
        parse_release(data, "test")

    def inrelease(data: bytes) -> None:
        signed = verify_cleartext(data, "test", work.keyring)
        assert signed.signers[0] == work.key.fingerprint

    def keyring(data: bytes) -> None:
        load_keyring("test", [work.key.fingerprint], [work.file("fuzzed.pgp", data)], NOW)

    def packages(data: bytes) -> None:
        index = SuiteIndex(data, "test/stable", 500, "test")
        for name in index.names():
            for package in index.versions(name):
                assert "/" not in package.name + package.version + package.arch
                assert ".." not in package.path.split("/") and not package.path.startswith("/")
                assert package.size >= 0
                assert package.installed_size >= 0
            list(index.providers(name))

    def archive(data: bytes) -> None:
        path = work.file("fuzzed.deb", data)
        control_file(path, "control")
        with open_data_tar(path) as stream:
            while stream.read(1 << 20):
                pass

    def labels(data: bytes) -> None:
        rules, _, aliases = data.partition(b"\0")
        with contextlib.suppress(FormatError):
            contexts = FileContexts({"": rules, ".subs_dist": aliases})
            for path in (b"/", b"/usr/lib/x.so.1.2", b"/a/b/..../c d/\xff", b"/a" + b"." * 200 + b"/"):
                for kind in (stat.S_IFREG, stat.S_IFDIR):
                    label = contexts.label(path, kind)
                    assert label is None or label.count(b":") >= 2

    def members(data: bytes) -> None:
        # As chroot/helper/inside/unpack.py reads a tar; it is a program, so its list stands here again.
        with (
            contextlib.suppress(tarfile.TarError, EOFError, ValueError, LookupError, OverflowError, struct.error),
            tarfile.open(fileobj=io.BytesIO(data), mode="r|", encoding="utf-8") as tar,
        ):
            for member in tar:
                file = tar.extractfile(member) if member.isreg() else None
                while file and file.read(1 << 16):
                    pass

    def template(data: bytes) -> None:
        check(parse_yaml(data.decode("utf-8", "replace"), "test.yml"), ImageTemplate)

    def settings(data: bytes) -> None:
        check(parse_yaml(data.decode("utf-8", "replace"), "test.yml"), SettingsFile)

    def lock(data: bytes) -> None:
        found = parse_lock(data.decode("utf-8", "replace"))
        assert parse_lock(dump_lock(found)) == found

    def tools(data: bytes) -> None:
        assert dump_index(parse_index(data, "test.tar")) == data

    def bundle(data: bytes) -> None:
        unpack_bundle(work.file("a.bundle", data), work.path / "bundle-cache")

    def repomd(data: bytes) -> None:
        found = parse_repomd(data, "test")
        for kind in ("primary", "filelists"):
            assert ".." not in found.index(kind, "test").path.split("/")

    def rpm_file(data: bytes) -> None:
        path = work.file("a.rpm", data)
        for one in packaged_files(read_package(path)):
            assert not one.path.startswith("//")
        with open_payload_tar(path) as stream:
            for _ in range(64):
                if not stream.read(1 << 16):
                    break

    def rpm_database(data: bytes) -> None:
        installed_rpms({"var/lib/rpm/rpmdb.sqlite": data})

    def sources(data: bytes) -> None:
        work.file("etc/apt/sources.list", data)
        work.file("etc/apt/sources.list.d/a.sources", data)
        for url in host_mirrors(work.path / "etc").values():
            assert url.startswith(("http://", "https://"))

    def credentials(data: bytes) -> None:
        read_credentials(work.file("netrc", data)).of("https://a.example/")

    def pe(data: bytes) -> None:
        file = Window.of(data)
        with contextlib.suppress(FormatError):
            image = parse_pe(file)
            for section in image.sections:
                content(image, file, section.name)
                room_of(image, section.name)
            for found in program_signatures(image, file):
                assert (found.certificate is None) == (found.fault is not None)

    def signatures(data: bytes) -> None:
        with contextlib.suppress(FormatError):
            signed = parse_signed_data(data)
            for signer in signed.signers:
                with contextlib.suppress(SignatureError):
                    signer_of(signed, signer, signed.content, hashlib.sha256(b"signed").digest())

    def uefi_keys(data: bytes) -> None:
        for reader in (read_signature_lists, read_signed_update):
            with contextlib.suppress(FormatError):
                reader(data)

    def verity(data: bytes) -> None:
        with contextlib.suppress(FormatError):
            check_tree(Window.of(bytes(4096)), Window.of(data), hashlib.sha256(b"root").digest())

    def manifest(data: bytes) -> None:
        with contextlib.suppress(ValueError):
            found = read_manifest(work.file("a.manifest.json", data))
            assert all("/" not in name for name in found.files)
            assert all(name.count("/") == 1 and name.startswith("a.secure-boot/") for name in found.enrolled)

    def medium(data: bytes) -> None:
        whole = Window.of(small_medium.disk(data))
        with contextlib.suppress(FormatError):
            read_medium(whole)
        with contextlib.suppress(FormatError):
            find_file(whole, "live/a")

    def volume(data: bytes) -> None:
        for reader in (read_partition_table, identify, open_filesystem):
            with contextlib.suppress(FormatError):
                reader(Window.of(data))

    def virtual_disk(data: bytes) -> None:
        # Alone, and as the tables of a vhdx, which stand far behind its beginning.
        for file in (data, b"vhdxfile".ljust(192 << 10, b"\0") + data.ljust(128 << 10, b"\0")):
            with contextlib.suppress(FormatError):
                found = recognise(Window.of(file))
                assert found is None or found.size > 0
                if found is not None:
                    check_end(Window.of(file), found)

    def size(data: bytes) -> None:
        try:
            value = parse_size(data.decode("utf-8", "replace"))
        except ValueError:
            return
        assert parse_size(format_size(value)) == value

    keys = KeyFolder.made(Path(tempfile.mkdtemp(dir=work.path)))
    program = efi_program({".linux": b"1", ".cmdline": b"2"})
    updates = enrolment(keys.platform(), 1_700_000_000)
    detached = signed_content("1.2.840.113549.1.7.1", hashlib.sha256(b"signed").digest(), keys.signer())
    repository = DebRepository(work.path / "mirror", key=work.key)
    repository.add(deb("hello", depends="a (>= 1) | b:any, c", provides="x (= 1)", essential="yes"), deb("c")).write()
    rpms = RpmRepository(work.path / "rpms", key=work.key)
    made = rpm("hello", "1:2-3", files={"/usr/bin/hello": b"hello" * 20}, requires=("libc >= 2",))
    rpms.add(made).write()
    (work.path / "rpmdb.sqlite").unlink(missing_ok=True)  # of an earlier call
    database = write_database(work.path / "rpmdb.sqlite", [blob(made)], mode="DELETE")
    signed = repository.inrelease.read_bytes()
    text = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
    plain = signed[len(text) : signed.index(b"-----BEGIN PGP SIGNATURE-----")]
    debs = tuple(deb("hello", form=form, files={"./a": b"1", "./b/c": b"2" * 100}).data for form in ("", ".gz", ".xz"))
    sample = (ROOT / "image-templates/debian13-x86_64-minimal-raw.yml").read_bytes()
    return {
        "bundle": Target(bundle, (_bundle(work),), 8192),
        "repomd": Target(repomd, (rpms.repomd.read_bytes(),), 4096),
        "rpm": Target(rpm_file, (made.data(), made.signed(work.key)), 8192),
        "rpmdb": Target(rpm_database, (database.read_bytes(),), 16384),
        "archive": Target(archive, (*debs, deb("hello", form=".zst").data), 16384),
        "credentials": Target(credentials, (b'# x\nmachine a.example:1 login b password "c d"\n',), 512),
        "inrelease": Target(inrelease, (signed,), 8192),
        "keyring": Target(keyring, (bytes(work.key.certificate), str(work.key.certificate).encode())),
        "labels": Target(labels, (_RULES,), 1024),
        "lock": Target(lock, (_lock(),), 8192),
        "manifest": Target(manifest, (_MANIFEST,), 1024),
        "medium": Target(medium, _media(), 24576),
        "members": Target(members, (_tar(tarfile.PAX_FORMAT), _tar(tarfile.GNU_FORMAT)), 16384),
        "packages": Target(packages, (repository.index_text(),)),
        "paragraph": Target(paragraph, (b"A: b\nC: d\n e\n\n# x\nF: g\n",), 1024),
        "pe": Target(pe, (program, signed_program(program, keys.signer(), "a")), 4096),
        "relations": Target(relations, (b"a (>= 1:2~3-4) | b:any, c (<< 5), d",), 256),
        "release": Target(release, (plain,)),
        "settings": Target(settings, (b"workers: 3\nmirrors: {a: [http://b]}\nnetwork:\n  timeout: 3\n",), 2048),
        "signatures": Target(signatures, (detached,), 4096),
        "size": Target(size, (b"4GiB", b"512 MB", b"1048576"), 64),
        "sources": Target(
            sources,
            (
                b"deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian trixie main # x\n",
                b"Types: deb\nURIs: http://a.example/debian\nSuites: trixie\nComponents: main\nSigned-By: /k\n",
            ),
            1024,
        ),
        "template": Target(template, (sample, b"a: &x [1, 2]\nb: {c: *x}\n"), 4096),
        "virtual-disk": Target(
            virtual_disk,
            (
                *(filled("qcow2"), filled("vmdk"), filled("vmdk", packed=True), filled("vdi"), filled("vhd")),
                *(qcow2(1 << 30), vhd(512, kind=2), vhdx_tables()),
            ),
            4096,
        ),
        "volume": Target(volume, (_volume(),), 4096),
        "tools": Target(tools, (_tools(),)),
        "uefi-keys": Target(uefi_keys, (updates["db.esl"], updates["db.auth"]), 4096),
        "verity": Target(verity, (_verity(),), 12288),
        "version": Target(version, (b"1:2.3~rc1-4+b1\n0:1.0", b"1\n1.0~"), 128),
    }


_MANIFEST = b'{"artifacts": [{"file": "a", "sha256": "b"}], "blockMaps": [], "sboms": []}'


def harmless(target: Target, data: bytes) -> None:
    """Runs `target`; its documented errors are no fault, whatever else is raised is."""
    try:
        target.run(data)
    except ComposerError as error:
        assert error.reference
        assert error.exit_code in (1, 2)


_RULES = (
    rb"""# rules, then aliases
/.*             u:object_r:default_t:s0
/usr/(.*/)?lib/.+\.so(\.[^/]*)*  --  u:object_r:lib_t:s0:c0.c3
/(a|usr)/[[:alpha:]]{1,3}(/.*)?	-d	u:object_r:one_t:s0
/a/b\.c?/.*     <<none>>
/usr/lib/x\.so  --  u:object_r:exact_t:s0
"""
    b"\0# alias\n/a /usr\n/lib /usr/lib\n"
)


def _lock() -> bytes:
    package = LockedPackage("a", "1", "all", "r/s", "pool/a.x", 1, "ab" * 32, 1, False, "a 1", ())
    repository = LockedRepository("r/s", "https://a.example", "s", 1, None, "cd" * 32, ("ef" * 20,), "x", ("main",), 1)
    packages = PackageSet((Transaction("t", (package,)),), (AskedGroup("t", {"a": "a"}),))
    seed = "8f8a2f51-54d1-4cf5-9ec5-6c8f6a0c3f0e"
    return dump_lock(Lock("o", "d", "x86_64", seed, 1, (repository,), {"image": packages})).encode()


def _tools() -> bytes:
    repository = LockedRepository("r/s", "", "s", 1, None, "cd" * 32, ("ef" * 20,))
    package = LockedPackage("a", "1", "all", "r/s", "pool/a.x", 1, "ab" * 32, 1, False, "a 1", ("b",))
    return dump_index(ToolsIndex.of("o", "d", "x86_64", (repository,), (package,)))


def _bundle(work: Workplace) -> bytes:
    data = b"a package"
    digest = hashlib.sha256(data).hexdigest()
    package = LockedPackage("a", "1", "all", "r/s", "pool/a.x", len(data), digest, 1, False, "a 1", ())
    repository = LockedRepository("r/s", "https://a.example", "s", 1, None, "cd" * 32, ("ef" * 20,))
    packages = PackageSet((Transaction("t", (package,)),), (AskedGroup("t", {"a": "a"}),))
    lock = Lock("o", "d", "x86_64", "8f8a2f51-54d1-4cf5-9ec5-6c8f6a0c3f0e", 1, (repository,), {"image": packages})
    path = work.path / "sample.bundle"
    path.unlink(missing_ok=True)
    write_bundle(path, lock, {"r": bytes(work.key.certificate)}, {digest: work.file("a.package", data)})
    return path.read_bytes()


def _tar(form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, kind, link in (
            ("./a", tarfile.REGTYPE, ""), ("./" + "b" * 120, tarfile.SYMTYPE, "a"), ("./c", tarfile.LNKTYPE, "./a"),
        ):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, link
            entry.size = 5 if kind == tarfile.REGTYPE else 0
            entry.pax_headers = {"SCHILY.xattr.user.x": "1", "mtime": "1.5"} if form == tarfile.PAX_FORMAT else {}
            tar.addfile(entry, io.BytesIO(b"12345"))
    return buffer.getvalue()


def _verity() -> bytes:
    """The superblock of one block of data, which is too much for the data of the target."""
    head = struct.pack("<8sII16s32sIIQH6x", b"verity\0\0", 1, 1, bytes(16), b"sha256", 1024, 1024, 4, 32)
    return head.ljust(4096, b"\0")


def _volume() -> bytes:
    """Superblocks that a reader knows, where they lie."""
    data = bytearray(4096)
    data[510:512] = b"\x55\xaa"
    data[0x438:0x43A] = b"\x53\xef"
    data[512:520] = b"EFI PART"
    return bytes(data)


def _media() -> tuple[bytes, ...]:
    """From the volume descriptors on."""
    filled = small_medium.with_files({"a": b"content", "b": b""})[16 * small_medium.SECTOR :]
    return small_medium.medium(), small_medium.medium("A", b"SHA-256 0 1"), filled
