"""How a verdict is told."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from os_image_composer.boot.record import record_verdict, verdict_file
from os_image_composer.boot.report import Answer
from os_image_composer.boot.verdict import Evidence, judge
from os_image_composer.cli.boot import exit_code, verdict_json, verdict_lines

FIRMWARE = "BdsDxe: starting Boot0001"
GOOD = tuple(
    Answer(name, 0, output)
    for name, output in (
        ("state", "running"),
        ("default-target", "multi-user.target"),
        ("target-active", "active"),
        ("end", ""),
    )
)


def evidence(console: tuple[str, ...], answers: tuple[Answer, ...] = ()) -> Evidence:
    return Evidence(console, answers, 33.3, bool(answers), "not within 300 s")


@pytest.mark.parametrize(
    ("seen", "code", "level"),
    [
        (evidence((), GOOD), 0, "self-report"),
        (evidence((FIRMWARE, "lab login: ")), 0, "console"),
        (evidence((FIRMWARE, "[FAILED] Failed to start x.service - X.", "lab login: ")), 1, "console"),
        (evidence((FIRMWARE,)), 3, "alive"),
        (evidence(()), 1, "nothing"),
    ],
)
def test_the_exit_code_tells_passed_failed_and_alive_apart(seen: Evidence, code: int, level: str) -> None:
    verdict = judge(seen)
    assert exit_code(verdict) == code
    assert f"(level: {level})" in next(verdict_lines(verdict))


def test_a_boot_that_did_not_pass_shows_the_end_of_the_console() -> None:
    lines = list(verdict_lines(judge(evidence((FIRMWARE, *(f"line {i}" for i in range(100)))))))
    assert lines[-1] == "  | line 99"
    assert len(lines) < 30


def test_the_verdict_is_json_with_its_level() -> None:
    value = json.loads(json.dumps(verdict_json(judge(evidence((), GOOD)))))
    assert (value["level"], value["passed"], value["defaultTarget"]) == ("self-report", True, "multi-user.target")


def test_a_verdict_names_the_image_that_was_booted_and_replaces_the_last_one(tmp_path: Path) -> None:
    image = tmp_path / "edge-1.0.raw"
    image.write_bytes(b"an image")
    assert verdict_file(image) is None  # somebody else's image, and folder
    (tmp_path / "edge-1.0.manifest.json").write_text("{}")
    file = verdict_file(image)
    assert file == tmp_path / "edge-1.0.verdict.json"
    assert verdict_file(tmp_path / "edge-1.0.qcow2") == tmp_path / "edge-1.0.qcow2.verdict.json"
    for seen in (evidence((FIRMWARE,)), evidence((), GOOD)):
        record_verdict(image, file, verdict_json(judge(seen)), 0)
    kept = json.loads(file.read_text())
    assert kept["sha256"] == hashlib.sha256(b"an image").hexdigest()
    assert kept["checkedAt"] == "1970-01-01T00:00:00Z"
    assert kept["verdict"]["level"] == "self-report"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["edge-1.0.manifest.json", image.name, file.name]
