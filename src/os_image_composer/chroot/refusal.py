"""What the helper could not do, as an error that says how to mend it."""

from __future__ import annotations

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
        "program-missing",
        "program-not-started",
        "source-missing",
        "symlink-loop",
        "unpack-failed",
    }
)
_HINTS = {
    "no-user-namespaces": "as root: sysctl -w user.max_user_namespaces=65536 kernel.unprivileged_userns_clone=1 "
    "(the second exists on Debian's kernels only); in a container, allow user namespaces",
    "no-namespaces": "as root, where AppArmor restricts them: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    "newuidmap-missing": "install it as root: apt install uidmap",
    "newuidmap-failed": "check the caller's lines in /etc/subuid and /etc/subgid; newuidmap must be setuid root",
    "no-new-privs": "start the build without NO_NEW_PRIVS: no NoNewPrivileges= in a systemd unit, "
    "allowPrivilegeEscalation: true in a pod",
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
    return SandboxError(reference, message, cause=cause, hint=hint, detail=detail)
