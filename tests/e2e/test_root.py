"""As root the build takes the same path, with ids of a range from the settings, and gives the same bits."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

from support.commands import Told, told
from support.workshop import CHECKOUT, TEMPLATE, Workshop, remove_workshop

pytestmark = [pytest.mark.root, pytest.mark.build]


def ordinary_user() -> pwd.struct_passwd:
    """The account that scripts/test runs tests as, or any other with subordinate ids."""
    names = [line.split(":")[0] for line in Path("/etc/subuid").read_text().splitlines()]
    return pwd.getpwnam(os.environ.get("OIC_TEST_USER", names[-1]))


def build_as(user: pwd.struct_passwd, workshop: Workshop, template: Path) -> Told:
    shutil.copytree(CHECKOUT / "src", workshop.root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(CHECKOUT / "config", workshop.root / "config")
    for path in (workshop.root, *workshop.root.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    env = {**os.environ, "PYTHONPATH": str(workshop.root / "src"), "HOME": user.pw_dir, "USER": user.pw_name}
    done = subprocess.run(
        workshop.argv("build", "--json-events", str(template)),
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        umask=0o077,
        cwd=workshop.root,
        env=env,
        capture_output=True,
        text=True,
        timeout=900,
    )
    return told(done)


@pytest.mark.timeout(1200)
def test_root_and_an_ordinary_user_get_the_same_image(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = Workshop(tmp_path_factory.mktemp("root"))
    # Without a password: its salt is random, and so is the hash.
    text = "\n".join(line for line in TEMPLATE.read_text().splitlines() if "password:" not in line)
    template = root.root / "template.yml"
    template.write_text(text)
    ours = told(root.run("build", "--json-events", str(template)))

    shared = Path("/var/tmp") / f"oic-{os.getpid()}"
    user = Workshop(shared)
    shared.mkdir()
    try:
        shutil.copyfile(template, shared / "template.yml")
        for name in ("locks", "packages"):
            shutil.copytree(root.cache / name, user.cache / name)
        theirs = build_as(ordinary_user(), user, shared / "template.yml")
        assert "disk" in ours.ran and "disk" in theirs.ran
        assert theirs.sha256 == ours.sha256
        layers = [path.parent for path in (root.cache / "store" / "results").glob("*/content/etc")]
        assert layers
        assert all(layer.stat().st_uid != 0 for layer in layers)
    finally:
        remove_workshop(root)
        shutil.rmtree(shared, ignore_errors=True)
