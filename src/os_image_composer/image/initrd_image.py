"""InitrdMaker: the whole root filesystem as the archive that a kernel unpacks into memory, the kernel beside it, and
how the two are started.

The kernel runs /init of the archive (Documentation/filesystems/ramfs-rootfs-initramfs.rst), and no other root is
mounted: what runs is what was unpacked, until the machine is switched off.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Bind, Job, MakeSymlink, Tree
from os_image_composer.chroot.services import Services
from os_image_composer.errors import StepError
from os_image_composer.formats.initrd_archive import memory_for
from os_image_composer.image.attributes import CAPABILITY, capabilities_unit, check_lost
from os_image_composer.image.kernel import KernelChoice

_INIT = "usr/lib/systemd/systemd"
_INPUT, _OUTPUT = "/run/archive", "/run/packed"


@dataclass(frozen=True)
class PrepareInitrdRoot:
    """What the root filesystem has only in an initrd image: /init, and a unit for what an archive cannot hold."""

    kind: ClassVar[str] = "prepare-initrd-root"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.TREE

    def run(self, work: Work[Services]) -> None:
        sandbox = work.services.sandbox
        lower = Tree(work.all("lower"))
        attributes = sandbox.survey(lower).xattrs
        check_lost(attributes, (CAPABILITY,), "an initrd image")
        edits = capabilities_unit(sandbox, lower, attributes)
        if not sandbox.glob(lower, "init"):
            if not sandbox.glob(lower, _INIT):
                raise StepError(
                    "no-init",
                    f"the image has neither /init nor /{_INIT}, so a kernel would find nothing to start",
                    hint="add the package systemd to systemConfig.packages",
                )
            edits.append(MakeSymlink("/init", _INIT))
        sandbox.edit(Tree(lower.lower, work.output), edits)


@dataclass(frozen=True)
class WriteInitrdImage:
    """The stack of layers `lower` as one compressed archive."""

    kind: ClassVar[str] = "write-initrd-image"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.ARTIFACT

    source_date_epoch: int

    def run(self, work: Work[Services]) -> None:
        sandbox, archive = work.services.sandbox, work.scratch / "archive"
        sandbox.cpio(Tree(work.all("lower")), archive, self.source_date_epoch)
        sandbox.new_file(work.output, 0)
        # As the distributions' own generators call it: -T0 and -T1 agree bit for bit.
        argv = ("zstd", "-3", "-q", "-T0", "-f", "-o", _OUTPUT, _INPUT)
        mounts = (Bind(archive, _INPUT), Bind(work.output, _OUTPUT, read_only=False))
        done = sandbox.run(Job(Tree(work.all("tools")), argv, mounts), work.say)
        sandbox.own(work.output)
        if done.status:
            raise StepError("initrd-not-packed", "zstd did not compress the initrd image", detail=done.tail())


@dataclass(frozen=True)
class CopyKernel:
    """The kernel of the stack of layers `lower`, as its package has it."""

    kind: ClassVar[str] = "copy-kernel"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.ARTIFACT

    kernels: KernelChoice

    def run(self, work: Work[Services]) -> None:
        sandbox, tree = work.services.sandbox, Tree(work.all("lower"))
        kernel = self.kernels.find(sandbox, tree)[0]
        sandbox.export(tree, {f"/{kernel.path}": work.output})


@dataclass(frozen=True)
class WriteStartExample:
    """How kernel and initrd are started: by QEMU (a shell script) or by iPXE (a script of its own). Names are those of
    the published files, which lie beside it. `lower` are the layers that the initrd has, for their size."""

    kind: ClassVar[str] = "write-start-example"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.ARTIFACT

    form: str  # qemu | ipxe
    name: str
    kernel: str
    initrd: str
    cmdline: str

    def run(self, work: Work[Services]) -> None:
        memory = memory_for(work.services.sandbox.survey(Tree(work.all("lower"))).bytes)
        text = self._qemu(memory) if self.form == "qemu" else self._ipxe(memory)
        work.output.write_text(text)
        work.output.chmod(0o755 if self.form == "qemu" else 0o644)

    def _qemu(self, memory: int) -> str:
        return (
            "#!/bin/sh\n"
            f"# Starts {self.name} in QEMU, with this terminal as its serial line (Ctrl-A X ends it). It takes\n"
            f"# {memory} MiB of memory or more. Further options of QEMU can be given: -accel kvm makes it fast.\n"
            "set -eu\n"
            'cd "$(dirname "$0")"\n'
            f"exec qemu-system-x86_64 -machine q35 -cpu max -m {memory} -nographic -no-reboot \\\n"
            f"    -kernel {shlex.quote(self.kernel)} -initrd {shlex.quote(self.initrd)} \\\n"
            f"    -append {shlex.quote(self.cmdline)} \\\n"
            '    -netdev user,id=net0 -device virtio-net-pci,netdev=net0 "$@"\n'
        )

    def _ipxe(self, memory: int) -> str:
        return (
            "#!ipxe\n"
            f"# Starts {self.name} over the network. Serve this file by HTTP, with the kernel and the initrd beside\n"
            f"# it; the machine needs {memory} MiB of memory or more.\n"
            f"kernel {self.kernel} {' '.join(('initrd=' + self.initrd, self.cmdline)).strip()}\n"
            f"initrd {self.initrd}\n"
            "boot\n"
        )
