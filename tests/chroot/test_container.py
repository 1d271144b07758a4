"""Inside a container: a user namespace of the caller's ids, own processes and mounts, a root of its own."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

from support.container import as_ordinary_user, in_container, tmpfs
from support.workshop import CHECKOUT

pytestmark = as_ordinary_user

DOCTOR = [sys.executable, "-m", "os_image_composer", "--cache-dir", "/volume/cache", "doctor", "--self-test", "--json"]


def new_root(root: Path, volume: Path) -> list[list[object]]:
    """A root in memory with the host's programs, this checkout and a volume for the store; nothing else of the host."""
    shown = {"/usr", "/etc", str(CHECKOUT), sys.prefix, sys.base_prefix, str(Path(sys.prefix).resolve())}
    shown |= {sysconfig.get_paths()["purelib"]}
    commands: list[list[object]] = [["mkdir", root, volume], tmpfs(root, 50)]
    commands += [["mkdir", "-p", f"{root}/{name}"] for name in ("proc", "dev", "tmp", "volume")]
    for path in sorted(shown):
        commands += [["mkdir", "-p", f"{root}{path}"], ["mount", "--rbind", path, f"{root}{path}"]]
    commands += [["ln", "-s", f"usr/{name}", f"{root}/{name}"] for name in ("bin", "sbin", "lib", "lib64")]
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        commands += [["touch", f"{root}/dev/{name}"], ["mount", "--bind", f"/dev/{name}", f"{root}/dev/{name}"]]
    commands += [["mount", "--bind", volume, f"{root}/volume"], ["mount", "-t", "proc", "proc", f"{root}/proc"]]
    # As engines do it: the old root is nowhere any more.
    return [*commands, ["cd", root], ["pivot_root", ".", "."], ["umount", "-l", "."], ["cd", "/"]]


def test_self_test_passes_as_root_of_a_container_with_its_store_on_a_volume(tmp_path: Path) -> None:
    done = in_container(new_root(tmp_path / "root", tmp_path / "volume"), DOCTOR, home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    states = {check["name"]: check["state"] for check in json.loads(done.stdout)["checks"]}
    assert states["subordinate ids"] == states["store"] == states["self-test: killed build"] == "ok"


def test_masked_proc_is_refused_with_the_engines_option(tmp_path: Path) -> None:
    """What engines lay over /proc keeps the kernel from giving anybody below a new one: mount_namespaces(7)."""
    masked: list[list[object]] = [
        *new_root(tmp_path / "root", tmp_path / "volume"),
        ["mount", "--bind", "/dev/null", "/proc/version"],
    ]
    done = in_container(masked, DOCTOR, home=tmp_path)
    assert done.returncode == 1
    (store,) = (check for check in json.loads(done.stdout)["checks"] if check["name"] == "store")
    assert "proc-refused" in store["found"] and "unmask=ALL" in store["mend"]
