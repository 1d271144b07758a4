"""Runs a program of the format tools that reads one file and writes another."""

from __future__ import annotations

from pathlib import Path

from os_image_composer.build.shelf import is_full, output_full
from os_image_composer.build.step import Work
from os_image_composer.chroot.job import Bind, Job, Mount, Tree
from os_image_composer.chroot.services import Services
from os_image_composer.errors import StepError

SOURCE = "/run/source"  # where the program sees the file that it reads
OUTPUT = "/run/output"  # and the one that it writes
#: Runs the rest of the arguments with what they print in the output file, for programs that only print.
INTO_OUTPUT = ("sh", "-c", f'exec "$@" > {OUTPUT}', "sh")


def pack(
    work: Work[Services], argv: tuple[str, ...], *mounts: Mount, source: Path | None = None, output: str = OUTPUT
) -> None:
    """Run `argv`, which fills the step's output, seen as `output`; `source` is what it reads. Raises StepError
    `not-packed`, `output-full`."""
    sandbox = work.services.sandbox
    sandbox.new_file(work.output, 0)
    target = Bind(work.output, output, read_only=False)
    if source is None:
        done = sandbox.run(Job(Tree(work.all("tools")), argv, (target, *mounts)))
    else:
        with sandbox.lent(source):
            done = sandbox.run(Job(Tree(work.all("tools")), argv, (Bind(source, SOURCE), target, *mounts)))
    if done.status and is_full(work.output.parent):
        raise output_full(work.output)
    if done.status:
        program = argv[len(INTO_OUTPUT)] if argv[: len(INTO_OUTPUT)] == INTO_OUTPUT else argv[0]
        raise StepError("not-packed", f"{program} failed with exit status {done.status}", detail=done.tail())
    sandbox.own(work.output)
