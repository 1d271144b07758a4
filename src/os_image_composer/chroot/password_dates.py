"""When passwords were last changed, as shadow(5) has it: in days since the epoch.

shadow takes the day from SOURCE_DATE_EPOCH, but not where that is later than the clock says; then it takes the clock's
(lib/gettime.c, of shadow 4.13 and 4.17). So what bears the clock's own day is the build's, and gets the epoch's.
"""

from __future__ import annotations

from os_image_composer.build.clock import Clock
from os_image_composer.chroot.job import Rewrite, Tree
from os_image_composer.chroot.sandbox import Sandbox

_FILE = "/etc/shadow"
_CHANGED = 2  # the field's place in a line
_DAY = 86400


def date_passwords(sandbox: Sandbox, tree: Tree, epoch: int, clock: Clock) -> None:
    """Give passwords that were set during this step the day of `epoch` (seconds since the epoch)."""
    today, wanted = int(clock.now()) // _DAY, epoch // _DAY
    if today == wanted:
        return
    content = sandbox.read(tree, [_FILE]).get(_FILE, b"")
    dated = redated(content, {str(today).encode(), str(today - 1).encode()}, str(wanted).encode())
    if dated != content:
        sandbox.edit(tree, [Rewrite(_FILE, dated)])


def redated(content: bytes, days: set[bytes], wanted: bytes) -> bytes:
    """`content` of a shadow file, where what was changed on one of `days` was changed on the day `wanted`."""
    lines = [line.split(b":") for line in content.split(b"\n")]
    for fields in lines:
        if len(fields) > _CHANGED and fields[_CHANGED] in days:
            fields[_CHANGED] = wanted
    return b"\n".join(b":".join(fields) for fields in lines)
