"""Which kernels the image boots."""

from __future__ import annotations

import re
from dataclasses import dataclass

from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.errors import StepError


@dataclass(frozen=True)
class Kernel:
    """`path` is inside the image, `release` what `uname -r` will say."""

    path: str
    release: str


@dataclass(frozen=True)
class KernelChoice:
    """Which kernels of an image boot. `pattern` is a glob in the image root whose `*` stands for the release, `modules`
    the folder that has one of that name for each. The default kernel is the newest, or the newest whose release begins
    with `wanted`; with `every` the others get an entry too."""

    pattern: str
    modules: str
    wanted: str | None
    every: bool = False

    def find(self, sandbox: Sandbox, tree: Tree) -> tuple[Kernel, ...]:
        """The kernels, the default first and then the newest first. Raises StepError `no-kernel`, `no-modules`."""
        prefix, suffix = self.pattern.split("*", 1)
        words = [p[len(prefix) : len(p) - len(suffix)] for p in sandbox.glob(tree, self.pattern)]
        # A release begins with the kernel's version. Azure Linux has unified kernel images beside its kernels, as
        # vmlinuz-uki-RELEASE.efi.
        found = [word for word in words if word[:1].isdigit()]
        releases = sorted(found, key=_natural, reverse=True)
        fitting = [r for r in releases if self.wanted is None or _begins(r, self.wanted)]
        if not fitting:
            have = f"it has {', '.join(found)}" if found else f"nothing matches /{self.pattern}"
            raise StepError(
                "no-kernel",
                f"the image has no kernel{f' {self.wanted}' if self.wanted else ''}",
                cause=have,
                hint="name a kernel package in systemConfig.kernel.packages",
            )
        chosen = [fitting[0], *(r for r in releases if self.every and r != fitting[0])]
        for release in chosen:
            if not sandbox.glob(tree, f"{self.modules}/{release}"):
                raise StepError("no-modules", f"kernel {release} has no modules in /{self.modules}/{release}")
        return tuple(Kernel(f"{prefix}{release}{suffix}", release) for release in chosen)


def _begins(release: str, wanted: str) -> bool:
    return bool(re.match(re.escape(wanted) + r"(?![0-9A-Za-z])", release))


def _natural(release: str) -> list[tuple[int, int | str]]:
    """Digits compare as numbers: 6.12.9 comes before 6.12.10."""
    return [(1, int(p)) if p.isdigit() else (0, p) for p in re.findall(r"\d+|\D+", release)]
