"""What an attacker on the mirror, on the way or in a template can send ends in a clear error, and nothing is kept."""

from __future__ import annotations

import hashlib
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support import hostile_mirror as faults
from support.deb_repository import SigningKey, served
from support.families import FAMILIES
from support.hostile_mirror import HostileMirror, entry, hostile_mirror, package_with
from support.rpm_package import MadeRpm, rpm
from support.tls import Authority


@pytest.fixture(autouse=True)
def unpatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No pauses between tries, and the signal handlers as they were."""
    monkeypatch.setattr("os_image_composer.ospackage.retry.FIRST_PAUSE", 0.0)
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture(params=FAMILIES)
def mirror(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HostileMirror]:
    with hostile_mirror(tmp_path, request.param) as running:
        yield running


only_deb = pytest.mark.parametrize("mirror", ["deb"], indirect=True)
only_rpm = pytest.mark.parametrize("mirror", ["rpm"], indirect=True)
RESOLVE = ("validate", "--resolve")


def refused(mirror: HostileMirror, capsys: pytest.CaptureFixture[str], reference: str, *verb: str) -> str:
    code = mirror.command(*(verb or RESOLVE), str(mirror.data.template))
    said = capsys.readouterr()
    assert f"error[{reference}]" in said.err, said.err
    assert code == 1
    assert "Traceback" not in said.err
    return said.err


def test_mirror_that_is_as_it_should_be_is_resolved_from(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mirror.command(*RESOLVE, str(mirror.data.template)) == 0, capsys.readouterr().err


# The signed file and what it says of the indexes, then what a server does: the same for both families.
FAULTS = [
    ("metadata-not-yet-valid", faults.of_the_future),
    ("not-signed", faults.not_signed),
    ("unknown-signer", faults.of_another_key),
    ("bad-signature", faults.changed_after_signing),
    ("weak-digest", faults.signed_with_sha1),
    ("over-expanding-index", faults.index_that_expands),
    ("too-large", faults.index_of_a_wrong_size),
    ("wrong-bytes", faults.changed_index),
    ("oversized-index", faults.index_of_a_size_beyond_all),
    ("bad-index", faults.entry_that_leads_out),
    ("mirror-unavailable", faults.truncated),
    ("mirror-unavailable", faults.stalling),
    ("too-large", faults.endless),
    ("insecure-redirect", faults.redirecting_to_a_file),
]


def metadata_is_refused_and_not_kept(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str], reference: str, spoil: Callable[[HostileMirror], None]
) -> None:
    spoil(mirror)
    refused(mirror, capsys, reference)
    # A well-signed index with a bad entry is what the archive signed: it is kept, and refused each time.
    assert [name for name in mirror.kept() if reference != "bad-index"] == []


@pytest.mark.parametrize(("reference", "spoil"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_metadata_that_cannot_be_trusted_is_refused_and_not_kept(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str], reference: str, spoil: Callable[[HostileMirror], None]
) -> None:
    metadata_is_refused_and_not_kept(mirror, capsys, reference, spoil)


def expired(mirror: HostileMirror) -> None:
    mirror.repository.valid_until = time.time() - 10
    mirror.repository.write()


def of_another_suite(mirror: HostileMirror) -> None:
    mirror.repository.release = {"Suite": "unstable"}
    mirror.repository.write()


@only_deb
@pytest.mark.parametrize(
    ("reference", "spoil"),
    [("metadata-expired", expired), ("wrong-suite", of_another_suite), ("bad-release", faults.without_sha256)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faults_that_only_an_inrelease_can_have(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str], reference: str, spoil: Callable[[HostileMirror], None]
) -> None:
    metadata_is_refused_and_not_kept(mirror, capsys, reference, spoil)


def entities(mirror: HostileMirror) -> None:
    bomb = b'<!DOCTYPE repomd [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    mirror.repository.sign(b'<?xml version="1.0"?>' + bomb + b"<repomd><revision>&b;</revision></repomd>")


@only_rpm
@pytest.mark.parametrize(
    ("reference", "spoil"),
    [("weak-digest", faults.without_sha256), ("bad-xml", entities)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faults_that_only_a_repomd_can_have(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str], reference: str, spoil: Callable[[HostileMirror], None]
) -> None:
    metadata_is_refused_and_not_kept(mirror, capsys, reference, spoil)


def test_redirect_to_http_is_refused_and_not_followed(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "tls")
    with served(mirror.data.root, authority.server_context(authority.identity("server"))) as secure:
        mirror.use(secure.url, f"ca_bundle: {authority.bundle}")
        secure.redirect = f"{mirror.server.url}/signed"
        refused(mirror, capsys, "insecure-redirect")
    assert secure.requests
    assert mirror.server.requests == []
    assert mirror.kept() == []


def test_metadata_that_went_back_is_refused(mirror: HostileMirror, capsys: pytest.CaptureFixture[str]) -> None:
    assert mirror.command(*RESOLVE, str(mirror.data.template)) == 0
    mirror.repository.date -= faults.DAY
    mirror.repository.write()
    code = mirror.command(*RESOLVE, "--refresh", str(mirror.data.template))
    assert (code, "error[metadata-rollback]" in capsys.readouterr().err) == (1, True)


def test_second_key_of_a_vendor_counts_once_it_is_pinned(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    """The vendor signs with another key, whose certificate is in the keyring beside that of the first."""
    first, second = mirror.repository.key, SigningKey("Second")
    mirror.repository.key = second
    mirror.repository.write()
    mirror.repository.keyring.write_bytes(bytes(first.certificate) + bytes(second.certificate))
    refused(mirror, capsys, "unknown-signer")
    settings = mirror.folder / "settings.yml"
    both = ", ".join(key.fingerprint.upper() for key in (first, second))
    settings.write_text(settings.read_text() + f"repositories: {{own: {{fingerprints: [{both}]}}}}\n")
    assert mirror.command(*RESOLVE, str(mirror.data.template)) == 0, capsys.readouterr().err


@only_deb
@pytest.mark.parametrize(
    ("reference", "entries"),
    [
        ("path-leads-out", [entry("../outside", size=3)]),
        ("path-leads-out", [entry("./a/../../outside", size=3)]),
        ("path-leads-out", [entry("/etc/outside", size=3)]),
        ("path-leads-out", [entry("./up", tarfile.SYMTYPE, "../../../.."), entry("./up/outside", size=3)]),
        ("path-leads-out", [entry("./x", tarfile.LNKTYPE, "../../etc/passwd")]),
        ("hard-link-leads-out", [entry("./x", tarfile.LNKTYPE, "/etc/passwd")]),
        ("hard-link-leads-out", [entry("./x", tarfile.LNKTYPE, "./etc/passwd")]),
        ("device-node", [entry("./null", tarfile.CHRTYPE)]),
        ("device-node", [entry("./disk", tarfile.BLKTYPE)]),
        ("id-out-of-range", [entry("./x", uid=65535)]),
        ("id-out-of-range", [entry("./x", uid=65536)]),
        ("id-out-of-range", [entry("./x", uid=(1 << 32) - 1)]),
    ],
)
def test_package_that_reaches_out_of_its_root_stops_the_build(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str], reference: str, entries: list[tarfile.TarInfo]
) -> None:
    mirror.replace(package_with(*entries))
    said = refused(mirror, capsys, reference, "build")
    assert "base-files 1.0" in said
    assert not list(mirror.folder.rglob("outside"))
    assert [name for name in mirror.kept() if name.startswith(("work/", "cache/store/trees"))] == []


@only_deb
def test_absolute_symlink_in_a_package_is_the_image_s_own_and_leads_nowhere_else(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = mirror.folder / "outside"
    outside.mkdir()
    mirror.replace(package_with(entry("./way", tarfile.SYMTYPE, str(outside)), entry("./way/file", size=3)))
    # Everything is unpacked, and there is nothing in this archive that could then be run.
    refused(mirror, capsys, "program-missing", "build")
    assert list(outside.iterdir()) == []
    assert [name for name in mirror.kept() if name.startswith(("work/", "cache/store/trees"))] == []


CONTROL = "Package: base-files\nVersion: 1.0\nArchitecture: amd64\nMaintainer: T <t@example.org>\nDescription: x\n"


@only_deb
@pytest.mark.parametrize(
    ("reference", "control"),
    [
        ("wrong-package", CONTROL.replace("base-files", "evil")),
        ("wrong-package", CONTROL.replace("1.0", "2.0")),
        ("wrong-package", CONTROL.replace("amd64", "arm64")),
        ("wrong-package", "Maintainer: nobody\n"),
        ("bad-package", CONTROL + "Package: evil\n"),
        ("bad-package", CONTROL.replace(": ", " ")),
        ("bad-package", CONTROL.replace("x", "\udcff")),
        ("bad-package", None),
    ],
)
def test_package_whose_control_file_says_something_else_stops_the_build(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str], reference: str, control: str | None
) -> None:
    mirror.replace(package_with(control=control.encode("utf-8", "surrogateescape") if control is not None else b""))
    said = refused(mirror, capsys, reference, "build")
    assert "base-files" in said
    assert [name for name in mirror.kept() if name.startswith(("work/", "cache/store/trees"))] == []


# A package of each family that a build fetches first: an image tool, and one that the first environment is made of.
EARLY = {"deb": "mtools", "rpm": "rpm"}


@pytest.mark.parametrize("fault", ["changed", "longer", "truncated", "absent"])
def test_package_that_is_not_what_was_signed_stops_the_build_and_is_not_kept(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    path = mirror.data.package_file(EARLY[mirror.data.family])
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    path.unlink()
    if fault != "absent":
        path.write_bytes({"changed": data[::-1], "longer": data + b"x", "truncated": data[:100]}[fault])
    wanted = {"changed": "wrong-bytes", "longer": "too-large", "truncated": "mirror-unavailable", "absent": "not-found"}
    refused(mirror, capsys, wanted[fault], "build")
    assert not [name for name in mirror.kept() if name.startswith("work/") or f"sha256/{digest[:2]}/{digest}" in name]


def header_changed(made: MadeRpm, key: SigningKey) -> bytes:
    return made.signed(key).replace(b"linux", b"Linux", 1)


def header_changed_with_its_digest(made: MadeRpm, key: SigningKey) -> bytes:
    return made.data(made.signature(key), header=replace(made, license="Other").header(made.payload()))


def payload_changed(made: MadeRpm, key: SigningKey) -> bytes:
    return made.data(made.signature(key), payload=made.payload()[::-1])


def signed_by_another(made: MadeRpm, key: SigningKey) -> bytes:
    return made.signed(SigningKey("Another repository's"))


def unsigned(made: MadeRpm, key: SigningKey) -> bytes:
    return made.data()


def signature_of_another_package(made: MadeRpm, key: SigningKey) -> bytes:
    return made.data(replace(made, release="2").signature(key))


def another_package(made: MadeRpm, key: SigningKey) -> bytes:
    return replace(made, version="0.9").signed(key)


@only_rpm
@pytest.mark.parametrize(
    ("reference", "spoil"),
    [
        ("header-changed", header_changed),
        ("bad-signature", header_changed_with_its_digest),
        ("payload-changed", payload_changed),
        ("unknown-signer", signed_by_another),
        ("package-not-signed", unsigned),
        ("bad-signature", signature_of_another_package),
        ("wrong-package", another_package),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_package_that_its_repository_did_not_sign_stops_the_build_though_metadata_name_it(
    mirror: HostileMirror,
    capsys: pytest.CaptureFixture[str],
    reference: str,
    spoil: Callable[[MadeRpm, SigningKey], bytes],
) -> None:
    """The index is validly signed and has the right checksum of these bytes."""
    (made,) = [p for p in mirror.repository.packages if p.name == "rpm"]
    mirror.repository.replaced["rpm"] = spoil(made, mirror.repository.key)
    mirror.repository.write()
    said = refused(mirror, capsys, reference, "build")
    assert "rpm" in said
    assert [name for name in mirror.kept() if name.startswith(("work/", "cache/store/trees"))] == []


@only_rpm
@pytest.mark.parametrize("path", ["/../outside", "/usr/../../outside", "//outside/../../outside"])
def test_signed_package_with_a_path_that_leads_out_stops_the_build(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    mirror.replace(rpm("rpm", arch="x86_64", files={path: b"x"}))
    assert "rpm 1.0-1 is not a usable package" in refused(mirror, capsys, "bad-package", "build")
    assert not list(mirror.folder.rglob("outside"))


HOSTILE_TEMPLATES = {
    "duplicate-key": "image: {name: a}\nimage: {name: b}\n",
    "too-many-values": "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
    + "".join(f"{c}: &{c} [{','.join([f'*{p}'] * 10)}]\n" for p, c in zip("abcdef", "bcdefg", strict=True)),
    "too-deep": "a: " + "[" * 100 + "]" * 100 + "\n",
    "file-too-large": "# " + "x" * (10 << 20) + "\n",
    "yaml-tag": "a: !!python/object/apply:os.system [id]\n",
    "not-utf-8": "",
}


@only_deb
@pytest.mark.parametrize("reference", sorted(HOSTILE_TEMPLATES))
def test_hostile_template_is_an_error_of_the_template(
    mirror: HostileMirror, tmp_path: Path, capsys: pytest.CaptureFixture[str], reference: str
) -> None:
    template = tmp_path / "hostile.yml"
    template.write_bytes(HOSTILE_TEMPLATES[reference].encode() or b"a: \xff\n")
    start = time.monotonic()
    for verb in ("validate", "plan", "build"):
        assert mirror.command(verb, str(template)) == 2  # wrong input, as everywhere
        said = capsys.readouterr().err
        assert reference in said
        assert "Traceback" not in said
    assert time.monotonic() - start < 15
    assert mirror.server.requests == []
    assert mirror.kept() == []


@only_deb
@pytest.mark.parametrize("final", ["/../../etc/x", "etc/x", "/etc/../../x"])
def test_template_with_a_path_that_leads_out_is_refused(
    mirror: HostileMirror, tmp_path: Path, capsys: pytest.CaptureFixture[str], final: str
) -> None:
    template = tmp_path / "hostile.yml"
    (tmp_path / "local").write_text("x")
    template.write_text(
        mirror.data.template.read_text() + f"  additionalFiles:\n    - {{local: local, final: {final}}}\n"
    )
    assert mirror.command("plan", str(template)) == 2
    assert "additionalFiles" in capsys.readouterr().err
    assert mirror.kept() == []
