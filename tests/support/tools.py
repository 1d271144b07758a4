"""Programs of the test host that look at what we made."""

from __future__ import annotations

import shutil
import subprocess


def host_tool(*argv: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a tool of the host; administrators' tools are not in everybody's PATH."""
    path = shutil.which(argv[0], path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert path is not None, f"{argv[0]} is not installed: scripts/install-host-packages --test"
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    return subprocess.run([path, *argv[1:]], input=stdin, capture_output=True, timeout=120, env=env)
