"""`config`: which settings count, where each came from, and a file to begin with."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from os_image_composer.config.settings import load_settings
from os_image_composer.config.settings_example import EXAMPLE
from os_image_composer.config.settings_file import (
    IdRangeSection,
    LoggingSection,
    NetworkSection,
    SettingsFile,
    ToolsArchiveSection,
)
from os_image_composer.config.yaml_source import MappingNode, parse_yaml

Composer = Callable[..., subprocess.CompletedProcess[str]]
UNCOMMENTED = re.sub(r"(?m)^#(?=  |[a-z])", "", EXAMPLE)


def shown(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[object, str]]:
    assert done.returncode == 0, done.stderr
    return {key: (row["value"], row["from"]) for key, row in json.loads(done.stdout).items()}


def test_every_setting_is_shown_with_the_place_it_came_from(composer: Composer, tmp_path: Path) -> None:
    file = tmp_path / "settings.yml"
    file.write_text("work_dir: /srv/images\nmirrors:\n  debian: https://mirror.example/debian\n")
    settings = shown(composer("--config", file, "--workers", 3, "config", "show", "--json"))
    assert settings["work_dir"] == ("/srv/images", f"{file}:1:11")
    assert settings["mirrors"] == ({"debian": ["https://mirror.example/debian"]}, f"{file}:2:1")
    assert settings["workers"] == (3, "command line")
    assert settings["metadata_max_age"] == (24, "built in")


def test_a_variable_of_the_environment_is_named(
    composer: Composer, tmp_path: Path, environment: dict[str, str]
) -> None:
    environment["XDG_CACHE_HOME"] = str(tmp_path / "elsewhere")
    settings = shown(composer("config", "show", "--json"))
    assert settings["cache_dir"] == (f"{tmp_path}/elsewhere/os-image-composer", "$XDG_CACHE_HOME")


def test_flags_win_over_the_file_and_the_file_over_what_is_built_in(composer: Composer, tmp_path: Path) -> None:
    file = tmp_path / "settings.yml"
    file.write_text("metadata_max_age: 5\ntemp_dir: /var/tmp/oic\n")
    words = ("--config", file, "--metadata-max-age", 0, "--config-dir", tmp_path, "config", "show", "--json")
    settings = shown(composer(*words))
    assert settings["metadata_max_age"] == (0, "command line")
    assert settings["config_dir"] == (str(tmp_path), "command line")
    assert settings["temp_dir"] == ("/var/tmp/oic", f"{file}:2:11")


def test_the_table_has_a_line_for_every_setting(composer: Composer) -> None:
    done = composer("config", "show")
    assert done.stdout.startswith("settings file  none\n")
    assert re.search(r"(?m)^logging\.level +info +\(built in\)$", done.stdout)


def test_credentials_are_named_by_their_file_and_not_read(composer: Composer, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine mirror.example login me password hush-hush\n")
    netrc.chmod(0o600)
    file = tmp_path / "settings.yml"
    file.write_text(f"network: {{credentials: {netrc}}}\n")
    done = composer("--config", file, "config", "show")
    assert str(netrc) in done.stdout
    assert "hush" not in done.stdout


def test_init_writes_a_file_that_changes_nothing_and_never_overwrites_one(composer: Composer, tmp_path: Path) -> None:
    done = composer("config", "init")
    file = tmp_path / ".config" / "os-image-composer" / "config.yml"
    assert (done.returncode, done.stdout) == (0, f"{file}\n")
    assert file.read_text() == EXAMPLE
    file.write_text("workers: 2\n")
    again = composer("config", "init")
    assert again.returncode == 2
    assert "file-exists" in again.stderr
    assert file.read_text() == "workers: 2\n"
    assert composer("config", "init", tmp_path / "new" / "own.yml").returncode == 0


def test_the_written_file_names_every_setting_and_reads_without_its_comment_marks(tmp_path: Path) -> None:
    node = parse_yaml(UNCOMMENTED, "example")
    assert {entry.key for entry in node.entries} == set(SettingsFile.model_fields)
    for section, model in (
        ("logging", LoggingSection),
        ("network", NetworkSection),
        ("root_id_range", IdRangeSection),
        ("image_tools", ToolsArchiveSection),
    ):
        found = node.get(section)
        assert isinstance(found, MappingNode)
        assert {entry.key for entry in found.entries} == set(model.model_fields)
    file = tmp_path / "all.yml"
    file.write_text(UNCOMMENTED)
    settings = load_settings(file, {"HOME": str(tmp_path)}, tmp_path)
    assert settings.cache_dir == tmp_path / ".cache" / "os-image-composer"


def test_the_written_file_says_nothing_as_it_is(composer: Composer, tmp_path: Path) -> None:
    file = Path(composer("config", "init", tmp_path / "own.yml").stdout.strip())
    done = composer("--config", file, "config", "show")
    assert done.returncode == 0, done.stderr
