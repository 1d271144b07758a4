"""File capabilities in the words of getcap(8).

Source: capabilities(7) and the kernel's include/uapi/linux/capability.h, struct vfs_ns_cap_data.
"""

from __future__ import annotations

import struct

_NAMES = (
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"),
    *("linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner"),
    *("sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice"),
    *("sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap"),
    *("mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf"),
    "checkpoint_restore",
)
_WORDS = {0x01000000: 1, 0x02000000: 2, 0x03000000: 2}  # revision: 32-bit words of each set


def capability_text(value: bytes | None) -> str | None:
    """`cap_net_raw=ep`; a namespace's owner (revision 3) is named behind it. What is no such value is given in hex."""
    if value is None:
        return None
    (magic,) = struct.unpack_from("<I", value) if len(value) >= 4 else (0,)
    words = _WORDS.get(magic & 0xFF000000, 0)
    wanted = 4 + 8 * words + (4 if magic >> 24 == 3 else 0)
    if not words or len(value) != wanted:
        return f"0x{value.hex()}"
    permitted = inheritable = 0
    for word in range(words):
        low, high = struct.unpack_from("<II", value, 4 + 8 * word)
        permitted |= low << 32 * word
        inheritable |= high << 32 * word
    names = [_set(permitted & ~inheritable, "p", magic & 1), _set(inheritable & ~permitted, "i", magic & 1)]
    names.append(_set(permitted & inheritable, "ip", magic & 1))
    owner = f" [rootid={struct.unpack_from('<I', value, wanted - 4)[0]}]" if magic >> 24 == 3 else ""
    return (" ".join(name for name in names if name) or "=") + owner


def _set(bits: int, flags: str, effective: int) -> str:
    names = [_NAMES[n] if n < len(_NAMES) else str(n) for n in range(64) if bits >> n & 1]
    return ",".join(f"cap_{name}" for name in names) + f"={'e' * effective}{flags}" if names else ""
