"""Images with a sealed root: where their partitions are, what the UKI says, and what somebody did to them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.sparse import copy_data
from os_image_composer.formats.partition_table import Partition, read_partition_table
from os_image_composer.formats.window import FileSource, Window
from os_image_composer.report.inspect import inspect_image
from support.tools import host_tool

# A file that every start reads, before anything else of the root.
INIT = "/usr/lib/systemd/systemd"


def sealed_disk(kind: str = "ext4") -> str:
    """A template's `disk` with room for any of the small systems; `kind` is the root filesystem's."""
    return f"""\
disk:
  name: sealed
  size: 4GiB
  partitions:
    - {{id: esp, type: esp, fsType: fat32, start: 1MiB, end: 257MiB, mountPoint: /boot/efi, mountOptions: umask=0077}}
    - {{id: root, type: linux-root-amd64, fsType: {kind}, start: 257MiB, end: 2561MiB, mountPoint: /}}
    - {{id: hash, type: linux-root-amd64-verity, start: 2561MiB, end: 2593MiB}}
    - {{id: data, fsType: ext4, start: 2593MiB, end: "0"}}
"""


@dataclass(frozen=True)
class Sealed:
    """An image by its partitions, each under its name."""

    image: Path
    partitions: dict[str, Partition]
    cmdline: str

    @classmethod
    def of(cls, image: Path) -> Sealed:
        with FileSource(image) as source:
            table = read_partition_table(Window.over(source))
        assert table is not None
        (uki,) = (p for p in inspect_image(image).programs if p.kind == "uki")
        return cls(image, {p.name: p for p in table.partitions}, uki.text[".cmdline"])

    @property
    def root_hash(self) -> str:
        (found,) = (word for word in self.cmdline.split() if word.startswith("roothash="))
        return found.removeprefix("roothash=")

    def cut(self, name: str, into: Path) -> Path:
        """A partition as a file of its own, its holes kept."""
        part = self.partitions[name]
        with self.image.open("rb") as reader, into.open("wb") as writer:
            writer.truncate(part.size)
            reader.seek(part.start)
            left = part.size
            while left:
                block = reader.read(min(left, 1 << 20))
                if block.strip(b"\0"):
                    writer.seek(part.size - left)
                    writer.write(block)
                left -= len(block)
        return into

    def put(self, name: str, file: Path) -> None:
        with file.open("rb") as reader, self.image.open("r+b") as writer:
            writer.seek(self.partitions[name].start)
            while block := reader.read(1 << 20):
                writer.write(block)

    def copy(self, into: Path, size: int | None = None) -> Sealed:
        """Another file with the same disk, on a larger one where `size` (bytes) says so."""
        with self.image.open("rb") as reader, into.open("wb") as writer:
            writer.truncate(size or self.image.stat().st_size)
            copy_data(reader, writer)
        return Sealed(into, self.partitions, self.cmdline)

    def change(self, offset: int) -> None:
        """Turn over one bit."""
        with self.image.open("r+b") as file:
            file.seek(offset)
            (byte,) = file.read(1)
            file.seek(offset)
            file.write(bytes([byte ^ 1]))

    def block_of(self, path: str, scratch: Path) -> int:
        """Where on the disk a block of a file of the root is, in its middle."""
        root = self.cut("root", scratch / "root")
        said = host_tool("debugfs", "-R", f"blocks {path}", str(root)).stdout.split()
        root.unlink()
        assert len(said) > 2, path
        return self.partitions["root"].start + int(said[len(said) // 2]) * 4096 + 100

    def verified(self, scratch: Path) -> bool:
        """What veritysetup says of the two partitions and the UKI's root hash."""
        scratch.mkdir(exist_ok=True)
        root, tree = self.cut("root", scratch / "root"), self.cut(self.hash_name, scratch / "tree")
        done = host_tool("veritysetup", "verify", str(root), str(tree), self.root_hash)
        shutil.rmtree(scratch)
        return done.returncode == 0

    @property
    def hash_name(self) -> str:
        return next(name for name, part in self.partitions.items() if part.type.startswith("2C7357ED"))
