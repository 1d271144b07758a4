"""A run that the host refuses says what `doctor` says, on hosts that really refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.container import as_ordinary_user, in_container
from support.workshop import CHECKOUT

pytestmark = as_ordinary_user

DOCTOR = [sys.executable, "-m", "os_image_composer", "doctor", "--json"]
RUN = """
import sys; from pathlib import Path
from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.job import Job, Tree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.id_range import ROOT_ID_RANGE
from os_image_composer.errors import SandboxError
try:
    Sandbox(IdMap.for_caller(ROOT_ID_RANGE), Path(sys.argv[1])).run(Job(Tree(), ("true",)))
except SandboxError as error:
    print(error.reference, error.hint, *error.detail, sep="\\n")
"""


def run_here(argv: list[str], home: Path) -> str:
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src"), "XDG_CACHE_HOME": str(home / "cache")}
    argv = ["setpriv", "--no-new-privs", *argv]
    return subprocess.run(argv, env=env, cwd=CHECKOUT, capture_output=True, text=True, timeout=60).stdout


def run_without_namespaces(argv: list[str], home: Path) -> str:
    forbid = ["sh", "-c", "echo 0 >/proc/sys/user/max_user_namespaces"]
    return in_container([forbid], argv, home=home, seconds=60).stdout


@pytest.mark.parametrize(
    ("where", "reference", "name"),
    [(run_here, "no-new-privs", "privileges"), (run_without_namespaces, "no-user-namespaces", "user namespaces")],
)
def test_refused_run_has_the_words_of_doctor(where: object, reference: str, name: str, tmp_path: Path) -> None:
    assert callable(where)
    checks = json.loads(where(DOCTOR, tmp_path))["checks"]
    (failed,) = (check for check in checks if check["state"] == "failed")
    assert failed["name"] == name
    said = where([sys.executable, "-c", RUN, str(tmp_path)], tmp_path)
    assert said.splitlines() == [reference, failed["mend"], f"{name}: {failed['found']}"]
