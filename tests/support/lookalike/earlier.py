"""The look-alikes once more with signatures that are years old, as most of a vendor's are: a clock that is years back
takes them too.

    python -m support.lookalike.earlier FROM ROOT      (by the clock of an earlier hour; prints settings)
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from support import clock_back
from support.lookalike.made import NAMES, Lookalikes
from support.lookalike.repository import RsaKey, index, sign, signed

_URL = "http://address.invalid"


def signed_earlier(made: Lookalikes, root: Path, years: int) -> str:
    """The vendors' look-alikes of `made` signed anew below `root`; settings with `_URL` for what serves it."""
    library = clock_back.library()
    assert library is not None, "scripts/install-host-packages --test installs libfaketime"
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    env = {**os.environ, **clock_back.environment(years, str(library)), "PYTHONPATH": path}
    words = [sys.executable, "-m", __name__, str(made.root), str(root)]
    return subprocess.run(words, env=env, check=True, stdout=subprocess.PIPE, text=True, timeout=600).stdout


def at(settings: str, url: str) -> str:
    """The settings with the address `url`."""
    return settings.replace(_URL, url)


def _main(source: Path, root: Path) -> None:
    keys = {}
    for path in NAMES:
        key = keys[path] = RsaKey(f"Earlier look-alike {path}")
        shutil.copytree(source / path / "Packages", root / path / "Packages")
        for rpm in (root / path).rglob("*.rpm"):
            rpm.write_bytes(signed(rpm.read_bytes(), key))
        index(root / path)
        sign(root / path, key)
    print(Lookalikes(root, keys).settings_text(_URL))


if __name__ == "__main__":
    time.sleep = clock_back.sleep
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
