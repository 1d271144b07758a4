from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.network import ClientCertificate, Network
from os_image_composer.config.settings import (
    IdRange,
    RepositorySettings,
    ToolsArchiveSetting,
    load_settings,
    settings_file,
)
from os_image_composer.errors import UsageError

Write = Callable[..., Path]


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment whose home is empty."""
    (tmp_path / "home").mkdir()
    return {"HOME": str(tmp_path / "home")}


def own(home: dict[str, str]) -> str:
    return str(Path(home["HOME"], ".config/os-image-composer/config.yml"))


def test_without_a_file_the_defaults_count(home: dict[str, str], tmp_path: Path) -> None:
    settings = load_settings(None, home, tmp_path)
    cache = tmp_path / "home/.cache/os-image-composer"
    assert (settings.cache_dir, settings.temp_dir) == (cache, cache / "tmp")
    assert settings.work_dir == tmp_path / "workspace"
    assert 1 <= settings.workers <= 64
    assert (settings.config_dir / "osv" / "image-tools.yml").is_file()
    assert (settings.metadata_max_age, settings.logging.level, settings.file) == (24, "info", None)
    assert set(settings.sources.values()) == {"built in"}


def test_the_order_of_settings_files(home: dict[str, str], tmp_path: Path, write: Write) -> None:
    home_file = write("workers: 1\n", own(home))
    xdg_file = write("workers: 2\n", "xdg/os-image-composer/config.yml")
    variable_file = write("workers: 3\n", "variable.yml")
    explicit = write("workers: 4\n", "explicit.yml")
    with_xdg = {**home, "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    with_variable = {**with_xdg, "OS_IMAGE_COMPOSER_CONFIG": str(variable_file)}
    found = [
        settings_file(None, home, tmp_path),
        settings_file(None, with_xdg, tmp_path),
        settings_file(None, with_variable, tmp_path),
        settings_file(explicit, with_variable, tmp_path),
    ]
    assert found == [home_file, xdg_file, variable_file, explicit]
    assert [load_settings(path, home, tmp_path).workers for path in found] == [1, 2, 3, 4]


def test_a_relative_xdg_folder_is_ignored(home: dict[str, str], tmp_path: Path) -> None:
    settings = load_settings(None, {**home, "XDG_CACHE_HOME": "cache"}, tmp_path)
    assert settings.cache_dir == tmp_path / "home/.cache/os-image-composer"


def test_the_shared_cache_variable_counts_and_is_named(home: dict[str, str], tmp_path: Path) -> None:
    settings = load_settings(None, {**home, "XDG_CACHE_HOME": "/big"}, tmp_path)
    assert settings.cache_dir == Path("/big/os-image-composer")
    assert settings.sources["cache_dir"] == "$XDG_CACHE_HOME"


@pytest.mark.parametrize("by", ["--config", "$OS_IMAGE_COMPOSER_CONFIG"])
def test_a_file_that_was_asked_for_must_exist(home: dict[str, str], tmp_path: Path, by: str) -> None:
    absent = tmp_path / "absent.yml"
    environment = {**home, "OS_IMAGE_COMPOSER_CONFIG": str(absent)} if by.startswith("$") else home
    with pytest.raises(UsageError, match="does not exist") as caught:
        load_settings(absent if by == "--config" else None, environment, tmp_path)
    assert caught.value.cause == f"{by} names it"


def test_every_key_is_read_and_says_where_it_stood(home: dict[str, str], tmp_path: Path, write: Write) -> None:
    path = write(
        """\
workers: 3
config_dir: /data
cache_dir: ~/cache
work_dir: out
temp_dir: /scratch
logging: {level: warn, file: log.txt}
mirrors: {debian: "https://mirror.example/debian/"}
repositories:
  debian13: {keyring: ~/keys.pgp, fingerprints: ["04b5 4c3c dca7 9751 b16b  c6b5 2256 29df 75b1 88bd"]}
network:
  http_proxy: http://proxy.example:3128
  https_proxy: ""
  no_proxy: [.example, 10.0.0.0/8]
  ca_bundle: ca.pem
  credentials: ~/netrc
  client_certificate: {certificate: /c.pem, key: /k.pem}
  timeout: 7
