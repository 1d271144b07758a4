"""What is allowed in a template and seldom meant: told, and no reason to refuse it."""

from __future__ import annotations

from collections.abc import Iterator

from os_image_composer.config.spec import ImageSpec, User
from os_image_composer.errors import Finding

__all__ = ["remarks"]

SUDO_RULES = "/etc/sudoers.d/"


def remarks(spec: ImageSpec) -> tuple[Finding, ...]:
    """In the order of the template. Commands of `configurations` may have mended what is said here."""
    return (*_nobody(spec), *_sudo(spec), *_root(spec), *_unsigned(spec))


def _nobody(spec: ImageSpec) -> Iterator[Finding]:
    if not any(_has_password(user) or user.ssh_authorized_keys for user in spec.users):
        origin = spec.origin("systemConfig.users") or spec.origin("systemConfig")
        message = "nobody can log in: no user has a password or an SSH key"
        yield Finding("nobody-can-log-in", message, origin, "give one a password or sshAuthorizedKeys")


def _sudo(spec: ImageSpec) -> Iterator[Finding]:
    if any(file.final.startswith(SUDO_RULES) for file in spec.additional_files):
        return
    for number, user in enumerate(spec.users):
        if user.sudo and not _has_password(user):
            message = f"sudo asks {user.name} for a password, and {user.name} has none"
            hint = f'give one, or place a rule in {SUDO_RULES} with additionalFiles and mode "0440"'
            yield Finding("sudo-without-password", message, spec.origin(f"systemConfig.users[{number}].sudo"), hint)


def _root(spec: ImageSpec) -> Iterator[Finding]:
    for number, user in enumerate(spec.users):
        if user.name == "root" and _has_password(user):
            hint = "a user with sudo leaves a trace of who it was"
            yield Finding("root-password", "root has a password", spec.origin(f"systemConfig.users[{number}]"), hint)


def _unsigned(spec: ImageSpec) -> Iterator[Finding]:
    if spec.secure_boot is not None and not spec.kernel.uki:
        origin = spec.origin("systemConfig.kernel.uki") or spec.origin("systemConfig.secureBoot")
        message = "initrd and command line are in no signature: only a unified kernel image has them inside"
        yield Finding("initrd-not-signed", message, origin, "kernel.uki: true")


def _has_password(user: User) -> bool:
    return user.password is not None or user.password_hash is not None
