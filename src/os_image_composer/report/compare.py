"""How two images, two trees or two locks differ."""

from __future__ import annotations

from pathlib import Path

from os_image_composer.errors import ImageError, MetadataError, UsageError
from os_image_composer.formats.filesystem import FileSystem
from os_image_composer.formats.folder import Folder
from os_image_composer.ospackage.lock import Lock
from os_image_composer.ospackage.lock_file import MAX_LOCK, read_lock
from os_image_composer.report.compare_boot import explain_program
from os_image_composer.report.compare_files import FilesToCompare, compare_files
from os_image_composer.report.compare_image import compare_images
from os_image_composer.report.compare_lock import compare_locks
from os_image_composer.report.compare_packages import compare_roots
from os_image_composer.report.differences import Area, Comparison, Differences
from os_image_composer.report.root_filesystem import is_root

IMAGE, TREE, LOCK = "image", "tree", "lock"


def compare(a: Path, b: Path) -> Comparison:
    """Both must be raw disk images, or folders, or locks. Reads only: no root, no mount, no program; what it reads may
    be anybody's, and damaged. Raises UsageError where they are not of one kind, ImageError and MetadataError where one
    of them cannot be read, and OSError."""
    kinds = _kind(a), _kind(b)
    if kinds[0] != kinds[1]:
        for missing in (path for path in (a, b) if not path.exists()):
            raise ImageError("unreadable-image", f"{missing} cannot be read", cause="there is no such file")
        raise UsageError("unlike", f"{a} is {_ARTICLE[kinds[0]]}, {b} is {_ARTICLE[kinds[1]]}")
    found = Differences()
    if kinds[0] == TREE:
        with Folder(a) as one, Folder(b) as other:
            _compare_trees(one, other, found)
    elif kinds[0] == LOCK:
        compare_locks(_lock(a), _lock(b), found)
    else:
        compare_images(a, b, found)
    return found.comparison(kinds[0], a, b)


_ARTICLE = {IMAGE: "an image", TREE: "a folder", LOCK: "a lock"}


def _kind(path: Path) -> str:
    """A lock is a JSON object, and no disk begins like that."""
    if path.is_dir():
        return TREE
    try:
        if not path.is_file():
            return IMAGE  # what it is instead is for the reader of images to say
        with path.open("rb") as stream:
            return LOCK if stream.read(4096).lstrip()[:1] == b"{" else IMAGE
    except OSError as error:
        raise ImageError("unreadable-image", f"{path} cannot be read", cause=error.strerror) from error


def _lock(path: Path) -> Lock:
    if path.stat().st_size > MAX_LOCK:
        raise MetadataError("bad-lock", f"{path} cannot be used", cause=f"it is longer than {MAX_LOCK} bytes")
    return read_lock(path).lock


def _compare_trees(a: FileSystem, b: FileSystem, found: Differences) -> None:
    if is_root(a) and is_root(b):
        compare_roots(a, b, found)
    compare_files(FilesToCompare(a, b, Area.FILE, "", explain_program(found, "")), found)
