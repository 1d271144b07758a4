"""Where a repository is read from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from os_image_composer.config.distribution import Distribution, RepositoryData
from os_image_composer.config.distribution_data import load_distribution
from os_image_composer.config.settings import RepositorySettings
from os_image_composer.config.spec import RequestedSuite
from os_image_composer.errors import UsageError
from os_image_composer.ospackage.deb.apt_sources import host_mirrors
from os_image_composer.ospackage.mirrors import repositories_for


def apt(tmp_path: Path, **files: str) -> Path:
    parts = tmp_path / "apt/sources.list.d"
    parts.mkdir(parents=True)
    for name, text in files.items():
        (parts / name.replace("_", ".")).write_text(text)
    return tmp_path


def test_mirrors_are_found_in_deb822_sources(tmp_path: Path) -> None:
    etc = apt(
        tmp_path,
        debian_sources="""Types: deb
# a comment
URIs: http://mirror.invalid/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.invalid/debian-security/
Suites: bookworm-security
Components: main
""",
        other_sources="Types: deb\nURIs: https://vendor.invalid/apt\nSuites: any\nComponents: main\n",
    )
    assert host_mirrors(etc) == {
        "debian": "http://mirror.invalid/debian",
        "debian-security": "http://mirror.invalid/debian-security",
    }


def test_mirrors_are_found_in_one_line_sources_and_binary_ones_first(tmp_path: Path) -> None:
    etc = apt(
        tmp_path,
        a_list="""# deb http://commented.invalid/debian trixie main
deb-src http://source.invalid/debian trixie main
deb [arch=amd64 signed-by=/k.gpg] https://mirror.invalid/debian trixie main # end
deb file:///srv/debian trixie main
""",
    )
    assert host_mirrors(etc) == {"debian": "https://mirror.invalid/debian"}


def test_mirror_of_another_path_is_known_by_its_keyring(tmp_path: Path) -> None:
    etc = apt(
        tmp_path,
        a_list="deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://proxy.invalid/d13 trixie main\n"
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://proxy.invalid/s trixie-security main\n",
    )
    assert host_mirrors(etc) == {"debian": "http://proxy.invalid/d13", "debian-security": "http://proxy.invalid/s"}


def test_repository_of_a_vendor_that_ends_in_debian_is_not_taken_for_debians(tmp_path: Path) -> None:
    parts = tmp_path / "apt" / "sources.list.d"
    parts.mkdir(parents=True)
    (parts / "a-vendor.list").write_text(
        "deb [signed-by=/etc/apt/keyrings/vendor.asc] https://vendor.example/linux/debian trixie stable\n"
    )
    (parts / "debian.sources").write_text(
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )
    assert host_mirrors(tmp_path) == {"debian": "http://mirror.example/debian"}


def test_mirror_list_of_a_cloud_image_is_followed(tmp_path: Path) -> None:
    (tmp_path / "apt" / "mirrors").mkdir(parents=True)
    (tmp_path / "apt" / "mirrors" / "debian.list").write_text("# first\nhttps://mirror.example/debian priority:1\n")
    parts = tmp_path / "apt" / "sources.list.d"
    parts.mkdir()
    (parts / "debian.sources").write_text(
        "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: trixie\nComponents: main\n"
    )
    assert host_mirrors(tmp_path) == {"debian": "https://mirror.example/debian"}


def test_disabled_and_malformed_sources_count_as_not_there(tmp_path: Path) -> None:
    etc = apt(
        tmp_path,
        a_sources="Enabled: no\nTypes: deb\nURIs: http://off.invalid/debian\nSuites: trixie\n",
        b_sources="rubbish without a colon\n",
    )
    assert host_mirrors(etc) == {}
    assert host_mirrors(tmp_path / "nowhere") == {}


def distribution(url: str | None) -> Distribution:
    repository = RepositoryData(
        "debian",
        "debian",
        url,
        ("trixie",),
        ("main",),
        ("AB" * 20,),
        (Path("/data.pgp"),),
        500,
        "https://v/key",
    )
    known = load_distribution("debian", "debian13", "x86_64", Path(__file__).parents[2] / "config")
    return replace(known, repositories=(repository,))


def test_mirror_of_the_settings_comes_before_the_data_and_the_host() -> None:
    host = {"debian": "http://host.invalid"}
    (by_settings,) = repositories_for(distribution("http://data.invalid"), {"debian": ("http://mine.invalid/",)}, host)
    (by_data,) = repositories_for(distribution("http://data.invalid"), {}, host)
    (by_host,) = repositories_for(distribution(None), {}, host)
    assert [r.url for r in (by_settings, by_data, by_host)] == [
        "http://mine.invalid", "http://data.invalid", "http://host.invalid",
    ]  # fmt: skip


def test_trust_of_the_settings_takes_the_place_of_the_datas() -> None:
    mine = RepositorySettings(("CD" * 20,), Path("/mine.pgp"), True)
    known = distribution("http://x.invalid")
    for name in ("debian", "debian13"):
        (own,) = repositories_for(known, {}, {}, {name: mine})
        assert (own.fingerprints, own.keyrings, own.key_url) == (("CD" * 20,), (Path("/mine.pgp"),), None)
        assert own.accept_older_metadata
    (data,) = repositories_for(known, {}, {}, {"debian12": mine})
    assert (data.fingerprints, data.keyrings, data.key_url) == (("AB" * 20,), (Path("/data.pgp"),), "https://v/key")
    (pinned,) = repositories_for(known, {}, {}, {"debian13": RepositorySettings(("CD" * 20,))})
    assert (pinned.fingerprints, pinned.keyrings, pinned.key_url) == (
        ("CD" * 20,), (Path("/data.pgp"),), "https://v/key",
    )  # fmt: skip


def with_backports(priority: int | None = None) -> list[tuple[str, tuple[str, ...], int | None]]:
    known = load_distribution("debian", "debian12", "x86_64", Path(__file__).parents[2] / "config")
    urls = {name: (f"http://{name}.invalid",) for name in ("debian", "debian-security")}
    asked = [RequestedSuite("bookworm-backports", priority), RequestedSuite("bookworm-updates", priority)]
    return [(r.name, r.suites, r.priority) for r in repositories_for(known, urls, {}, {}, asked)]


def test_suite_that_is_off_is_read_when_a_template_names_it() -> None:
    usual = [("debian", ("bookworm", "bookworm-updates"), None), ("debian-security", ("bookworm-security",), None)]
    assert with_backports() == [*usual, ("debian-backports", ("bookworm-backports",), None)]
    known = load_distribution("debian", "debian12", "x86_64", Path(__file__).parents[2] / "config")
    host = {"debian": "http://a.invalid", "debian-security": "http://b.invalid"}
    assert [(r.name, r.suites, r.priority) for r in repositories_for(known, {}, host)] == usual


def test_priority_of_a_template_is_for_the_suite_that_it_names() -> None:
    assert with_backports(700) == [
        ("debian", ("bookworm",), None),
        ("debian", ("bookworm-updates",), 700),
        ("debian-security", ("bookworm-security",), None),
        ("debian-backports", ("bookworm-backports",), 700),
    ]


def test_missing_mirror_names_the_setting_and_the_flag() -> None:
    with pytest.raises(UsageError) as caught:
        repositories_for(distribution(None), {}, {})
    assert caught.value.reference == "no-mirror"
    assert "--mirror debian=URL" in str(caught.value.hint)
    assert "mirrors" in str(caught.value.hint)
