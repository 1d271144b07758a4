"""The initrds, one for each kernel that boots, made by the distribution's own generator in the image's own packages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Job, Remove, Tree
from os_image_composer.chroot.services import Services
from os_image_composer.errors import StepError
from os_image_composer.image.kernel import Kernel, KernelChoice

_OUTPUT = "/initrd.img"


def initrd_file(folder: Path, kernel: Kernel) -> Path:
    """Where the initrd of `kernel` is in the folder that the step leaves."""
    return folder / f"initrd-{kernel.release}.img"


@dataclass(frozen=True)
class MakeInitrd:
    """`argv` has `{kernel}` (the release) and `{output}` replaced. What it writes beside its output is thrown away.
    `dated_by`: see `InitrdData`."""

    kind: ClassVar[str] = "make-initrd"
    version: ClassVar[int] = 3
    result: ClassVar[Kind] = Kind.FILES

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    kernels: KernelChoice
    source_date_epoch: int
    dated_by: tuple[str, ...] = ()

    def run(self, work: Work[Services]) -> None:
        sandbox = work.services.sandbox
        upper = work.scratch / "upper"
        sandbox.new_layer(upper)
        tree = Tree((*work.all("lower"), *work.all("projection")), upper)
        env = {**dict(self.environment), "SOURCE_DATE_EPOCH": str(self.source_date_epoch)}
        dated = [f"/{path}" for path in self.dated_by]
        if dated:
            # A second after the start of 1970: nothing at all reads as "no date" in some programs.
            sandbox.run(Job(tree, ("touch", "--no-create", "--date=@1", *dated)), work.say)
        for kernel in self.kernels.find(sandbox, tree):
            argv = tuple(part.format(kernel=kernel.release, output=_OUTPUT) for part in self.argv)
            sandbox.edit(tree, [Remove(_OUTPUT.lstrip("/"))])
            done = sandbox.run(Job(tree, argv, env=env), work.say)
            if done.status or not sandbox.glob(tree, _OUTPUT.lstrip("/")):
                raise StepError(
                    "initrd-not-made",
                    f"{argv[0]} made no initrd for kernel {kernel.release} (exit status {done.status})",
                    detail=done.tail(),
                    hint=f"is the package that has {argv[0]} in the image?" if done.status == 127 else None,
                )
            sandbox.export(tree, {_OUTPUT: initrd_file(work.output, kernel)})
