"""Reading .deb files."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest

from os_image_composer.errors import MetadataError, TrustError
from os_image_composer.ospackage.deb import archive
from os_image_composer.ospackage.deb.archive import control_file, open_data_tar
from support.deb_repository import Form, ar, deb, packed, tar

FILES = {"./etc/empty": b"", "./etc/big": bytes(range(256)) * 5000}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.deb"


@pytest.mark.parametrize("form", ["", ".gz", ".xz", ".zst"])
def test_files_of_a_package_are_read_in_each_form(path: Path, form: Form) -> None:
    path.write_bytes(deb("x", files=FILES, form=form).data)
    with open_data_tar(path) as stream:
        assert stream.read() == tar(FILES)
    with open_data_tar(path) as stream, tarfile.open(fileobj=stream, mode="r|") as entries:
        assert [e.name for e in entries] == list(FILES)


def test_control_files_are_read_by_name(path: Path) -> None:
    path.write_bytes(deb("x", "1.2").data)
    assert b"Version: 1.2\n" in (control_file(path, "control") or b"")
    assert control_file(path, "conffiles") is None


def test_package_that_is_not_the_locked_one_is_refused(path: Path) -> None:
    data = deb("x").data
    path.write_bytes(data)
    with open_data_tar(path, hashlib.sha256(data).hexdigest()) as stream:
        assert stream.read()
    with pytest.raises(TrustError):
        open_data_tar(path, "0" * 64)


def malformed() -> dict[str, bytes]:
    good = deb("x", files=FILES).data
    version = {"debian-binary": b"2.0\n"}
    data = packed(tar(FILES), ".xz")
    return {
        "empty": b"",
        "no ar": b"rubbish" * 20,
        "cut": good[:-200],
        "no data": ar({**version, "control.tar.xz": data}),
        "wrong order": ar({"data.tar.xz": data, **version}),
        "another format": ar({"debian-binary": b"3.0\n", "data.tar.xz": data}),
        "unknown compression": ar({**version, "data.tar.lzo": data}),
        "damaged xz": ar({**version, "data.tar.xz": data[:60] + b"\0" + data[61:]}),
        "half a zst": ar({**version, "data.tar.zst": packed(tar(FILES), ".zst")[:40]}),
        "half a gz": ar({**version, "data.tar.gz": packed(tar(FILES), ".gz")[:40]}),
        "half an xz": ar({**version, "data.tar.xz": data[: len(data) // 2]}),
    }


@pytest.mark.parametrize("what", malformed())
def test_malformed_package_is_told(path: Path, what: str) -> None:
    path.write_bytes(malformed()[what])
    with pytest.raises(MetadataError) as caught, open_data_tar(path) as stream:
        stream.read()
    assert caught.value.reference == "bad-package"


def test_package_that_expands_without_end_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(deb("x", files={"./zero": bytes(2_000_000)}).data)
    monkeypatch.setattr(archive, "MAX_DATA", 1_000_000)
    with pytest.raises(MetadataError) as caught, open_data_tar(path) as stream:
        stream.read()
    assert "more than" in str(caught.value.cause)
