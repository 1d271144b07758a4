"""Build the root filesystem of a job: overlays, the kernel's own filesystems, and the mounts it asked for.

Rules that were measured on Linux 6.18 and hold since 5.12:
- overlay needs `userxattr` in a user namespace (without it, removing a lower directory gives EIO) and
  `index=off,metacopy=off`, so that a layer can be a lower directory later;
- the option string has one page: layers are named by their descriptors;
- `volatile` refuses a used work directory: it is made new for each mount, beside the scratch directory's others;
- a mount point that no layer has is made in a directory below all layers, so it never reaches one.

Targets are resolved with the new root as this process's root: a symlink in a tree cannot lead out of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence

from . import syscalls
from .request import MountSpec, Refused, Request, TreeSpec

_OVERLAY = "userxattr,index=off,metacopy=off"
_API_POINTS = ("proc", "sys", "dev", "run", "tmp")
_DEV_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


class Builder:
    """Mounts for one job. `scratch` is a descriptor of its own scratch directory."""

    def __init__(self, request: Request, fds: Sequence[int]) -> None:
        assert request["scratch"] is not None
        self.request = request
        self.fds = fds
        self.scratch = fds[request["scratch"]]
        self.memory: set[int] = set()  # devices of the tmpfs mounts made here: safe to make mount points in
        self.count = 0

    def build(self, root: TreeSpec) -> None:
        """Mount everything and make it the root of this mount namespace."""
        mounts = self.request["mounts"]
        syscalls.mount("none", "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)
        os.mkdir("root", 0o755, dir_fd=self.scratch)
        target = f"{self._scratch()}/root"
        self._mount_tree(root, target, self.request["api"], _below(mounts, "/"))
        with self._rooted(target) as top:
            if self.request["api"]:
                self._mount_api()
            for index, spec in enumerate(mounts):
                self._mount(spec, mounts[index + 1 :])
        os.fchdir(top)
        syscalls.pivot_root(".", ".")
        syscalls.umount(".")
        os.chdir("/")

    @contextlib.contextmanager
    def _rooted(self, path: str) -> Iterator[int]:
        """`path` is this process's root meanwhile; afterwards what it was before. Gives a descriptor of it."""
        before = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        inside = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fchdir(inside)
        os.chroot(".")
        try:
            yield inside
        finally:
            os.fchdir(before)
            os.chroot(".")
            os.close(before)

    # --- overlays ------------------------------------------------------------------------------------------

    def _mount_tree(self, tree: TreeSpec, target: str, api: bool, points: Sequence[tuple[str, bool]]) -> None:
        """`points` are mount points inside that will be needed: (path, whether a directory)."""
        number = self.count
        self.count += 1
        scratch = self._scratch()
        base = f"base{number}"
        for name in (base, f"none{number}", f"work{number}"):
            os.mkdir(name, 0o755, dir_fd=self.scratch)
        lower = [self._fd(index) for index in tree["lower"]]
        upper = self._fd(tree["upper"]) if tree["upper"] is not None else None
        if upper is None and tree["throwaway"]:
            os.mkdir(f"upper{number}", 0o755, dir_fd=self.scratch)
            upper = f"{scratch}/upper{number}"
        bottom = [f"{scratch}/{base}", f"{scratch}/none{number}"]
        if api:
            for name in _API_POINTS:
                os.mkdir(f"{base}/{name}", 0o755, dir_fd=self.scratch)
        if points:
            everything = [*lower, *([upper] if upper else [])]
            self._overlay(target, bottom[1:] + bottom[:1] + everything, None, "")
            with self._rooted(target):
                missing = _missing(points, api)
            syscalls.umount(target)
            self._make_points(base, missing)
        if upper is None:
            self._overlay(target, [bottom[1], bottom[0], *lower], None, "")
        else:
            self._overlay(target, [bottom[0], *lower], upper, f"{scratch}/work{number}")

    def _scratch(self) -> str:
        return f"/proc/self/fd/{self.scratch}"

    def _fd(self, index: int) -> str:
        return f"/proc/self/fd/{self.fds[index]}"

    def _overlay(self, target: str, lower: Sequence[str], upper: str | None, work: str) -> None:
        """`lower` is lowest first; overlayfs wants the topmost first."""
        options = f"lowerdir={':'.join(reversed(lower))},{_OVERLAY}"
        flags = syscalls.MS_RDONLY
        if upper is not None:
            options += f",upperdir={upper},workdir={work},volatile"
            flags = 0
        try:
            syscalls.mount("overlay", target, "overlay", flags, options)
        except OSError as error:
            raise Refused("overlay-refused", "the host refuses an overlay of the layers", str(error)) from None

    def _make_points(self, base: str, missing: Sequence[tuple[str, bool]]) -> None:
        for path, directory in missing:
            names = path.strip("/").split("/")
            for depth in range(1, len(names) + (1 if directory else 0)):
                with contextlib.suppress(FileExistsError):
                    os.mkdir("/".join([base, *names[:depth]]), 0o755, dir_fd=self.scratch)
            if not directory:
                flags = os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC
                os.close(os.open("/".join([base, *names]), flags, 0o644, dir_fd=self.scratch))

    # --- the kernel's filesystems --------------------------------------------------------------------------

    def _mount_api(self) -> None:
        """/proc, /dev, /run, /tmp and an empty /sys, below this process's root."""
        for name in _API_POINTS:
            if not stat.S_ISDIR(os.lstat(f"/{name}").st_mode):
                raise Refused("mount-point-refused", f"/{name} is not a directory in this tree")
        safe = syscalls.MS_NOSUID | syscalls.MS_NODEV
        try:
            syscalls.mount("proc", "/proc", "proc", safe | syscalls.MS_NOEXEC)
        except OSError as error:
            raise Refused("proc-refused", "the host refuses a new /proc", str(error)) from None
        self._tmpfs("/run", 0o755, safe)
        os.mkdir("/run/lock", 0o755)
        os.chmod("/run/lock", 0o1777)  # noqa: S103 - as everywhere
        self._tmpfs("/tmp", 0o1777, safe)
        # Nothing of the host's hardware is for a build to see; what a script writes there must not reach a layer.
        syscalls.mount("tmpfs", "/sys", "tmpfs", safe | syscalls.MS_NOEXEC | syscalls.MS_RDONLY, "mode=755")
        self._mount_dev()

    def _mount_dev(self) -> None:
        self._tmpfs("/dev", 0o755, syscalls.MS_NOSUID)
        for name, index in self.request["devices"].items():
            os.close(os.open(f"/dev/{name}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666))
            syscalls.mount(self._fd(index), f"/dev/{name}", None, syscalls.MS_BIND)
        for name, target in _DEV_LINKS.items():
            os.symlink(target, f"/dev/{name}")
        os.mkdir("/dev/shm", 0o755)
        self._tmpfs("/dev/shm", 0o1777, syscalls.MS_NOSUID | syscalls.MS_NODEV)
        os.mkdir("/dev/pts", 0o755)
        # gid 5 is `tty` everywhere; grantpt(3) expects it.
        options = "newinstance,ptmxmode=0666,mode=0620,gid=5"
        syscalls.mount("devpts", "/dev/pts", "devpts", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, options)

    def _tmpfs(self, target: str, mode: int, flags: int) -> None:
        syscalls.mount("tmpfs", target, "tmpfs", flags, f"mode={mode:o}")
        self.memory.add(os.stat(target).st_dev)

    # --- what the job asks for -----------------------------------------------------------------------------

    def _mount(self, spec: MountSpec, later: Sequence[MountSpec]) -> None:
        target = self._point(spec["target"], spec.get("directory", True))
        if spec["kind"] == "bind":
            syscalls.mount(self._fd(spec["source"]), target, None, syscalls.MS_BIND | syscalls.MS_REC)
            if spec["read_only"]:
                fd = os.open(target, os.O_PATH | os.O_CLOEXEC)
                syscalls.make_read_only(fd)
                os.close(fd)
        else:
            points = _below(later, spec["target"])
            self._mount_tree(spec["tree"], target, spec["api"], points)
            if spec["api"]:
                with self._rooted(target):
                    self._mount_api()

    def _point(self, target: str, directory: bool) -> str:
        """The mount point as a path without symlinks; made when it is missing on a filesystem in memory."""
        path = os.path.realpath(target)
        try:
            found = os.stat(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                raise
            return self._make_in_memory(path, directory)
        if stat.S_ISDIR(found.st_mode) != directory:
            raise Refused("mount-point-refused", f"{target} in the tree is not of the kind of what is mounted there")
        return path

    def _make_in_memory(self, path: str, directory: bool) -> str:
        parent = os.path.dirname(path)
        while not os.path.lexists(parent):
            parent = os.path.dirname(parent)
        if os.stat(parent).st_dev not in self.memory:
            raise Refused("mount-point-missing", f"{path} does not exist and cannot be made without changing a layer")
        os.makedirs(path if directory else os.path.dirname(path), 0o755, exist_ok=True)
        if not directory:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        return path


def _below(mounts: Sequence[MountSpec], top: str) -> list[tuple[str, bool]]:
    """Mount points below `top` that its own filesystem must have, as paths from `top`. What lies below a nearer
    mount is that one's affair."""
    prefix = top.rstrip("/") + "/"
    covers: list[str] = []
    points: list[tuple[str, bool]] = []
    for spec in mounts:
        target = spec["target"].rstrip("/")
        if target.startswith(prefix) and not any(target.startswith(cover) for cover in covers):
            points.append((target[len(prefix) - 1 :], spec.get("directory", True)))
        covers.append(target + "/")
    return points


def _missing(points: Sequence[tuple[str, bool]], api: bool) -> list[tuple[str, bool]]:
    """Those that the tree (this process's root) lacks, symlinks resolved in it."""
    absent = []
    for path, directory in points:
        real = os.path.realpath(path)
        in_memory = api and real.strip("/").split("/")[0] in _API_POINTS
        if not in_memory and not os.path.lexists(real):
            absent.append((real, directory))
    return absent
