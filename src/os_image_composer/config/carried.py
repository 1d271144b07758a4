"""Files that a live ISO's template has carried, and that cannot be."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from os_image_composer.config.findings import node_at, value_at, where
from os_image_composer.config.to_spec import local_file
from os_image_composer.config.yaml_source import MappingNode, SequenceNode
from os_image_composer.errors import Finding

__all__ = ["check_carried"]


def check_carried(merged: MappingNode) -> Iterator[Finding]:
    carried = node_at(merged, ("systemConfig", "live", "carry"))
    for item in carried.items if isinstance(carried, SequenceNode) else ():
        text = value_at(item, ("local",))
        if not isinstance(text, str) or "\0" in text:
            continue  # the check of the file has said so
        origin = where(item, ("local",))
        path = local_file(text, origin)
        try:
            status = path.stat()
        except OSError as error:
            message = f"the file to carry, '{path}', cannot be read: {error.strerror}"
            hint = "a relative path begins at the template's folder, ~ means nothing; what is carried is built first"
            yield Finding("no-such-file", message, origin, hint)
        else:
            if not stat.S_ISREG(status.st_mode):
                hint = "carry an image, an archive or another single file"
                yield Finding("not-a-file", f"what is to be carried, '{path}', is not a file", origin, hint)
