"""Prove the sandbox on this host by using it; what it needs of the host is /usr with sh and util-linux."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import tarfile
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from os_image_composer.build.clock import Clock, SystemClock
from os_image_composer.build.events import Listener, Note, silent
from os_image_composer.chroot.check import Check, State
from os_image_composer.chroot.job import Bind, Completed, Job, MakeSymlink, Tree, WriteFile
from os_image_composer.chroot.process import Process
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.errors import ComposerError

_USR = Bind(Path("/usr"), "/usr")
_CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")  # cap_net_raw=ep, version 2
_SECONDS_TO_DIE = 5.0
#: A build in a process of its own, which is then killed. The marker names what it starts.
_BUILD = """
import json, sys
path, ids, scratch, tree, marker = json.loads(sys.stdin.readline())
sys.path[:0] = path
from pathlib import Path
from os_image_composer.chroot.ids import IdMap, Mapping
from os_image_composer.chroot.job import Bind, Job, Tree
from os_image_composer.chroot.sandbox import Sandbox
uids, gids = (tuple(Mapping(*m) for m in part) for part in ids[:2])
programs = (Path(p) if p else None for p in ids[2:])
loop = "while :; do sleep 0.2; done # " + marker
script = "setsid sh -c '" + loop + "' & echo up; " + loop
job = Job(Tree((Path(tree),)), ("sh", "-c", script), (Bind(Path("/usr"), "/usr"),))
Sandbox(IdMap(uids, gids, *programs), Path(scratch)).run(job, lambda line: print(line, flush=True))
"""


class _Failed(Exception):  # noqa: N818
    """What was seen instead."""


def self_test(
    sandbox: Sandbox, scratch: Path, listener: Listener = silent, clock: Clock | None = None
) -> tuple[Check, ...]:
    """Every check in order, told to `listener` as it ends; takes a few seconds. `scratch` is where layers are."""
    base = Path(tempfile.mkdtemp(prefix="self-test-", dir=scratch))
    trial = _Trial(sandbox, base, clock or SystemClock())
    checks = []
    try:
        for name, prove in trial.proofs().items():
            check = _check(name, prove)
            listener(Note("info" if check.state is State.OK else "warning", f"{name}: {check.found}"))
            checks.append(check)
            if check.state is not State.OK and name == "program":
                break  # all others would say the same
    finally:
        removed = _check("remove", trial.remove)
    return (*checks, removed)


def first_failure(sandbox: Sandbox, scratch: Path) -> Check | None:
    """The first of the proofs that depend on the filesystem which fails, in a quarter of a second."""
    base = Path(tempfile.mkdtemp(prefix="store-", dir=scratch))
    trial = _Trial(sandbox, base, SystemClock())
    try:
        checks = (_check(name, trial.proofs()[name]) for name in ("program", "owners", "setuid", "removal in a layer"))
        return next((check for check in checks if check.state is not State.OK), None)
    finally:
        trial.remove()


def _check(name: str, prove: Callable[[], str]) -> Check:
    try:
        return Check(f"self-test: {name}", State.OK, prove())
    except ComposerError as error:
        return Check(f"self-test: {name}", State.FAILED, str(error), error.hint)
    except (_Failed, OSError) as error:
        return Check(f"self-test: {name}", State.FAILED, str(error), "report this, with the kernel's version")


@dataclass(frozen=True)
class _Archive:
    """One file with a capability, as a package may have it."""

    name: str = "self-test"

    def open(self) -> BinaryIO:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            member = tarfile.TarInfo("capable")
            member.pax_headers = {"SCHILY.xattr.security.capability": _CAPABILITY.decode("latin-1")}
            archive.addfile(member)
        return io.BytesIO(stream.getvalue())


class _Trial:
    def __init__(self, sandbox: Sandbox, base: Path, clock: Clock) -> None:
        self.sandbox = sandbox
        self.base = base
        self.clock = clock

    def proofs(self) -> dict[str, Callable[[], str]]:
        return {
            "program": self.program,
            "owners": self.owners,
            "setuid": self.setuid,
            "removal in a layer": self.removal,
            "hard links": self.hard_links,
            "file capabilities": self.capabilities,
            "network": self.network,
            "devices": self.devices,
            "killed build": self.killed,
        }

    def program(self) -> str:
        tree = self._layer("tree")
        names = [name for name in ("bin", "sbin", "lib", "lib64") if Path("/usr", name).exists()]
        links = [MakeSymlink(name, f"usr/{name}") for name in names]
        self.sandbox.edit(Tree(upper=tree), [*links, WriteFile("a/b/c", b"1")])
        begun = self.clock.elapsed()
        self._expect(self._run("echo ran"), b"ran\n")
        return f"ran in {(self.clock.elapsed() - begun) * 1000:.0f} ms"

    def owners(self) -> str:
        self._expect(self._run("touch /f; chown 104:110 /f; stat -c %u:%g /f"), b"104:110\n")
        return "files can belong to 104:110"

    def setuid(self) -> str:
        script = "cp /usr/bin/id /id; chmod 4755 /id; setpriv --reuid 1000 --regid 1000 --clear-groups /id -u"
        self._expect(self._run(script), b"0\n")
        return "setuid programs work"

    def removal(self) -> str:
        upper = self._layer("removal")
        self._expect(self._run("rm -r /a; mkdir /a; touch /a/n; ls /a", upper), b"n\n")
        if not (self.base / "tree/a/b/c").exists():
            raise _Failed("the lower layer was changed")
        return "a directory of a lower layer can be replaced"

    def hard_links(self) -> str:
        lower, upper = self._layer("links"), self._layer("links-upper")
        self._run("echo old > /x; ln /x /y", lower)
        done = self._run("echo new > /x; cat /x /y", upper, (lower,))
        self._expect(done, b"new\nold\n")
        if (lower / "x").read_bytes() != b"old\n":
            raise _Failed("the lower layer was changed")
        return "writing one name leaves the layer below alone"

    def capabilities(self) -> str:
        tree = self._layer("capable")
        self.sandbox.unpack(tree, [_Archive()])
        values = [value for _, _, value in self.sandbox.survey(Tree((tree,))).xattrs]
        if values != [_CAPABILITY]:
            raise _Failed(f"seen inside as {[value.hex() for value in values]}")
        return "seen as version 2 inside"

    def network(self) -> str:
        self._expect(self._run("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"), b"lo\n")
        return "only lo"

    def devices(self) -> str:
        done = self._run("mknod /x c 1 3")
        if done.status == 0:
            raise _Failed("mknod was allowed")
        return "device nodes are refused"

    def killed(self) -> str:
        marker, scratch = uuid.uuid4().hex, self.base / "killed"
        scratch.mkdir()
        with Process([sys.executable, "-c", _BUILD], env={"LC_ALL": "C.UTF-8"}, stdin=-1) as build:
            build.input.write(self._order(scratch, marker))
            first = next(build.lines(20.0), "")
            if first != "up":
                raise _Failed(f"the build said {first!r}")
            os.kill(build.pid, signal.SIGKILL)
            begun = self.clock.elapsed()
            while left := _alive(marker):
                if self.clock.elapsed() - begun > _SECONDS_TO_DIE:
                    raise _Failed(f"{left} processes outlive their build")
            return f"nothing of it was left after {(self.clock.elapsed() - begun) * 1000:.0f} ms"

    def remove(self) -> str:
        self.sandbox.remove([self.base])
        if self.base.exists():
            raise _Failed(f"{self.base} is still there")
        return "layers of other owners are removed"

    def _order(self, scratch: Path, marker: str) -> bytes:
        ids = self.sandbox.ids
        maps = [[[m.inside, m.outside, m.count] for m in part] for part in (ids.uids, ids.gids)]
        programs = [str(program) if program else "" for program in (ids.newuidmap, ids.newgidmap)]
        order = [sys.path, [*maps, *programs], str(scratch), str(self.base / "tree"), marker]
        return json.dumps(order).encode() + b"\n"

    def _layer(self, name: str) -> Path:
        path = self.base / name
        self.sandbox.new_layer(path)
        return path

    def _run(self, script: str, upper: Path | None = None, lower: tuple[Path, ...] = ()) -> Completed:
        tree = Tree((self.base / "tree", *lower), upper)
        return self.sandbox.run(Job(tree, ("sh", "-c", script), (_USR,)))

    def _expect(self, done: Completed, output: bytes) -> None:
        if done.output != output:
            raise _Failed(f"exit status {done.status}, output {done.output.decode('utf-8', 'replace').strip()!r}")


def _alive(marker: str) -> int:
    count = 0
    for folder in Path("/proc").iterdir():
        try:
            count += folder.name.isdecimal() and marker in (folder / "cmdline").read_text(errors="replace")
        except OSError:
            continue
    return count
