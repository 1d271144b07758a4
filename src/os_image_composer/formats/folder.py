"""A folder of the host, read as filesystems in images are: symlinks lead nowhere but inside it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.formats.filesystem import Entry, Node, NodeKind, Volume, special
from os_image_composer.formats.window import FileSource, FormatError, Window

_MAX_LINKS = 40  # as the kernel allows (path_resolution(7))
_KINDS = {stat.S_IFREG: NodeKind.FILE, stat.S_IFDIR: NodeKind.DIRECTORY, stat.S_IFLNK: NodeKind.SYMLINK}
_NO_LIMIT = 1 << 62


@dataclass(frozen=True)
class _HostNode(Node):
    path: Path = Path()


class Folder:
    """Reading raises OSError where the host refuses it. Close it, or use `with`."""

    def __init__(self, path: Path) -> None:
        self._root = _node(path.resolve())
        self._open: FileSource | None = None
        self.volume = Volume("folder")

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def find(self, path: str) -> Node | None:
        """Raises FormatError where symlinks have no end."""
        trail = [self._root]
        pending = [part for part in reversed(path.split("/")) if part]
        links = 0
        while pending:
            name = pending.pop()
            if name == "..":
                trail = trail[:-1] or trail
            elif name != ".":
                if trail[-1].kind is not NodeKind.DIRECTORY:
                    return None
                try:
                    node = _node(trail[-1].path / name)
                except FileNotFoundError:
                    return None
                if node.kind is NodeKind.SYMLINK:
                    links += 1
                    if links > _MAX_LINKS:
                        raise FormatError(f"symlinks on the way to {path} have no end")
                    target = self.link_target(node)
                    trail = trail[:1] if target.startswith("/") else trail
                    pending += [part for part in reversed(target.split("/")) if part]
                else:
                    trail.append(node)
        return trail[-1]

    def entries(self, node: Node) -> Iterator[Entry]:
        with os.scandir(_path(node)) as found:
            for entry in found:
                yield Entry(entry.name, _node(Path(entry.path)))

    def content(self, node: Node) -> Window:
        """Can be read until the next file is asked for."""
        if node.kind is not NodeKind.FILE:
            raise FormatError("what is no regular file is read as one")
        self._close()
        self._open = FileSource(_path(node), allowance=_NO_LIMIT)
        return Window.over(self._open)

    def link_target(self, node: Node) -> str:
        return os.readlink(_path(node))  # noqa: PTH115 (which would leave out what it takes for needless)

    def attributes(self, node: Node) -> dict[str, bytes]:
        path = _path(node)
        return {
            name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
        }

    def _close(self) -> None:
        if self._open is not None:
            self._open.__exit__()
            self._open = None


def _path(node: Node) -> Path:
    assert isinstance(node, _HostNode)
    return node.path


def _node(path: Path) -> _HostNode:
    status = path.lstat()
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), NodeKind.OTHER)
    device = os.major(status.st_rdev), os.minor(status.st_rdev)
    return _HostNode(
        number=status.st_dev << 64 | status.st_ino,
        kind=kind,
        size=status.st_size,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=int(status.st_mtime),
        special=special(stat.S_IFMT(status.st_mode), device) if kind is NodeKind.OTHER else "",
        path=path,
    )
