"""The modes of SELinux, and what the kernel's command line must not say beside them."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["MODES", "contradictions"]

MODES = ("disabled", "permissive", "enforcing")


def contradictions(mode: str, cmdline: str) -> Iterator[str]:
    """The words of a kernel command line that say something else than `mode` (kernel-parameters: `security`, `lsm`,
    `selinux`, `enforcing`)."""
    for word in cmdline.split():
        key, _, value = word.partition("=")
        module = key == "security" and value == "selinux"
        listed = key == "lsm" and "selinux" in value.split(",")
        if mode == "disabled":
            wrong = module or listed or word in ("selinux=1", "enforcing=1")
        else:
            elsewhere = (key == "security" and not module) or (key == "lsm" and not listed)
            wrong = elsewhere or word in ("selinux=0", f"enforcing={0 if mode == 'enforcing' else 1}")
        if wrong:
            yield word
