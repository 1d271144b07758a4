"""What a tree is: its digest, its quick fingerprint, its size and extended attributes.

A digest covers, for every entry in the order of the path's bytes: path, type, mode, owner as seen inside, size,
mtime (no later than the clamp), target of a symlink, number of a device, the first name of a hard-linked file,
SHA-256 of the content, and the extended attributes that belong to the content. A layer's own marks count too:
whiteouts are character devices 0:0, `user.overlay.opaque` says that a directory hides the one below.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Iterator, Sequence

from .request import Channel, Refused, Request
from .walk import kept_xattrs, rooted, walk

_CHUNK = 1 << 20
_OPAQUE = "user.overlay.opaque"
_TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}


def digest(request: Request, fds: Sequence[int], channel: Channel) -> None:
    clamp = int(request["options"]["clamp"]) * 1_000_000_000
    with rooted(fds[request["options"]["paths"][0]]):
        if "written" in request["options"]:
            _settle(clamp, *request["options"]["written"])
        entries = sorted(((os.fsencode(path), path, status) for path, status in walk()), key=lambda e: e[0])
        owners: dict[tuple[int, int], str] = {}
        links: dict[str, str] = {}
        unique: list[tuple[str, os.stat_result]] = []
        for _, path, status in entries:
            if not stat.S_ISREG(status.st_mode):
                continue
            if status.st_nlink > 1:
                first = owners.setdefault((status.st_dev, status.st_ino), path)
                links[path] = first
                if first != path:
                    continue
            unique.append((path, status))
        contents = _hash_all(unique)
        total = hashlib.sha256()
        for name, path, status in entries:
            for field in _fields(path, status, clamp, links.get(path, ""), contents):
                total.update(field + b"\0")
            total.update(b"\n" + name)
    size = sum(status.st_size for _, status in unique)
    channel.tell({"sha256": total.hexdigest(), "entries": len(entries), "bytes": size})


def entries(request: Request, fds: Sequence[int], channel: Channel) -> None:
    """What `digest` is made of, entry by entry: the path, then what counts of it as text."""
    clamp = int(request["options"]["clamp"]) * 1_000_000_000
    with rooted(fds[request["options"]["paths"][0]]):
        links: dict[tuple[int, int], str] = {}
        for path, status in walk():
            first = ""
            contents: dict[str, bytes] = {}
            if stat.S_ISREG(status.st_mode):
                first = links.setdefault((status.st_dev, status.st_ino), path) if status.st_nlink > 1 else ""
                contents = {first or path: _hash(path)}
            fields = list(_fields(path, status, clamp, first, contents))[1:]
            channel.tell({"entry": path, "fields": [field.decode("utf-8", "surrogateescape") for field in fields]})


def _settle(clamp: int, since: int, until: int) -> None:
    """Date what was made within these times, and what is dated later than `clamp`, to `clamp` (all nanoseconds)."""
    for path, status in walk():
        late = status.st_mtime_ns > clamp or since <= status.st_mtime_ns <= until
        if late and status.st_mtime_ns != clamp and not stat.S_ISCHR(status.st_mode):
            os.utime(path, ns=(clamp, clamp), follow_symlinks=False)


def _fields(path: str, status: os.stat_result, clamp: int, first: str, contents: dict[str, bytes]) -> Iterator[bytes]:
    kind = _TYPES[stat.S_IFMT(status.st_mode)]
    yield os.fsencode(path)
    yield f"{kind} {stat.S_IMODE(status.st_mode):o} {status.st_uid} {status.st_gid}".encode()
    if kind in ("char", "block"):
        yield f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}".encode()
        return  # a whiteout: many are hard links of one inode, and nobody sees their times
    yield str(min(status.st_mtime_ns, clamp)).encode()
    if kind == "file":
        yield str(status.st_size).encode()
        yield os.fsencode(first)
        yield contents[first or path]
    elif kind == "link":
        yield os.fsencode(os.readlink(path))
    attributes = kept_xattrs(path)
    if kind == "dir" and _OPAQUE in os.listxattr(path, follow_symlinks=False):
        attributes.append((_OPAQUE, os.getxattr(path, _OPAQUE, follow_symlinks=False)))
    for name, value in attributes:
        yield os.fsencode(name) + b"=" + value.hex().encode()


def _hash_all(files: Sequence[tuple[str, os.stat_result]]) -> dict[str, bytes]:
    """SHA-256 by path. Hashing and reading release the interpreter's lock, so threads share the work."""
    results: dict[str, bytes] = {}
    errors: list[BaseException] = []
    pending = iter(sorted(files, key=lambda item: -item[1].st_size))  # the long ones first
    lock = threading.Lock()

    def work() -> None:
        while not errors:
            with lock:
                batch = [item for _, item in zip(range(16), pending, strict=False)]
            if not batch:
                return
            try:
                for path, _ in batch:
                    results[path] = _hash(path)
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(min(8, os.cpu_count() or 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def _hash(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        total = hashlib.sha256()
        while chunk := os.read(fd, _CHUNK):
            total.update(chunk)
            if len(chunk) < _CHUNK:
                break
        return total.hexdigest().encode()
    finally:
        os.close(fd)


def fingerprint(request: Request, fds: Sequence[int], channel: Channel) -> None:
    """Names, types, modes, sizes and mtimes: enough to notice what was touched, without reading it."""
    found = []
    for index in request["options"]["paths"]:
        total = hashlib.sha256()
        with rooted(fds[index]):
            for path, status in walk():
                size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
                total.update(os.fsencode(path))
                total.update(f"\0{status.st_mode:o} {size} {status.st_mtime_ns}\n".encode())
        found.append(total.hexdigest())
    channel.tell({"fingerprints": found})


def survey(request: Request, fds: Sequence[int], channel: Channel) -> None:
    """Of the mounted tree: how many entries, their apparent size, and every attribute that an image keeps."""
    entries = size = 0
    seen: set[tuple[int, int]] = set()
    attributes: list[tuple[str, str, str]] = []
    for path, status in walk():
        if stat.S_IFMT(status.st_mode) not in _TYPES:
            raise Refused("unknown-type", f"{path} is of no known type")
        entries += 1
        if stat.S_ISREG(status.st_mode):
            key = (status.st_dev, status.st_ino)
            if status.st_nlink == 1 or key not in seen:
                size += status.st_size
                seen.add(key)
        attributes += [(path.lstrip("/"), name, value.hex()) for name, value in kept_xattrs(path)]
    channel.tell({"entries": entries, "bytes": size, "xattrs": attributes})


def listing(request: Request, fds: Sequence[int], channel: Channel) -> None:
    """Of the mounted tree, each ended by NUL: the path, its type in octal, and of a file with several names the one
    that comes first."""
    found = bytearray()
    names: dict[tuple[int, int], bytes] = {}
    for path, status in walk():
        name = os.fsencode(path.lstrip("/"))
        shared = stat.S_ISREG(status.st_mode) and status.st_nlink > 1
        first = names.setdefault((status.st_dev, status.st_ino), name) if shared else name
        found += b"%s\0%o\0%s\0" % (name, stat.S_IFMT(status.st_mode), first)
        if len(found) > _CHUNK:
            channel.tell({}, bytes(found))
            found.clear()
    channel.tell({}, bytes(found))
