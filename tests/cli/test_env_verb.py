"""`env export` as its user meets it, and where the other verbs show the archive that the settings name."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.settings import ToolsArchiveSetting, load_settings
from support.small_archive import SmallArchive, small_archive

Composer = Callable[..., subprocess.CompletedProcess[str]]
BODY = "systemConfig: {packages: [openssh-server]}\n"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> SmallArchive:
    return small_archive(tmp_path_factory.mktemp("archive"))


def test_what_is_printed_are_settings_with_which_plan_and_config_name_the_archive(
    composer: Composer, archive: SmallArchive, tmp_path: Path
) -> None:
    file = tmp_path / "with: 'odd' #name.tar"
    done = composer("--config", archive.settings, "env", "export", file)
    assert done.returncode == 0, done.stderr
    settings = tmp_path / "settings.yml"
    settings.write_text(archive.settings.read_text() + done.stdout)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert load_settings(settings, {}, tmp_path).image_tools == ToolsArchiveSetting(file, digest)
    plan = composer("--config", settings, "plan", archive.template(BODY))
    assert plan.stdout.endswith(f"\nimage tools: from {file}\n")
    as_json = json.loads(composer("--config", settings, "plan", "--json", archive.template(BODY)).stdout)
    assert as_json["imageTools"] == {"source": "archive", "archive": str(file), "sha256": digest}
    shown = json.loads(composer("--config", settings, "config", "show", "--json").stdout)
    assert shown["image_tools"]["value"] == {"archive": str(file), "sha256": digest}


def test_an_archive_that_is_not_what_was_pinned_is_told_by_doctor_and_ends_an_export(
    composer: Composer, archive: SmallArchive, tmp_path: Path
) -> None:
    settings = tmp_path / "settings.yml"
    (tmp_path / "tools.tar").write_bytes(b"something else")
    named = f"image_tools: {{archive: {tmp_path}/tools.tar, sha256: {'ab' * 32}}}\n"
    settings.write_text(archive.settings.read_text() + named)
    checks = json.loads(composer("--config", settings, "doctor", "--json").stdout)["checks"]
    (check,) = (c for c in checks if c["name"] == "image tools")
    assert (check["state"], "wrong-tools-archive" in check["found"]) == ("failed", True)
    done = composer("--config", settings, "env", "export", tmp_path / "again.tar")
    assert (done.returncode, "error[wrong-tools-archive]" in done.stderr) == (1, True)
    assert not (tmp_path / "again.tar").exists()
