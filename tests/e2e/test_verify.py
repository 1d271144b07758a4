"""`build --verify`: a second build from an empty store, and what is said when it gives other bits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.workshop import TEMPLATE, Workshop

pytestmark = [pytest.mark.build, pytest.mark.matrix, pytest.mark.timeout(1800)]

COMMANDS = """\
  configurations:
    - cmd: date +%N > /etc/stamp
    - cmd: head -c 16 /dev/urandom > /etc/noise && chmod 600 /etc/noise
    - cmd: date > /etc/made && cp -a /etc/made /etc/made-too

  users:"""


def left(workshop: Workshop) -> set[str]:
    """What lies in the cache beside results."""
    return {p.name for p in workshop.cache.iterdir()} | {f"tmp/{p.name}" for p in (workshop.cache / "tmp").iterdir()}


def verified(manifest: Path) -> dict[str, object]:
    value: dict[str, object] = json.loads(manifest.read_text())["build"]["verified"]
    return value


def test_sample_is_the_same_when_built_again_from_an_empty_store(workshop: Workshop) -> None:
    assert workshop.run("build", "--quiet", str(TEMPLATE)).returncode == 0
    before = left(workshop)
    image = workshop.image().stat()
    done = workshop.run("build", "--verify", str(TEMPLATE))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a second build from an empty store gave the same bits" in done.stdout
    assert verified(workshop.image().with_suffix(".manifest.json"))["equal"] is True
    assert left(workshop) == before
    assert (workshop.image().stat().st_ino, workshop.image().stat().st_mtime_ns) == (image.st_ino, image.st_mtime_ns)


def test_command_that_writes_the_time_or_random_bytes_is_found_with_its_step_and_the_likely_reason(
    workshop: Workshop, tmp_path: Path
) -> None:
    template = tmp_path / "stamped.yml"
    template.write_text(TEMPLATE.read_text().replace("  users:", COMMANDS))
    out = tmp_path / "out"
    done = workshop.run("build", "--json-events", "--verify", "--output", str(out), str(template))
    assert done.returncode == 1
    error = json.loads(done.stdout.splitlines()[-1])
    assert error["reference"] == "not-reproducible"
    lines = [line for line in error["detail"] if ": content differs: " in line]
    found = {line.split(": ")[1]: line for line in lines}
    assert all(line.startswith("step os-configuration: ") for line in error["detail"])
    assert set(found) == {"/etc/stamp", "/etc/noise", "/etc/made", "/etc/made-too"}
    assert "nanoseconds" in found["/etc/stamp"]
    assert "look random" in found["/etc/noise"]
    assert "the time of the build" in found["/etc/made"]
    (manifest,) = out.glob("*.manifest.json")
    assert verified(manifest) | {"seconds": 0} == {"equal": False, "seconds": 0, "differences": error["detail"]}
    assert not list((workshop.cache / "tmp").glob("????????????????"))