metadata_max_age: 6
root_id_range: {start: 500000}
image_tools: {archive: ~/tools.tar, sha256: '0101010101010101010101010101010101010101010101010101010101010101'}
"""
    )
    settings = load_settings(path, home, tmp_path)
    assert settings.workers == 3
    assert settings.config_dir == Path("/data")
    assert settings.cache_dir == tmp_path / "home/cache"
    assert settings.work_dir == tmp_path / "out"
    assert settings.temp_dir == Path("/scratch")
    assert (settings.logging.level, settings.logging.file) == ("warning", tmp_path / "log.txt")
    assert settings.mirrors == {"debian": ("https://mirror.example/debian",)}
    fingerprint = "04B54C3CDCA79751B16BC6B5225629DF75B188BD"
    assert settings.repositories == {"debian13": RepositorySettings((fingerprint,), tmp_path / "home/keys.pgp")}
    assert settings.network == Network(
        "http://proxy.example:3128",
        None,
        (".example", "10.0.0.0/8"),
        tmp_path / "ca.pem",
        tmp_path / "home/netrc",
        ClientCertificate(Path("/c.pem"), Path("/k.pem")),
        7,
    )
    assert settings.metadata_max_age == 6
    assert settings.root_id_range == IdRange(500000, 65536)
    assert settings.image_tools == ToolsArchiveSetting(tmp_path / "home/tools.tar", "01" * 32)
    assert settings.file == path
    assert settings.sources["workers"] == f"{path}:1:10"
    assert settings.sources["logging.file"] == f"{path}:6:30"
    assert settings.sources["mirrors"] == f"{path}:7:1"
    assert set(settings.sources) == set(load_settings(None, home, tmp_path).sources)


@pytest.mark.parametrize(
    ("text", "reference", "place", "hint"),
    [
        ("worker: 2\n", "unknown-key", "1:1", "did you mean 'workers'?"),
        ("logging:\n  lvel: info\n", "unknown-key", "2:3", "did you mean 'level'?"),
        ("workers: 0\n", "wrong-value", "1:10", "1 to 64"),
        ("workers: 65\n", "wrong-value", "1:10", "1 to 64"),
        ("workers: two\n", "wrong-type", "1:10", None),
        ("logging: {level: debgu}\n", "wrong-value", "1:18", None),
        ("root_id_range: {start: 1000}\n", "wrong-value", "1:24", None),
        ("root_id_range: {start: 2147483647}\n", "wrong-value", "1:24", None),
        ("repositories: {x: {keyring: [a]}}\n", "wrong-type", "1:20", None),
        (
            "repositories: {x: {fingerprints: [75B188BD]}}\n",
            "wrong-value",
            "1:35",
            "the 40 hex digits of the primary key, not a key id",
        ),
        ("network: {https_proxy: 'ftp://proxy'}\n", "wrong-value", "1:24", None),
        ("network: {https_proxy: 'http://proxy/path'}\n", "wrong-value", "1:24", None),
        ("network: {no_proxy: ['https://host']}\n", "wrong-value", "1:22", None),
        ("network: {timeout: 0}\n", "wrong-value", "1:20", "1 to 3600"),
        ("mirrors: {debian: []}\n", "wrong-value", "1:11", None),
        ("mirrors: {debian: ['http://a', 'ftp://b']}\n", "wrong-value", "1:32", None),
        ("cache_dir: ~other/x\n", "wrong-value", "1:12", "write the path in full"),
        ("mirrors:\n  debian: ftp://mirror.example\n", "wrong-value", "2:11", None),
        ("mirrors:\n  debian: https://\n", "wrong-value", "2:11", None),
        ("mirrors:\n  debian: https://mirror.example:port/\n", "wrong-value", "2:11", None),
        ("mirrors:\n  debian: https://mirror.example/?a=b\n", "wrong-value", "2:11", None),
    ],
)
def test_a_wrong_setting_is_found_in_its_place(
    home: dict[str, str], tmp_path: Path, write: Write, text: str, reference: str, place: str, hint: str | None
) -> None:
    path = write(text)
    with pytest.raises(UsageError) as caught:
        load_settings(path, home, tmp_path)
    (finding,) = caught.value.findings
    assert (finding.reference, str(finding.origin)) == (reference, f"{path}:{place}")
    if hint:
        assert finding.hint == hint


@pytest.mark.parametrize("url", ["https://user:hunter2@mirror.example/", "https://hunter2@mirror.example/"])
def test_credentials_in_a_mirror_are_refused_and_not_repeated(
    home: dict[str, str], tmp_path: Path, write: Write, url: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(write(f"mirrors: {{debian: '{url}'}}\n"), home, tmp_path)
    assert "hunter2" not in str(caught.value) + str(caught.value.findings)
    with pytest.raises(UsageError) as caught:
        load_settings(None, home, tmp_path).with_overrides(mirrors={"debian": (url,)})
    assert "hunter2" not in str(caught.value)


def test_a_mirror_may_be_a_list_that_is_tried_in_order(home: dict[str, str], tmp_path: Path, write: Write) -> None:
    path = write("mirrors:\n  debian: ['http://a/', 'http://b', 'http://a']\n  other: http://c\n")
    settings = load_settings(path, home, tmp_path)
    assert settings.mirrors == {"debian": ("http://a", "http://b"), "other": ("http://c",)}


def test_credentials_in_a_proxy_are_refused_and_not_repeated(
    home: dict[str, str], tmp_path: Path, write: Write
) -> None:
    url = "http://me:hunter2@proxy.example:3128"
    with pytest.raises(UsageError) as caught:
        load_settings(write(f"network: {{https_proxy: '{url}'}}\n"), home, tmp_path)
    assert "hunter2" not in str(caught.value)
    assert "credentials" in str(caught.value.hint)
    with pytest.raises(UsageError) as caught:
        load_settings(None, {**home, "https_proxy": url}, tmp_path)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
    assert "https_proxy" in caught.value.message


def test_proxies_of_the_environment_count_where_the_file_says_nothing(
    home: dict[str, str], tmp_path: Path, write: Write
) -> None:
    environment = {
        **home, "http_proxy": "one:1", "ALL_PROXY": "http://two:2", "NO_PROXY": "a.example, .b", "HTTP_PROXY": "evil:3",
    }  # fmt: skip
    settings = load_settings(None, environment, tmp_path)
    assert settings.network == Network("http://one:1", "http://two:2", ("a.example", ".b"))
    assert settings.sources["network.https_proxy"] == "$ALL_PROXY"
    settings = load_settings(write("network: {https_proxy: '', no_proxy: []}\n"), environment, tmp_path)
    assert settings.network == Network("http://one:1", None, ())


@pytest.mark.parametrize(
    ("entry", "url", "direct"),
    [
        ("example.org", "https://example.org/x", True),
        ("example.org", "https://mirror.Example.org/x", True),
        (".example.org", "http://mirror.example.org", True),
        ("*.example.org", "http://mirror.example.org", True),
        ("example.org", "https://badexample.org", False),
        ("example.org:8080", "http://example.org", False),
        ("example.org:8080", "http://example.org:8080", True),
        ("10.0.0.0/8", "http://10.1.2.3", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("10.0.0.0/8", "http://ten.example", False),
        ("127.0.0.1", "http://127.0.0.1:99", True),
        ("::1", "http://[::1]/", True),
        ("fd00::/8", "https://[fd12::1]/", True),
        ("*", "https://any.example", True),
    ],
)
def test_what_is_reached_without_a_proxy(entry: str, url: str, direct: bool) -> None:
    network = Network("http://proxy:1", "http://proxy:1", (entry,))
    assert (network.proxy_for(url) is None) == direct


def test_the_command_line_goes_over_the_file(home: dict[str, str], tmp_path: Path, write: Write) -> None:
    path = write("workers: 3\ncache_dir: /a\nmirrors: {one: 'http://a', two: 'http://b'}\n")
    settings = load_settings(path, home, tmp_path)
    changed = settings.with_overrides(workers=5, log_level="debug", mirrors={"two": ("http://c/",)})
    assert (changed.workers, changed.cache_dir, changed.logging.level) == (5, Path("/a"), "debug")
    assert changed.mirrors == {"one": ("http://a",), "two": ("http://c",)}
    assert changed.sources["workers"] == "command line"
    assert changed.sources["cache_dir"] == f"{path}:2:12"
    assert settings.with_overrides() == settings


def test_temporary_files_stay_beside_the_cache_unless_told_otherwise(
    home: dict[str, str], tmp_path: Path, write: Write
) -> None:
    settings = load_settings(None, home, tmp_path)
    assert settings.with_overrides(cache_dir=Path("/b")).temp_dir == Path("/b/tmp")
    told = load_settings(write("temp_dir: /t\n"), home, tmp_path)
    assert told.with_overrides(cache_dir=Path("/b")).temp_dir == Path("/t")
    assert load_settings(write("cache_dir: /c\n"), home, tmp_path).temp_dir == Path("/c/tmp")


@pytest.mark.parametrize("workers", [0, 65, -1])
def test_the_command_lines_workers_have_the_same_bounds(home: dict[str, str], tmp_path: Path, workers: int) -> None:
    with pytest.raises(UsageError):
        load_settings(None, home, tmp_path).with_overrides(workers=workers)


@pytest.mark.parametrize(
    ("text", "reference", "column"),
    [
        ("target", "not-built-yet", 14),
        ("host", "not-built-yet", 14),
        ("fedora", "wrong-value", 14),
        ("{archive: a.tar}", "missing-key", 1),
        ("{archive: a.tar, sha256: abc}", "wrong-value", 39),
        ("{archive: a.tar, sha256: '" + "AB" * 32 + "'}", "wrong-value", 39),
        ("{archive: a.tar, sha256: '" + "ab" * 32 + "', url: x}", "unknown-key", 107),
    ],
)
def test_source_of_the_image_tools_that_is_not_there_is_refused_by_name(
    home: dict[str, str], tmp_path: Path, write: Write, text: str, reference: str, column: int
) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(write(f"image_tools: {text}\n"), home, tmp_path)
    (finding,) = caught.value.findings
    assert finding.origin is not None
    assert (finding.reference, finding.origin.column) == (reference, column)


def test_debian_is_the_word_for_image_tools_without_an_archive(
    home: dict[str, str], tmp_path: Path, write: Write
) -> None:
    assert load_settings(write("image_tools: debian\n"), home, tmp_path).image_tools == "debian"
    assert load_settings(None, home, tmp_path).image_tools == "debian"
