from __future__ import annotations

import subprocess
import sys


def test_the_http_library_comes_without_its_own_command_line() -> None:
    program = (
        "import sys, os_image_composer.provider.registry, httpx\n"
        "assert httpx.Client is not None\n"
        "print([name for name in ('pygments', 'rich', 'httpx._main') if sys.modules.get(name)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
