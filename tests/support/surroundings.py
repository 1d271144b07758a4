"""A build in surroundings of its own: whose account, which machine, which folder, which hour."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import clock_back
from support.commands import Told, told
from support.workshop import CHECKOUT, Workshop


@dataclass(frozen=True)
class Surroundings:
    """Everything that a build must not depend on. Made by root, whoever `user` is. `cpus` are those that it may use,
    None for all; `years_back` is where its clock is; without `network` there is no interface, not even
    the loopback's."""

    workshop: Workshop
    user: pwd.struct_passwd
    umask: int
    variables: dict[str, str]
    workers: int
    host_name: str | None = None
    cpus: str | None = None
    years_back: int = 0
    settings: Path | None = None
    network: bool = True

    @property
    def source(self) -> Path:
        return self.workshop.root / "checkout"

    @property
    def notes(self) -> Path:
        return self.workshop.root / "notes"

    def prepare(self) -> None:
        """A checkout of its own, and a folder that the user owns."""
        ignore = shutil.ignore_patterns("__pycache__")
        for name in ("src", "config", "image-templates"):
            shutil.copytree(CHECKOUT / name, self.source / name, ignore=ignore)
        if self.settings is not None:
            self._settings_of_its_own(self.settings)
        self.own()

    def _settings_of_its_own(self, settings: Path) -> None:
        """With copies of the keys: others may not look into the folder of the tests."""
        text = settings.read_text()
        for number, key in enumerate(re.findall(r"keyring: ([^ }]+)", text)):
            if Path(key).exists():
                shutil.copyfile(key, self.workshop.root / f"key-{number}")
                own = json.dumps(str(self.workshop.root / f"key-{number}"), ensure_ascii=False)
                text = text.replace(f"keyring: {key}", f"keyring: {own}")
        (self.workshop.root / "settings.yml").write_text(text)

    @property
    def bundle(self) -> Path:
        return self.workshop.root / "carried.bundle"

    def carry(self, template: Path) -> None:
        """Write the template's lock, and a bundle of what it names."""
        for words in (("lock", str(template)), ("bundle", "--locked", str(template), str(self.bundle))):
            done = self.run(*words)
            assert done.returncode == 0, done.stderr

    def share(self, other: Surroundings) -> None:
        """The bundle of another build, and its password hashes, which lie beside locks; nothing else of it."""
        locks = self.workshop.cache / "locks"
        locks.mkdir(parents=True)
        for file in (other.workshop.cache / "locks").glob("*.secrets"):
            shutil.copy(file, locks)
        shutil.copy(other.bundle, self.bundle)
        self.own()

    def own(self) -> None:
        for path in (self.workshop.root, *self.workshop.root.rglob("*")):
            os.chown(path, self.user.pw_uid, self.user.pw_gid, follow_symlinks=False)

    def build(self, template: Path, *flags: str) -> Told:
        """Raises AssertionError with what the build said when it fails."""
        return told(self.run("build", "--json-events", *flags, str(template)))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._machine(), *self._command(), *self._flags(), *words],
            **(self._account() if self.network else {}),
            umask=self.umask,
            cwd=self.workshop.root,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=1800,
        )

    def _account(self) -> dict[str, Any]:
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def _machine(self) -> list[str]:
        user, group = self.user.pw_uid, self.user.pw_gid
        # Only root may take the network away; the account comes after that.
        account = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
        wire = ["unshare", "--net", *account] if not self.network else []
        name = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.host_name] if self.host_name else []
        return [*wire, *name, *(["taskset", "--cpu-list", self.cpus] if self.cpus else [])]

    def _command(self) -> list[str]:
        if not self.years_back:
            return [sys.executable, "-m", "os_image_composer"]
        library = clock_back.library()
        assert library is not None, "scripts/install-host-packages --test installs libfaketime"
        program = [sys.executable, str(Path(clock_back.__file__))]
        return [*program, str(self.years_back), str(library), str(self.notes)]

    def _flags(self) -> list[str]:
        shop = self.workshop
        settings = ["--config", str(shop.root / "settings.yml")] if self.settings is not None else []
        places = ["--cache-dir", str(shop.cache), "--work-dir", str(shop.work), "--workers", str(self.workers)]
        return [*settings, *places]

    def _environment(self) -> dict[str, str]:
        leading = {n: v for n, v in os.environ.items() if n.lower().endswith(("_proxy", "_ca_bundle"))}
        own = {"HOME": self.user.pw_dir, "USER": self.user.pw_name, "PATH": os.environ["PATH"]}
        return {**leading, **own, "PYTHONPATH": str(self.source / "src"), **self.variables}


def ordinary_user() -> pwd.struct_passwd:
    """The account that scripts/test runs tests as, or any other with subordinate ids."""
    names = [line.split(":")[0] for line in Path("/etc/subuid").read_text().splitlines()]
    return pwd.getpwnam(os.environ.get("OIC_TEST_USER", names[-1]))


def another_locale() -> str:
    """One of this host that sorts otherwise than C does, else the plainest one."""
    found = subprocess.run(["locale", "-a"], capture_output=True, text=True).stdout.split()
    return next((name for name in found if not name.startswith(("C", "POSIX"))), "POSIX")
