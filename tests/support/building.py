"""Builds in the background: what they say, and the moment in which something is done to them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from support.processes import MARKER
from support.workshop import CHECKOUT, TEMPLATE, Workshop


class Building:
    """A running `build --json-events` of a workshop; `said` is the file of its events."""

    def __init__(
        self, workshop: Workshop, said: Path, *words: str, template: Path = TEMPLATE, flags: Sequence[str] = ()
    ) -> None:
        """`words` are the verb's, `flags` those before it."""
        env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src"), MARKER: str(workshop.root)}
        self.said = said
        argv = workshop.argv(*flags, "build", "--json-events", *words, str(template))
        with said.open("wb") as out, said.with_suffix(".err").open("wb") as err:
            self.process = subprocess.Popen(argv, env=env, cwd=CHECKOUT, stdout=out, stderr=err)

    def events(self, name: str) -> list[dict[str, object]]:
        """The events of that name so far, in order; a line that is not whole yet is left out."""
        lines = self.said.read_text().splitlines(keepends=True)
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in events if event["event"] == name]

    def wait_for(self, name: str, step: str = "", seconds: float = 600) -> None:
        """Until an event of that name (and step) was told, or the build has ended."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and not any(e.get("step", "") == step for e in self.events(name)):
            assert time.monotonic() < end
            time.sleep(0.05)

    def finished(self, seconds: float = 900) -> subprocess.CompletedProcess[str]:
        """Its end, as `subprocess.run` gives it."""
        status = self.process.wait(seconds)
        errors = self.said.with_suffix(".err").read_text()
        return subprocess.CompletedProcess(self.process.args, status, self.said.read_text(), errors)
