"""The only door to run a program in a tree, and to touch files that belong to subordinate ids.

A helper process of ours (helper/) enters namespaces of its own, builds the root filesystem and runs one program or
does one verb. Nothing is mounted on the host, nothing stays when the build ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from os_image_composer.build.clock import Span
from os_image_composer.chroot.asking import Asking
from os_image_composer.chroot.feeding import archive_chunks, contents, told
from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.job import Completed, Edit, Job, Tree
from os_image_composer.chroot.process import Collector
from os_image_composer.chroot.session import Message, Session
from os_image_composer.chroot.tree import Entry, Survey, TarSource, TreeDigest, Xattr
from os_image_composer.errors import ComposerError, SandboxError, StepError

READ_LIMIT = 64 << 20
_TICK = 1.0  # seconds by which times of files may be off the clock: the kernel dates them coarsely
#: Goes up when the same job may give other bytes: it is part of every step's id.
SANDBOX_VERSION = 3
_INHERITED = ("system.posix_acl_default", "system.posix_acl_access")  # acl(5)


class Sandbox:
    """Runs jobs, several at once from as many threads.

    `scratch` is an existing directory on the filesystem that holds the layers (an overlay's upper and work
    directories must share a mount). After a build that was killed, what is left there is for `remove`.
    """

    def __init__(self, ids: IdMap, scratch: Path) -> None:
        self.ids = ids
        self._scratch = scratch
        self._lock = threading.Lock()
        self._sessions: set[Session] = set()
        self._stopped = False

    def run(self, job: Job, on_line: Callable[[str], None] | None = None) -> Completed:
        """Run a program to its end, whatever its status. Of a long output the last MiB are kept; `on_line` is
        called in this thread. Raises StepError `program-missing`, `mount-point-missing`, SandboxError."""
        collector = Collector(on_line)
        with self._folder() as scratch:
            asking = Asking("run", self.ids, scratch, job)
            status = self._talk([asking.line(), job.stdin], collector)
        return Completed(status, collector.finish())

    def new_layer(self, path: Path) -> None:
        """Make an empty directory that belongs to root inside. Raises FileExistsError."""
        path.mkdir(mode=0o755)
        # An access list that the cache's folder hands on to what is made in it would end in every file of the layer.
        for name in _INHERITED:
            with contextlib.suppress(OSError):
                os.removexattr(path, name)
        path.chmod(0o755)  # whatever the umask
        self._give(path)

    def new_file(self, path: Path, size: int) -> None:
        """Make a sparse file of `size` bytes that root inside may write, as a writable bind. `own` ends that."""
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.truncate(size)
        self._give(path)

    def own(self, path: Path) -> None:
        """The caller's own again: a file of `new_file`."""
        if path.stat().st_uid != os.geteuid():
            os.chown(path, os.geteuid(), os.getegid())

    @contextlib.contextmanager
    def lent(self, path: Path) -> Iterator[None]:
        """Root inside may read a file of the caller's meanwhile. It may anyway where it is the caller, which it is but
        for root, or where everybody may."""
        status = path.stat()
        mine = status.st_uid == os.geteuid()
        if self.ids.root[0] == os.geteuid() or status.st_mode & stat.S_IROTH or not mine:
            yield
            return
        self._give(path)
        try:
            yield
        finally:
            os.chown(path, status.st_uid, status.st_gid)

    def unpack(self, into: Path, archives: Sequence[TarSource]) -> None:
        """Unpack archives over one another into a layer, in order. Raises TrustError for what no package may
        hold (`path-leads-out`, `device-node`, `id-out-of-range`…), StepError for what cannot be written."""
        asking = Asking("unpack", self.ids)
        asking.options = {"paths": [asking.source(into)], "archives": [a.name for a in archives]}
        self._talk(_chain([asking.line()], archive_chunks(archives)))

    def digest(self, path: Path, clamp: int) -> TreeDigest:
        """Of a layer or any tree; mtimes later than `clamp` (seconds since the epoch) count as `clamp`."""
        asking = Asking("digest", self.ids)
        asking.options = {"paths": [asking.source(path)], "clamp": clamp}
        answer = self._answer(asking)
        return TreeDigest(answer["sha256"], answer["entries"], answer["bytes"])

    def entries(self, path: Path, clamp: int) -> dict[str, tuple[str, ...]]:
        """What `digest` is made of: by path (with leading slash) type, mode and owner in one word each, the mtime in
        nanoseconds, and for files size, first name and SHA-256; then attributes."""
        asking = Asking("entries", self.ids)
        asking.options = {"paths": [asking.source(path)], "clamp": clamp}
        found: dict[str, tuple[str, ...]] = {}

        def hear(message: Message) -> None:
            found[message.value["entry"]] = tuple(message.value["fields"])

        self._talk([asking.line()], on_message=hear)
        return found

    def settle(self, path: Path, clamp: int, written: Span) -> TreeDigest:
        """Give everything in a layer the time that it has in an image, then `digest` it. What is dated later than
        `clamp`, or within the time in which the layer was `written` by this machine's clock, was made by the build,
        whatever that clock says: it gets `clamp`. What carries a package's own date keeps it."""
        asking = Asking("digest", self.ids)
        nanoseconds = [round((written.start - _TICK) * 1e9), round((written.end + _TICK) * 1e9)]
        asking.options = {"paths": [asking.source(path)], "clamp": clamp, "written": nanoseconds}
        answer = self._answer(asking)
        return TreeDigest(answer["sha256"], answer["entries"], answer["bytes"])

    def fingerprint(self, paths: Sequence[Path]) -> tuple[str, ...]:
        """Of each tree: changes with names, types, modes, sizes and mtimes; no content is read."""
        asking = Asking("fingerprint", self.ids)
        asking.options = {"paths": [asking.source(path) for path in paths]}
        return tuple(self._answer(asking)["fingerprints"]) if paths else ()

    def remove(self, paths: Sequence[Path]) -> None:
        """Remove directories with all that is in them, whoever owns it; what is not there is no error.
        Works after `stop`, too."""
        while present := [path for path in paths if path.is_dir() and not path.is_symlink()]:
            if os.geteuid() == 0:  # whose own directories, between the layers, are not root's inside
                for path in present:
                    _remove_all(path)
                return
            asking = Asking("remove", self.ids)
            asking.options = {"paths": [asking.source(path) for path in present]}
            try:
                self._talk([asking.line()], always=True)
            except StepError:
                if all(path.exists() for path in present):
                    raise
                continue  # another build removes the same and was faster with one of them
            for path in present:
                with contextlib.suppress(FileNotFoundError):
                    path.rmdir()

    def edit(self, tree: Tree, edits: Sequence[Edit]) -> None:
        """Change the merged tree, in order; what changes is written to its upper. Files replace files and
        symlinks, parents are made (0755, root)."""
        if tree.upper is None:
            raise ValueError("a tree without upper directory cannot be edited")
        if not edits:
            return
        with self._folder() as scratch:
            asking = Asking("edit", self.ids, scratch, tree=tree)
            asking.options = {"edits": [told(edit) for edit in edits]}
            self._talk(_chain([asking.line()], contents(edits)))

    def read(self, tree: Tree, paths: Sequence[str], limit: int = READ_LIMIT) -> dict[str, bytes]:
        """Contents of regular files by the path asked for, symlinks followed inside; missing ones are left out.
        Raises StepError `file-too-large` above `limit` bytes."""
        found: dict[str, bytearray] = {}
        current = bytearray()

        def hear(message: Message) -> None:
            nonlocal current
            if "file" in message.value:
                current = found.setdefault(message.value["file"], bytearray())
            current += message.payload

        self._read(tree, list(paths), limit, hear)
        return {path: bytes(content) for path, content in found.items()}

    def glob(self, tree: Tree, *patterns: str) -> tuple[str, ...]:
        """Paths that match any of `patterns`, without leading slash, sorted: `*`, `?`, `[…]`, and `**` for any
        number of directories. Hidden names match, too."""
        if not patterns:
            return ()
        return tuple(self._of_tree("glob", tree, {"patterns": list(patterns)})["paths"])

    def export(self, tree: Tree, files: Mapping[str, Path]) -> None:
        """Copy regular files to paths of the host, where they belong to the caller and appear whole.
        Raises StepError `file-missing`."""
        with contextlib.ExitStack() as stack:
            writing = _Export(files, stack)
            self._read(tree, list(files), None, writing.hear)
            missing = sorted(set(files) - set(writing.parts))
            if missing:
                raise StepError("file-missing", f"{missing[0]} is no regular file of the tree")
            writing.publish()

    def project(self, tree: Tree, patterns: Sequence[str], into: Path) -> None:
        """Fill `into`, an empty layer (made when it is missing), with what matches, of a directory all of it:
        owner, mode, mtime, attributes and parent directories are kept."""
        if not into.exists():
            self.new_layer(into)
        with self._folder() as scratch:
            asking = Asking("project", self.ids, scratch, tree=tree)
            asking.options = {"patterns": list(patterns), "into": asking.source(into)}
            self._talk([asking.line()])

    def cpio(self, tree: Tree, file: Path, clamp: int) -> None:
        """Write the merged tree to `file`, a new one, as a cpio archive that a kernel takes for its first root
        filesystem: owners, modes, symlinks and hard links as they are, times no later than `clamp` (seconds since the
        epoch). It has no extended attributes. Raises StepError for what such an archive cannot hold."""
        with self._folder() as scratch, file.open("xb") as stream:
            asking = Asking("cpio", self.ids, scratch, tree=_read_only(tree), options={"clamp": clamp})

            def hear(message: Message) -> None:
                stream.write(message.payload)

            self._talk([asking.line()], on_message=hear)

    def survey(self, tree: Tree) -> Survey:
        """What a filesystem for the merged tree must hold."""
        answer = self._of_tree("survey", tree, {})
        found = (Xattr(path, name, bytes.fromhex(value)) for path, name, value in answer["xattrs"])
        return Survey(answer["entries"], answer["bytes"], tuple(found))

    def archive(self, tree: Tree, clamp: int, into: Path, attributes: Sequence[Xattr] = ()) -> None:
        """Write the merged tree to the file `into` as a tar stream, the same bytes for the same tree: entries in order,
        no time later than `clamp` (seconds since the epoch), the attributes that an image keeps and `attributes`."""
        with self._folder() as scratch, into.open("wb") as file:
            asking = Asking("archive", self.ids, scratch, tree=_read_only(tree))
            more = [(x.path, x.name, x.value.hex()) for x in attributes]
            asking.options = {"clamp": clamp, "attributes": more}

            def hear(message: Message) -> None:
                file.write(message.payload)

            self._talk([asking.line()], on_message=hear)

    def listing(self, tree: Tree) -> tuple[Entry, ...]:
        """Everything in the merged tree, parents first, the rest by the bytes of the names."""
        found = bytearray()

        def hear(message: Message) -> None:
            nonlocal found
            found += message.payload

        with self._folder() as scratch:
            asking = Asking("listing", self.ids, scratch, tree=_read_only(tree))
            self._talk([asking.line()], on_message=hear)
        fields = found.decode("utf-8", "surrogateescape").split("\0")
        return tuple(
            Entry(path, int(kind, 8), first) for path, kind, first in zip(*[iter(fields[:-1])] * 3, strict=True)
        )

    def stop(self) -> None:
        """Kill all running jobs and refuse new ones: they raise SandboxError `stopped`. From any thread."""
        with self._lock:
            self._stopped = True
            running = tuple(self._sessions)
        for session in running:
            session.stop()

    # --- one run of the helper -----------------------------------------------------------------------------

    def _talk(
        self,
        data: Iterable[bytes],
        collector: Collector | None = None,
        on_message: Callable[[Message], None] = lambda message: None,
        always: bool = False,
    ) -> int:
        session = Session()
        with self._lock:
            if self._stopped and not always:
                raise SandboxError("stopped", "the build was stopped")
            self._sessions.add(session)
        try:
            return session.talk(data, collector or Collector(), on_message)
        finally:
            with self._lock:
                self._sessions.discard(session)

    def _answer(self, asking: Asking) -> dict[str, Any]:
        answers: list[dict[str, Any]] = []
        self._talk([asking.line()], on_message=lambda message: answers.append(message.value))
        if len(answers) != 1:
            raise SandboxError("sandbox-failed", f"{asking.verb} gave {len(answers)} answers")
        return answers[0]

    def _of_tree(self, verb: str, tree: Tree, options: dict[str, Any]) -> dict[str, Any]:
        with self._folder() as scratch:
            return self._answer(Asking(verb, self.ids, scratch, tree=_read_only(tree), options=options))

    def _read(self, tree: Tree, paths: list[str], limit: int | None, hear: Callable[[Message], None]) -> None:
        with self._folder() as scratch:
            asking = Asking("read", self.ids, scratch, tree=_read_only(tree))
            asking.options = {"paths": paths, "limit": limit}
            self._talk([asking.line()], on_message=hear)

    @contextlib.contextmanager
    def _folder(self) -> Iterator[Path]:
        """The scratch directory of one job. The helper empties it; what a killed one leaves is removed here."""
        path = Path(tempfile.mkdtemp(prefix="job-", dir=self._scratch))
        try:
            self._give(path)
            yield path
        finally:
            try:
                path.rmdir()
            except OSError:
                shutil.rmtree(path, ignore_errors=True)
                with contextlib.suppress(ComposerError, OSError):
                    self.remove([path])

    def _give(self, path: Path) -> None:
        uid, gid = self.ids.root
        if (uid, gid) != (os.geteuid(), os.getegid()):
            os.chown(path, uid, gid)


class _Export:
    """Files on their way out, each beside its place until all are there."""

    def __init__(self, files: Mapping[str, Path], stack: contextlib.ExitStack) -> None:
        self.files = files
        self.stack = stack
        self.parts: dict[str, Path] = {}
        self.current = ""

    def hear(self, message: Message) -> None:
        if "file" in message.value:
            self.current = message.value["file"]
            target = self.files[self.current]
            self.parts[self.current] = target.with_name(f".{target.name}.part")
            self.stack.callback(self.parts[self.current].unlink, missing_ok=True)
            self.parts[self.current].write_bytes(b"")
        with self.parts[self.current].open("ab") as file:
            file.write(message.payload)

    def publish(self) -> None:
        for name, part in self.parts.items():
            part.replace(self.files[name])


def _remove_all(path: Path) -> None:
    """Also while the helper of a killed build still clears a part of it."""
    while path.exists():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)


def _read_only(tree: Tree) -> Tree:
    return tree if tree.upper is None else Tree((*tree.lower, tree.upper))


def _chain(first: Iterable[bytes], second: Iterable[bytes]) -> Iterator[bytes]:
    yield from first
    yield from second
