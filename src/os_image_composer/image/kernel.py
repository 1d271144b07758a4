"""Which kernel the image boots."""

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


def find_kernel(sandbox: Sandbox, tree: Tree, pattern: str, modules: str, wanted: str | None) -> Kernel:
    """The newest kernel that matches glob `pattern`, or the newest whose release begins with `wanted`. The release
    is what the glob's `*` stands for, and it must have its modules. Raises StepError when there is none."""
    prefix, suffix = pattern.split("*", 1)
    releases = [p[len(prefix) : len(p) - len(suffix)] for p in sandbox.glob(tree, pattern)]
    fitting = [r for r in releases if wanted is None or re.match(re.escape(wanted) + r"(?![0-9A-Za-z])", r)]
    if not fitting:
        have = f"it has {', '.join(releases)}" if releases else f"nothing matches /{pattern}"
        raise StepError(
            "no-kernel",
            f"the image has no kernel{f' {wanted}' if wanted else ''}",
            cause=have,
            hint="name a kernel package in systemConfig.kernel.packages",
        )
    release = max(fitting, key=_natural)
    if not sandbox.glob(tree, f"{modules}/{release}"):
        raise StepError("no-modules", f"kernel {release} has no modules in /{modules}/{release}")
    return Kernel(f"{prefix}{release}{suffix}", release)


def _natural(release: str) -> list[tuple[int, int | str]]:
    """Digits compare as numbers: 6.12.9 comes before 6.12.10."""
    return [(1, int(p)) if p.isdigit() else (0, p) for p in re.findall(r"\d+|\D+", release)]
