"""The package database of a root as rpm wrote it, and as somebody wrote it who means harm."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.family import family_for
from os_image_composer.ospackage.inventory import InstalledPackage
from os_image_composer.ospackage.rpm.inventory import installed, purl
from os_image_composer.ospackage.rpm.licence import read_licence
from support.rpm_database import SCHEMA, blob, write_database
from support.rpm_package import I18N, STRING, rpm

PLACE = "usr/lib/sysimage/rpm/rpmdb.sqlite"
BASH = rpm(
    "bash",
    "1:5.2~rc1-3.azl3",
    arch="x86_64",
    license="GPLv3+",
    source="bash-5.2~rc1-3.azl3.src.rpm",
    tags={1011: (STRING, "Some Vendor"), 1020: (STRING, "https://example.org/bash")},
)


def packages(path: Path, **more: bytes) -> tuple[InstalledPackage, ...]:
    return installed({PLACE: path.read_bytes(), **more})


def test_packages_are_read_with_what_their_headers_say(tmp_path: Path) -> None:
    key = rpm("gpg-pubkey", "33135ce9-5aa1b2c3", tags={1022: None})
    found = packages(write_database(tmp_path / "db", [blob(rpm("zlib")), blob(BASH), blob(key)]))
    assert found == (
        InstalledPackage(
            name="bash",
            version="1:5.2~rc1-3.azl3",
            arch="x86_64",
            source="bash",
            source_version="5.2~rc1-3.azl3",
            maintainer="Some Vendor",
            homepage="https://example.org/bash",
            licence="GPLv3+",
        ),
        InstalledPackage("zlib", "1.0-1", "noarch", "zlib", "1.0-1", "", "", "MIT"),
    )


def test_database_with_a_log_that_was_not_folded_in_is_read_with_it(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        for statement in ("PRAGMA journal_mode = WAL", "PRAGMA wal_autocheckpoint = 0", *SCHEMA):
            database.execute(statement)
        database.execute("INSERT INTO Packages VALUES (1, ?)", (blob(BASH),))
        database.commit()
        content, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    assert log
    assert [p.name for p in installed({PLACE: content, f"{PLACE}-wal": log})] == ["bash"]


def test_the_two_places_of_one_database_are_one(tmp_path: Path) -> None:
    content = write_database(tmp_path / "db", [blob(BASH)]).read_bytes()
    assert len(installed({PLACE: content, "var/lib/rpm/rpmdb.sqlite": content})) == 1
    assert len(installed({"var/lib/rpm/rpmdb.sqlite": content})) == 1
    assert installed({}) == ()


@pytest.mark.skipif(shutil.which("rpm") is None, reason="needs rpm, which scripts/install-host-packages --test brings")
def test_what_rpm_itself_has_installed_is_read(tmp_path: Path) -> None:
    many = [rpm(f"p{n}", f"{n % 3}:1.{n}-1", files={f"/usr/share/p{n}/{i}": b"" for i in range(40)}) for n in range(60)]
    for package in many:
        (tmp_path / package.file_name).write_bytes(package.data())
    root = tmp_path / "root"
    root.mkdir()
    words = ["rpm", "--root", str(root), "--dbpath", "/usr/lib/sysimage/rpm", "--define", "_db_backend sqlite"]
    files = [str(tmp_path / p.file_name) for p in many]
    as_root = ["unshare", "--map-root-user"] if os.getuid() else []
    argv = [*as_root, *words, "-U", "--justdb", "--nodeps", "--nosignature", *files]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    folder = root / "usr/lib/sysimage/rpm"
    found = installed({f"usr/lib/sysimage/rpm/{p.name}": p.read_bytes() for p in folder.iterdir()})
    assert [(p.name, p.version) for p in found] == sorted((p.name, p.evr) for p in many)


HOSTILE = {
    "a view that never ends": (
        "CREATE VIEW Packages(hnum, blob) AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) "
        "SELECT x, x FROM c",
    ),
    "a virtual table": ("CREATE VIRTUAL TABLE Packages USING fts5(hnum, blob)",),
    "a column that is computed": (
        "CREATE TABLE Packages(hnum INTEGER, blob BLOB GENERATED ALWAYS AS (zeroblob(1000000000)) VIRTUAL)",
        "INSERT INTO Packages(hnum) VALUES (1)",
    ),
    "no such table": ("CREATE TABLE Other(x)",),
    "no such column": ("CREATE TABLE Packages(hnum INTEGER)",),
    "numbers for headers": ("CREATE TABLE Packages(hnum, blob)", "INSERT INTO Packages VALUES (1, 2)"),
    "text for headers": ("CREATE TABLE Packages(hnum, blob)", "INSERT INTO Packages VALUES (1, 'x')"),
    "a header that is none": ("CREATE TABLE Packages(hnum, blob)", "INSERT INTO Packages VALUES (1, x'0001')"),
}


@pytest.mark.parametrize("schema", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_database_is_refused_in_no_time(tmp_path: Path, schema: tuple[str, ...]) -> None:
    path = write_database(tmp_path / "db", [], schema, mode="DELETE")
    started = time.monotonic()
    with pytest.raises(MetadataError) as caught:
        packages(path)
    assert caught.value.reference == "bad-database"
    assert time.monotonic() - started < 20


def test_schema_that_is_no_text_is_refused(tmp_path: Path) -> None:
    data = write_database(tmp_path / "db", [blob(BASH)], mode="DELETE").read_bytes()
    assert b"tablePackages" in data
    with pytest.raises(MetadataError) as caught:
        installed({PLACE: data.replace(b"tablePackages", b"\xffablePackages")})
    assert caught.value.reference == "bad-database"


@pytest.mark.parametrize("name", ["Packages", "Packages.db"])
def test_database_of_an_older_form_is_named_as_such(name: str) -> None:
    with pytest.raises(MetadataError, match="old form"):
        installed({f"var/lib/rpm/{name}": b"\0\x05\x31\x62"})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("database") / "db"
    return write_database(path, [blob(BASH), *(blob(rpm(f"p{n}")) for n in range(20))]).read_bytes()


quick = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


@quick
@given(data=st.data())
def test_damaged_database_is_read_or_refused(whole: bytes, data: st.DataObject) -> None:
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + 4] = data.draw(st.binary(min_size=1, max_size=4))
    cut = damaged[: data.draw(st.integers(1, len(damaged)))] if data.draw(st.booleans()) else damaged
    with contextlib.suppress(MetadataError):
        installed({PLACE: bytes(cut), f"{PLACE}-wal": data.draw(st.binary(max_size=64))})


def test_purl_has_the_vendor_and_the_epoch_beside_the_version() -> None:
    (bash,) = (InstalledPackage("bash", "1:5.2~rc1-3.azl3", "x86_64", "bash", "5", "", ""),)
    assert purl(bash, "azurelinux", "3.0") == (
        "pkg:rpm/azurelinux/bash@5.2~rc1-3.azl3?arch=x86_64&distro=azurelinux-3.0&epoch=1"
    )
    plus = InstalledPackage("libstdc++", "13.2-1", "x86_64", "gcc", "13", "", "")
    assert purl(plus, "Edge-Microvisor-Toolkit", "") == (
        "pkg:rpm/edge-microvisor-toolkit/libstdc%2B%2B@13.2-1?arch=x86_64"
    )


@pytest.mark.parametrize(
    ("tag", "expression"),
    [
        ("MIT", "MIT"),
        ("GPL-2.0-or-later AND (MIT OR Apache-2.0)", "GPL-2.0-or-later AND (MIT OR Apache-2.0)"),
        ("gpl-2.0-only with classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("GPLv2+ and LGPLv2+ and MIT", "GPL-2.0-or-later AND LicenseRef AND MIT"),
        ("GPLv3+ or (ASL 2.0 and zlib)", "GPL-3.0-or-later OR Apache-2.0 AND Zlib"),
        ("(GPL+ or Artistic) and BSD", "(GPL-1.0-or-later OR LicenseRef) AND LicenseRef"),
        ("LGPLv2.1+, MPLv2.0, and ISC", "LGPL-2.1-or-later AND MPL-2.0 AND ISC"),
        ("AGPLv3", "AGPL-3.0-only"),
        ("Public Domain", "LicenseRef"),
        ("LicenseRef-Fedora-Public-Domain", "LicenseRef"),
        ("GPLv3+ with exceptions", "LicenseRef"),
        ("MIT and MIT", "MIT"),
        ("MIT and (", "LicenseRef"),
        ("and or", "LicenseRef"),
        ("(" * 500 + "MIT", "LicenseRef"),
        ("", None),
    ],
)
def test_licence_tag_is_an_spdx_expression_or_a_name_of_its_own(tag: str, expression: str | None) -> None:
    package = InstalledPackage("p", "1-1", "noarch", "p", "1-1", "", "", tag)
    found = family_for("rpm").licence(package, b"")
    if expression is None:
        assert found is None
        return
    assert found is not None
    words = found.expression.replace("(", "").replace(")", "").split()
    assert {w for w in words if w.startswith("LicenseRef")} == set(found.texts)
    said = found.expression
    for name in found.texts:
        said = said.replace(name, "LicenseRef")
    assert said == expression


def test_name_that_a_vendor_made_as_a_reference_stays_readable() -> None:
    found = read_licence("LicenseRef-Fedora-Public-Domain AND MIT")
    assert found is not None
    assert re.fullmatch("LicenseRef-Fedora-Public-Domain-[0-9a-f]{8} AND MIT", found.expression)


@quick
@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(["and", "or", "(", ")", "MIT", "GPLv2+", "with", ","])).map(" ".join)
)
def test_any_licence_tag_gives_an_expression(tag: str) -> None:
    package = InstalledPackage("p", "1-1", "noarch", "p", "1-1", "", "", tag)
    found = family_for("rpm").licence(package, b"")
    assert found is None or found.expression.count("(") == found.expression.count(")")


def test_header_of_a_thousand_languages_is_read(tmp_path: Path) -> None:
    many = rpm("many", tags={1004: (I18N, ["x" * 50] * 1000)})
    assert [p.name for p in packages(write_database(tmp_path / "db", [blob(many)]))] == ["many"]
