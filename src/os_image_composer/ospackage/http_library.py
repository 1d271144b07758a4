"""httpx without its own command line, which it loads as soon as click, rich and pygments are installed, and which takes
longer to load than all the rest of it. A module that is None cannot be imported (Python's import system, "The module
cache"), and httpx (0.28, `httpx/__init__.py`) then goes without. To be imported before httpx is."""

from __future__ import annotations

import sys

sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
