"""No bytes make a reader crash or hang: it gives values or raises FormatError."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from os_image_composer.formats.ext4 import Ext4
from os_image_composer.formats.fat import Fat
from os_image_composer.formats.filesystem import FileSystem, NodeKind, walk
from os_image_composer.formats.partition_table import read_partition_table
from os_image_composer.formats.pe import content, parse_pe
from os_image_composer.formats.signed_data import signer_names
from os_image_composer.formats.volumes import identify, open_filesystem
from os_image_composer.formats.window import FormatError, Window
from support.small_images import MIB, ext_image, fat_image, partitioned

quick = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


class Damaged:
    """Bytes in memory, some of them changed, that may be read for so long only, as a file's. Nothing is copied."""

    def __init__(self, data: bytes, changes: dict[int, int] | None = None, size: int | None = None) -> None:
        self.data = data
        self.changes = changes or {}
        self.size = len(data) if size is None else min(size, len(data))
        self.left = 64 * MIB

    def read(self, offset: int, size: int) -> bytes:
        self.left -= max(size, 4096)
        if self.left < 0:
            raise FormatError("more than the allowance")
        found = bytearray(self.data[offset : offset + size])
        for at, value in self.changes.items():
            if offset <= at < offset + size:
                found[at - offset] = value
        return bytes(found)


def read_all(filesystem: FileSystem) -> None:
    for _, node in walk(filesystem):
        if node.kind is NodeKind.FILE:
            with contextlib.suppress(FormatError):
                for _block in filesystem.content(node).blocks():
                    pass
    filesystem.find("/etc/../long-link")


def look(data: Damaged) -> None:
    """Everything that is read of an image."""
    window = Window.over(data)
    for reader in (read_partition_table, identify, Ext4, Fat, open_filesystem, parse_pe):
        with contextlib.suppress(FormatError):
            found = reader(window)
            if isinstance(found, Ext4 | Fat):
                read_all(found)


@quick
@given(st.binary(max_size=4096))
def test_random_bytes(data: bytes) -> None:
    look(Damaged(data))
    with contextlib.suppress(FormatError):
        signer_names(data)


def make_tree(factory: pytest.TempPathFactory) -> Path:
    folder = factory.mktemp("hostile")
    (folder / "tree" / "etc" / "deep").mkdir(parents=True)
    (folder / "tree" / "etc" / "file").write_bytes(b"content" * 3000)
    (folder / "tree" / "etc" / "deep" / "file").write_bytes(b"content")
    (folder / "tree" / "long-link").symlink_to("./" * 50 + "etc")
    return folder


@pytest.fixture(scope="module", params=["ext4", "ext2", "inline", "fat12", "fat16", "fat32", "gpt", "mbr"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = make_tree(tmp_path_factory)
    tree, path = folder / "tree", folder / "image"
    small = 2 * MIB
    makers: dict[str, Callable[[], Path]] = {
        "ext4": lambda: ext_image(path, tree, "ext4", "-b", "1024", size=small),
        "ext2": lambda: ext_image(path, tree, "ext2", "-b", "1024", size=small),
        "inline": lambda: ext_image(path, tree, "ext4", "-b", "4096", "-O", "inline_data,^has_journal", size=small),
        "fat12": lambda: fat_image(path, 12, tree),
        "fat16": lambda: fat_image(path, 16, tree),
        "fat32": lambda: fat_image(path, 32, tree),
        "gpt": lambda: partitioned(path, "label: gpt\nsize=100\nsize=100\n", size=small),
        "mbr": lambda: partitioned(path, "label: dos\n1: size=100\n2: size=2000, type=5\n5: size=9\n", size=small),
    }
    return makers[request.param]().read_bytes()


@pytest.fixture(scope="module")
def places(image: bytes) -> list[int]:
    """Where bytes are that say something."""
    return [n + k for n in range(0, len(image), 512) if any(image[n : n + 512]) for k in range(0, 512, 16)]


@quick
@given(seed=st.integers(min_value=0, max_value=2**32), flips=st.integers(min_value=1, max_value=12))
def test_flipped_bytes_of_small_images(image: bytes, places: list[int], seed: int, flips: int) -> None:
    chooser = random.Random(seed)
    changes = {}
    for _ in range(flips):
        at = min(chooser.choice(places) + chooser.randrange(16), len(image) - 1)
        changes[at] = chooser.choice((0, 0xFF, image[at] ^ 1 << chooser.randrange(8), chooser.randrange(256)))
    look(Damaged(image, changes))


@quick
@given(st.integers(min_value=0, max_value=2**21))
def test_images_that_are_cut_off(image: bytes, size: int) -> None:
    look(Damaged(image, size=size))


@quick
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_flipped_bytes_of_an_efi_program(signed_program: bytes, seed: int) -> None:
    chooser = random.Random(seed)
    damaged = bytearray(signed_program)
    for _ in range(chooser.randrange(1, 8)):
        damaged[chooser.randrange(len(damaged))] = chooser.choice((0, 0xFF, chooser.randrange(256)))
    with contextlib.suppress(FormatError):
        file = Window.of(bytes(damaged))
        for section in parse_pe(file).sections:
            with contextlib.suppress(FormatError):
                content(parse_pe(file), file, section.name)
        for certificate in parse_pe(file).certificates:
            with contextlib.suppress(FormatError):
                signer_names(certificate)
