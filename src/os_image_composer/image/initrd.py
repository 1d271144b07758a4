"""The initrds, one for each kernel that boots, made by the distribution's own generator in the image's own packages."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Job, Remove, Tree, WriteFile
from os_image_composer.chroot.services import Services
from os_image_composer.config.distribution import PackagedFile
from os_image_composer.errors import StepError
from os_image_composer.image.kernel import Kernel, KernelChoice

_OUTPUT = "/initrd.img"


def initrd_file(folder: Path, kernel: Kernel) -> Path:
    """Where the initrd of `kernel` is in the folder that the step leaves."""
    return folder / f"initrd-{kernel.release}.img"


@dataclass(frozen=True)
class InitrdFile:
    """A file that only the initrd's generator sees. `path` has no leading slash."""

    path: str
    content: str
    executable: bool = False


@dataclass(frozen=True)
class MakeInitrd:
    """`argv` has `{kernel}` (the release) and `{output}` replaced. What it writes beside its output is thrown away.
    `dated_by`: see `InitrdData`. `files` are laid beside the image's for this run alone, and `needs` is what its
    programs want to find there."""

    kind: ClassVar[str] = "make-initrd"
    version: ClassVar[int] = 4
    result: ClassVar[Kind] = Kind.FILES

    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    kernels: KernelChoice
    source_date_epoch: int
    dated_by: tuple[str, ...] = ()
    files: tuple[InitrdFile, ...] = ()
    needs: tuple[PackagedFile, ...] = ()

    def run(self, work: Work[Services]) -> None:
        sandbox = work.services.sandbox
        upper = work.scratch / "upper"
        sandbox.new_layer(upper)
        tree = Tree((*work.all("lower"), *work.all("projection")), upper)
        self._check_needs(work, tree)
        sandbox.edit(
            tree,
            [WriteFile(f"/{f.path}", f.content.encode(), 0o755 if f.executable else 0o644) for f in self.files],
        )
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

    def _check_needs(self, work: Work[Services], tree: Tree) -> None:
        """Raises StepError `initrd-incomplete`: an initrd without these would stop at the machine's first start."""
        found = work.services.sandbox.glob(tree, *(need.path for need in self.needs))
        missing = [need for need in self.needs if not any(fnmatch.fnmatchcase(path, need.path) for path in found)]
        if missing:
            packages = ", ".join(dict.fromkeys(need.package for need in missing))
            raise StepError(
                "initrd-incomplete",
                f"the image has no /{missing[0].path}, which the initrd of a root that cannot be written to needs",
                hint=f"add to systemConfig.packages: {packages}",
            )
