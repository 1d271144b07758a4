"""Bytes that nobody meant well: whatever stands in a file, reading it ends, and in nothing but an error of ours."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from os_image_composer.errors import ComposerError
from os_image_composer.ospackage.openpgp import Keyring
from os_image_composer.ospackage.rpm import payload
from os_image_composer.ospackage.rpm.header import BadHeaderError, read_header
from os_image_composer.ospackage.rpm.package import check_package, read_package_from
from os_image_composer.ospackage.rpm.payload import open_payload_tar, packaged_files
from os_image_composer.ospackage.rpm.repomd import parse_repomd
from support.deb_repository import SigningKey
from support.rpm_package import PACKERS, STRING, Content, rpm, structure

from .test_package import wanted

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KEY = SigningKey()
MADE = rpm(
    "hello",
    files={"/usr/bin/a": b"aaaa", "/usr/bin/b": Content(same_as="/usr/bin/a"), "/usr/lib/l": Content(link="a")},
    requires=("x >= 1",),
    compressor="gzip",
)
GOOD = MADE.signed(KEY)
REPOMD = (
    b'<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>1</revision><data type="primary">'
    b'<checksum type="sha256">' + b"0" * 64 + b"</checksum>"
    b'<open-checksum type="sha256">' + b"1" * 64 + b"</open-checksum>"
    b'<location href="repodata/p.xml.gz"/><timestamp>1</timestamp><size>1</size><open-size>2</open-size>'
    b"</data></repomd>"
)


@st.composite
def changed(draw: st.DrawFn, good: bytes) -> bytes:
    """`good` with some bytes replaced, cut out or put in."""
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(["replace", "cut", "insert", "end"]))
        if how == "replace":
            new = draw(st.binary(min_size=1, max_size=8))
            data[at : at + len(new)] = new
        elif how == "cut":
            del data[at : at + draw(st.integers(1, 64))]
        elif how == "insert":
            data[at:at] = draw(st.binary(max_size=16))
        else:
            del data[at:]
    return bytes(data)


@few
@given(st.one_of(st.binary(max_size=400), changed(structure({1000: (STRING, "name")}, 63))))
def test_any_bytes_are_a_header_or_refused(data: bytes) -> None:
    with contextlib.suppress(BadHeaderError):
        header = read_header(io.BytesIO(data))
        for tag in range(60, 64), range(1000, 1010):
            for number in tag:
                for read in (header.strings, header.numbers, header.binary):
                    with contextlib.suppress(BadHeaderError):
                        read(number)


@few
@given(changed(GOOD))
def test_changed_package_is_refused_and_its_payload_read_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.rpm"
    path.write_bytes(data)
    ring = Keyring((KEY.certificate,), (KEY.fingerprint,))
    with contextlib.suppress(ComposerError):
        assert check_package(path, wanted(MADE), ring) is not None
        # Only what is outside header and payload may differ: the lead, and the signature header's own tags.
        package = read_package_from(io.BytesIO(data), path)
        assert package.header.raw == MADE.header(MADE.payload())
        assert data[package.payload_offset :] == MADE.payload()
    with contextlib.suppress(ComposerError), open_payload_tar(path) as stream:
        stream.read()


@few
@given(changed(MADE.archive()))
def test_changed_archive_is_read_or_refused(tmp_path: Path, archive: bytes) -> None:
    path = tmp_path / "x.rpm"
    path.write_bytes(MADE.data(payload=PACKERS["gzip"](archive)))
    with contextlib.suppress(ComposerError), open_payload_tar(path) as stream:
        stream.read()


@few
@given(st.one_of(st.binary(max_size=300), changed(REPOMD)))
def test_any_bytes_are_a_repomd_or_refused(data: bytes) -> None:
    with contextlib.suppress(ComposerError):
        repomd = parse_repomd(data, "test repomd.xml")
        index = repomd.index("primary", "test repomd.xml")
        assert not index.path.startswith("/")
        assert ".." not in index.path.split("/")


def test_package_of_many_files_is_read(tmp_path: Path) -> None:
    many = rpm("many", files={f"/usr/share/many/{n:05}": b"" for n in range(3000)})
    path = tmp_path / "many.rpm"
    path.write_bytes(many.data())
    with path.open("rb") as file:
        assert len(packaged_files(read_package_from(file, path))) == 3000
    with payload.open_payload_tar(path) as stream:
        assert len(stream.read()) > 3000 * 512
