"""What an attacker on the mirror, on the way or in a template can send ends in a clear error, and nothing is kept."""

from __future__ import annotations

import hashlib
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pysequoia
import pytest

from support.deb_repository import SigningKey
from support.hostile_mirror import TEMPLATE, HostileMirror, entry, hostile_mirror, package_with

DAY = 86400


@pytest.fixture(autouse=True)
def unpatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No pauses between tries, and the signal handlers as they were."""
    monkeypatch.setattr("os_image_composer.ospackage.retry.FIRST_PAUSE", 0.0)
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[HostileMirror]:
    with hostile_mirror(tmp_path) as running:
        yield running


def refused(mirror: HostileMirror, capsys: pytest.CaptureFixture[str], reference: str, verb: str = "plan") -> str:
    code = mirror.command(verb, str(TEMPLATE))
    said = capsys.readouterr()
    assert f"error[{reference}]" in said.err, said.err
    assert code == 1
    assert "Traceback" not in said.err
    return said.err


def test_mirror_that_is_as_it_should_be_is_planned_from(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mirror.command("plan", str(TEMPLATE)) == 0, capsys.readouterr().err


def expired(mirror: HostileMirror) -> None:
    mirror.repository.valid_until = time.time() - 10
    mirror.repository.write()


def of_the_future(mirror: HostileMirror) -> None:
    mirror.repository.date = time.time() + DAY
    mirror.repository.write()


def not_signed(mirror: HostileMirror) -> None:
    mirror.repository.inrelease.write_bytes(b"Suite: stable\nDate: now\n")


def of_another_key(mirror: HostileMirror) -> None:
    keyring = mirror.repository.keyring.read_bytes()
    mirror.repository.key = SigningKey("Mallory")
    mirror.repository.write()
    mirror.repository.keyring.write_bytes(keyring)


def changed_after_signing(mirror: HostileMirror) -> None:
    text = mirror.repository.inrelease.read_bytes()
    mirror.repository.inrelease.write_bytes(text.replace(b"Origin: Test", b"Origin: Tesu"))


def of_another_suite(mirror: HostileMirror) -> None:
    mirror.repository.release = {"Suite": "unstable"}
    mirror.repository.write()


def signed_with_sha1(mirror: HostileMirror) -> None:
    marker = b"-----BEGIN PGP SIGNATURE-----"
    head, _, rest = mirror.repository.inrelease.read_bytes().partition(marker)
    packet = bytearray(bytes(pysequoia.Sig.from_bytes(marker + rest)))
    body = 2 if packet[1] < 192 else 3  # RFC 9580, 4.2.1: the packet's length; 5.2.3: the fourth byte is the digest
    packet[body + 3] = 2
    text = pysequoia.armor(bytes(packet), pysequoia.ArmorKind.Signature).encode()
    mirror.repository.inrelease.write_bytes(head + text)


def with_md5_alone(mirror: HostileMirror) -> None:
    mirror.repository.release = {"SHA256": None}
    text = "Suite: stable\nCodename: x\nDate: Sat, 18 Nov 2023 00:00:00 UTC\nMD5Sum:\n d41d8cd98f00b204 0 a\n"
    mirror.repository.inrelease.write_bytes(mirror.repository.key.cleartext(text.encode()))


def index_that_expands(mirror: HostileMirror) -> None:
    packed = mirror.repository.index.read_bytes()
    relative = "main/binary-amd64/Packages"
    listed = {relative: (10, "0" * 64), f"{relative}.xz": (len(packed), hashlib.sha256(packed).hexdigest())}
    mirror.repository.write_release(listed)


def index_of_a_wrong_size(mirror: HostileMirror) -> None:
    for file in mirror.repository.directory.rglob("*"):
        if file.is_file() and file != mirror.repository.inrelease:
            file.write_bytes(file.read_bytes() + b"x")


def changed_index(mirror: HostileMirror) -> None:
    for file in mirror.repository.directory.rglob("*"):
        if file.is_file() and file != mirror.repository.inrelease:
            file.write_bytes(bytes(reversed(file.read_bytes())))


def index_of_a_size_beyond_all(mirror: HostileMirror) -> None:
    relative = "main/binary-amd64/Packages"
    mirror.repository.write_release({relative: (1 << 40, "0" * 64), f"{relative}.xz": (1 << 20, "0" * 64)})


def entry_that_leads_out(mirror: HostileMirror) -> None:
    mirror.repository.write_index(mirror.repository.index_text().replace(b"pool/", b"pool/../../"))


def truncated(mirror: HostileMirror) -> None:
    mirror.server.cut, mirror.server.ranges = 999, False


def stalling(mirror: HostileMirror) -> None:
    mirror.server.stall = True


def endless(mirror: HostileMirror) -> None:
    mirror.server.endless = True


def redirecting_to_a_file(mirror: HostileMirror) -> None:
    mirror.server.redirect = "file:///etc/passwd"


@pytest.mark.parametrize(
    ("reference", "spoil"),
    [
        ("metadata-expired", expired),
        ("metadata-not-yet-valid", of_the_future),
        ("not-signed", not_signed),
        ("unknown-signer", of_another_key),
        ("bad-signature", changed_after_signing),
        ("wrong-suite", of_another_suite),
        ("weak-digest", signed_with_sha1),
        ("bad-release", with_md5_alone),
        ("over-expanding-index", index_that_expands),
        ("too-large", index_of_a_wrong_size),
        ("wrong-bytes", changed_index),
        ("oversized-index", index_of_a_size_beyond_all),
        ("bad-index", entry_that_leads_out),
        ("mirror-unavailable", truncated),
        ("mirror-unavailable", stalling),
        ("too-large", endless),
        ("insecure-redirect", redirecting_to_a_file),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_metadata_that_cannot_be_trusted_is_refused_and_not_kept(
    mirror: HostileMirror,
    capsys: pytest.CaptureFixture[str],
    reference: str,
    spoil: Callable[[HostileMirror], None],
) -> None:
    spoil(mirror)
    refused(mirror, capsys, reference)
    # A well-signed index with a bad entry is what the archive signed: it is kept, and refused each time.
    assert [name for name in mirror.kept() if reference != "bad-index"] == []


def test_metadata_that_went_back_is_refused(mirror: HostileMirror, capsys: pytest.CaptureFixture[str]) -> None:
    assert mirror.command("plan", str(TEMPLATE)) == 0
    mirror.repository.date -= DAY
    mirror.repository.write()
    code = mirror.command("plan", "--refresh", str(TEMPLATE))
    assert (code, "error[metadata-rollback]" in capsys.readouterr().err) == (1, True)


@pytest.mark.parametrize(
    ("reference", "entries"),
    [
        ("path-leads-out", [entry("../outside", size=3)]),
        ("path-leads-out", [entry("./a/../../outside", size=3)]),
        ("path-leads-out", [entry("./x", tarfile.LNKTYPE, "../../etc/passwd")]),
        ("hard-link-leads-out", [entry("./x", tarfile.LNKTYPE, "/etc/passwd")]),
        ("device-node", [entry("./null", tarfile.CHRTYPE)]),
        ("device-node", [entry("./disk", tarfile.BLKTYPE)]),
        ("id-out-of-range", [entry("./x", uid=65535)]),
    ],
)
def test_package_that_reaches_out_of_its_root_stops_the_build(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str], reference: str, entries: list[tarfile.TarInfo]
) -> None:
    mirror.add(package_with(*entries))
    said = refused(mirror, capsys, reference, "build")
    assert "base-files 1.0" in said
    assert not list(mirror.folder.rglob("outside"))
    assert [name for name in mirror.kept() if name.startswith(("work/", "cache/store/trees"))] == []


@pytest.mark.parametrize("fault", ["changed", "longer", "truncated", "absent"])
def test_package_that_is_not_what_was_signed_stops_the_build_and_is_not_kept(
    mirror: HostileMirror, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    path = mirror.repository.pool_path(next(p for p in mirror.repository.packages if p.fields["Package"] == "mtools"))
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    path.unlink()
    if fault != "absent":
        path.write_bytes({"changed": data[::-1], "longer": data + b"x", "truncated": data[:100]}[fault])
    wanted = {"changed": "wrong-bytes", "longer": "too-large", "truncated": "mirror-unavailable", "absent": "not-found"}
    refused(mirror, capsys, wanted[fault], "build")
    assert not [name for name in mirror.kept() if name.startswith("work/") or f"sha256/{digest[:2]}/{digest}" in name]


HOSTILE_TEMPLATES = {
    "duplicate-key": "image: {name: a}\nimage: {name: b}\n",
    "too-many-values": "a: &a [1,1,1,1,1,1,1,1,1,1]\n"
    + "".join(f"{c}: &{c} [{','.join([f'*{p}'] * 10)}]\n" for p, c in zip("abcdef", "bcdefg", strict=True)),
    "too-deep": "a: " + "[" * 100 + "]" * 100 + "\n",
    "file-too-large": "# " + "x" * (10 << 20) + "\n",
    "yaml-tag": "a: !!python/object/apply:os.system [id]\n",
    "not-utf-8": "",
}


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


@pytest.mark.parametrize("final", ["/../../etc/x", "etc/x", "/etc/../../x"])
def test_template_with_a_path_that_leads_out_is_refused(
    mirror: HostileMirror, tmp_path: Path, capsys: pytest.CaptureFixture[str], final: str
) -> None:
    template = tmp_path / "hostile.yml"
    (tmp_path / "local").write_text("x")
    template.write_text(TEMPLATE.read_text() + f"  additionalFiles:\n    - {{local: local, final: {final}}}\n")
    assert mirror.command("plan", str(template)) == 2
    assert "additionalFiles" in capsys.readouterr().err
    assert mirror.kept() == []
