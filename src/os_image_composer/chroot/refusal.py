"""What the helper could not do, as an error that says how to mend it."""

from __future__ import annotations

from os_image_composer.chroot.check import HostFacts, State
from os_image_composer.chroot.doctor import examine_namespaces
from os_image_composer.errors import ComposerError, SandboxError, StepError, TrustError

#: What a package or a template does wrong, not the host.
_HOSTILE = frozenset(
    {
        "path-leads-out",
        "hard-link-leads-out",
        "device-node",
        "id-out-of-range",
        "overlay-attribute",
        "unknown-attribute",
        "archive-damaged",
    }
)
_OF_THE_STEP = frozenset(
    {
        "file-missing",
        "file-too-large",
        "is-a-directory",
        "mount-point-missing",
        "mount-point-refused",
        "not-a-directory",
        "not-a-file",
        "not-in-archive",
        "program-missing",
        "program-not-started",
        "source-missing",
        "symlink-loop",
        "unpack-failed",
    }
)
#: What the host refuses to begin with: `doctor` is asked why.
_OF_THE_HOST = frozenset(
    {"no-user-namespaces", "no-namespaces", "newuidmap-missing", "newuidmap-failed", "no-new-privs"}
)
#: Where `doctor` finds nothing wrong, or is not the one to ask.
_HINTS = {
    "no-user-namespaces": "in a container, allow user namespaces (podman or docker run --security-opt "
    "seccomp=unconfined); see docs/containers.md",
    "no-namespaces": "in a container, allow them; see docs/containers.md",
    "newuidmap-failed": "the caller's ranges in /etc/subuid and /etc/subgid must be ids that this host, or container, "
    "has: see /proc/self/uid_map",
    "overlay-refused": "put the cache on ext4, xfs or btrfs (not on overlayfs or NFS), with Linux 5.11 or newer; "
    "`doctor` tells which",
    "proc-refused": "in a container, run with an unmasked /proc: podman run --security-opt unmask=ALL",
    "id-range-refused": "set a range for root in the settings that this host or container has",
}


def refusal(reference: str, message: str, cause: str | None, detail: tuple[str, ...] = ()) -> ComposerError:
    """The error of the class whose field it is."""
    if reference in _HOSTILE:
        return TrustError(reference, message, cause=cause, detail=detail)
    if reference in _OF_THE_STEP:
        return StepError(reference, message, cause=cause, detail=detail)
    hint = _HINTS.get(reference, "run `doctor` to see what this host lacks")
    failed = examine_namespaces(HostFacts.of_this_process()) if reference in _OF_THE_HOST else ()
    for check in [check for check in failed if check.state is State.FAILED]:
        detail = (*detail, f"{check.name}: {check.found}")
        hint = check.mend or hint
    return SandboxError(reference, message, cause=cause, hint=hint, detail=detail)
