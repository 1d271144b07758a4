"""SELinux: which policy the image has, what its configuration says, and the label of everything in its root.

Labels are never set on a tree of the build, and those that the build host sets there are never looked at: they are
computed from the text of the image's own policy, once the root is whole, and whatever writes the root filesystem is
told them. So the first boot finds everything labelled, and no label of the host gets into an image.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from os_image_composer.build.step import Kind, Work
from os_image_composer.chroot.job import Remove, Rewrite, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.chroot.services import Services
from os_image_composer.chroot.tree import Entry, Xattr
from os_image_composer.errors import StepError
from os_image_composer.formats.file_contexts import ALIASES, LOCAL_ALIASES, RULES, FileContexts
from os_image_composer.formats.window import FormatError
from os_image_composer.image.kernel import KernelChoice

ATTRIBUTE = "security.selinux"
KEY = "systemConfig.selinux"
# The files that the step leaves.
LABELS = "labels"
LOST_AND_FOUND = "lost+found"

_CONFIG = "/etc/selinux/config"
_POLICIES = "etc/selinux/*/contexts/files/file_contexts"
_BINARY = "etc/selinux/{}/policy/policy.*"
# What asks the distribution's own tools to label everything at the next boot.
_RELABEL = ".autorelabel"
_KERNEL_CONFIGS = ("boot/config-{}", "usr/lib/modules/{}/config")


@dataclass(frozen=True)
class Selinux:
    """What the template asks for (`mode`: disabled, permissive or enforcing); `packages` have the distribution's policy
    and are named where there is none."""

    mode: str
    packages: tuple[str, ...]

    @property
    def labels(self) -> bool:
        """Whether the root filesystem is to be labelled."""
        return self.mode != "disabled"


@dataclass(frozen=True)
class ComputeLabels:
    """The label of everything in the root `lower`, for what writes it. `kernels` are those that boot: each must have
    SELinux.

    LABELS: path without leading slash and label, each ended by NUL, in the order of the tree; the root is the empty
    path. What the policy leaves without a label is not in it. LOST_AND_FOUND: the label of that folder, which mke2fs
    makes, where the tree has none."""

    kind: ClassVar[str] = "compute-labels"
    version: ClassVar[int] = 1
    result: ClassVar[Kind] = Kind.FILES

    kernels: KernelChoice

    def run(self, work: Work[Services]) -> None:
        sandbox, tree = work.services.sandbox, Tree(work.all("lower"))
        for kernel in self.kernels.find(sandbox, tree):
            _check_kernel(sandbox, tree, kernel.release)
        policy = _configured_policy(sandbox, tree)
        contexts = _contexts(sandbox, tree, policy)
        entries = sandbox.listing(tree)
        labels, without = _labels(contexts, entries)
        work.say(f"policy {policy}: {len(labels)} labels; {len(without)} paths get none: {' '.join(without[:20])}")
        (work.output / LABELS).write_bytes(b"".join(b"%s\0%s\0" % pair for pair in labels))
        made = contexts.label(b"/" + LOST_AND_FOUND.encode(), stat.S_IFDIR)
        if made is not None and all(entry.path != LOST_AND_FOUND for entry in entries):
            (work.output / LOST_AND_FOUND).write_bytes(made)


def set_selinux(sandbox: Sandbox, tree: Tree, selinux: Selinux) -> None:
    """selinux_config(5): the mode, and the policy that is installed. Raises StepError `no-selinux-policy`,
    `several-selinux-policies`."""
    old = sandbox.read(tree, [_CONFIG]).get(_CONFIG)
    if not selinux.labels:
        if old is not None:
            sandbox.edit(tree, [Rewrite(_CONFIG, config_text(old, selinux.mode, None))])
        return
    policy = _installed_policy(sandbox, tree, selinux.packages)
    sandbox.edit(tree, [WriteFile(_CONFIG, config_text(old or b"", selinux.mode, policy)), Remove(_RELABEL)])


def config_text(old: bytes, mode: str, policy: str | None) -> bytes:
    """`old` with this mode, and with this policy where there is one; everything else in it stays."""
    text = old.decode("utf-8", "surrogateescape")
    for key, value in (("SELINUX", mode), ("SELINUXTYPE", policy)):
        if value is None:
            continue
        line, pattern = f"{key}={value}", re.compile(rf"^[ \t]*{key}[ \t]*=.*$", re.MULTILINE)
        if pattern.search(text):
            text = pattern.sub(line, text)
        else:
            text = text.rstrip("\n") + "\n" * bool(text.strip()) + line + "\n"
    return text.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Labels:
    """What the step left, as attributes: values end with NUL, as those that the kernel's own tools set."""

    tree: tuple[Xattr, ...] = ()
    lost_and_found: tuple[Xattr, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Labels:
        fields = (folder / LABELS).read_bytes().split(b"\0")[:-1]
        pairs = zip(fields[::2], fields[1::2], strict=True)
        made = folder / LOST_AND_FOUND
        return cls(
            tuple(_attribute(path, label) for path, label in pairs),
            (_attribute(LOST_AND_FOUND.encode(), made.read_bytes()),) if made.exists() else (),
        )


def _attribute(path: bytes, label: bytes) -> Xattr:
    return Xattr(path.decode("utf-8", "surrogateescape"), ATTRIBUTE, label + b"\0")


def _check_kernel(sandbox: Sandbox, tree: Tree, release: str) -> None:
    """Raises StepError where the kernel's configuration is there and says that it lacks SELinux."""
    found = sandbox.read(tree, [path.format(release) for path in _KERNEL_CONFIGS])
    for path, text in found.items():
        if b"\nCONFIG_SECURITY_SELINUX=y\n" not in b"\n" + text:
            raise StepError(
                "kernel-without-selinux",
                f"kernel {release} has no SELinux",
                cause=f"/{path} does not say CONFIG_SECURITY_SELINUX=y",
                hint="name another kernel in systemConfig.kernel.packages",
                key=KEY,
            )


def _labels(contexts: FileContexts, entries: Sequence[Entry]) -> tuple[list[tuple[bytes, bytes]], list[str]]:
    """Path and label of everything that has one, and the paths that have none. A file with several names has the label
    of the first, by whichever of them it is reached."""
    labels: list[tuple[bytes, bytes]] = []
    without = []
    try:
        for entry in entries:
            label = contexts.label(b"/" + entry.first.encode("utf-8", "surrogateescape"), entry.type)
            if label is None:
                without.append("/" + entry.path)
            else:
                labels.append((entry.path.encode("utf-8", "surrogateescape"), label))
    except FormatError as error:
        raise _unusable(str(error)) from error
    return labels, without


def _contexts(sandbox: Sandbox, tree: Tree, policy: str) -> FileContexts:
    base = f"/etc/selinux/{policy}/contexts/files/file_contexts"
    paths = {base + end: end for end in (*RULES, ALIASES, LOCAL_ALIASES)}
    texts = {paths[path]: text for path, text in sandbox.read(tree, list(paths)).items()}
    try:
        return FileContexts(texts, base)
    except FormatError as error:
        raise _unusable(str(error)) from error


def _unusable(cause: str) -> StepError:
    return StepError(
        "selinux-policy-unusable",
        "no labels can be computed from the image's SELinux policy",
        cause=cause,
        hint="where the line comes from the template, mend it there; else name another policy's package",
        key=KEY,
    )


def _installed_policy(sandbox: Sandbox, tree: Tree, packages: Sequence[str]) -> str:
    found = [path.split("/")[2] for path in sandbox.glob(tree, _POLICIES)]
    policies = [name for name in found if sandbox.glob(tree, _BINARY.format(name))]
    if not policies:
        named = f" ({', '.join(packages)})" if packages else ""
        raise StepError(
            "no-selinux-policy",
            "SELinux needs a policy, and the image has none",
            cause=f"/etc/selinux/{found[0]} has rules for labels, but no policy for the kernel" if found else None,
            hint=f"add the distribution's packages{named} to systemConfig.packages",
            key=KEY,
        )
    if len(policies) > 1:
        raise StepError(
            "several-selinux-policies",
            f"the image has several SELinux policies: {', '.join(policies)}",
            hint="install one of them only",
            key=KEY,
        )
    return policies[0]


def _configured_policy(sandbox: Sandbox, tree: Tree) -> str:
    """The one that the running system will load, by its configuration."""
    text = sandbox.read(tree, [_CONFIG]).get(_CONFIG, b"").decode("utf-8", "replace")
    names: list[str] = re.findall(r"^SELINUXTYPE=([A-Za-z0-9_.-]+)[ \t]*$", text, re.MULTILINE)
    if not names:
        raise _unusable(f"{_CONFIG} names no policy")
    return names[-1]
