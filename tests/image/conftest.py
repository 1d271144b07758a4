from __future__ import annotations

from support.sandboxes import layer, place, sandbox, session_sandbox, sh, tiny

__all__ = ["layer", "place", "sandbox", "session_sandbox", "sh", "tiny"]
