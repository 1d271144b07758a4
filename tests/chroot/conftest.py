from __future__ import annotations

from support.sandboxes import HOST_USR, layer, place, sandbox, session_sandbox, sh, tiny

__all__ = ["HOST_USR", "layer", "place", "sandbox", "session_sandbox", "sh", "tiny"]
