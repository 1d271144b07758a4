"""What is allowed in a template and seldom meant: told, and no reason to refuse it."""

from __future__ import annotations

from collections.abc import Iterator

from os_image_composer.config.spec import ImageSpec, User
from os_image_composer.errors import Finding

__all__ = ["remarks"]

SUDO_RULES = "/etc/sudoers.d/"
_KEYS = ("systemConfig.secureBoot", "systemConfig.immutability.secureBoot")


def remarks(spec: ImageSpec) -> tuple[Finding, ...]:
    """In the order of the template. Commands of `configurations` may have mended what is said here."""
    return (*_nobody(spec), *_sudo(spec), *_root(spec), *_unprotected(spec), *_unused(spec))


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


def _unprotected(spec: ImageSpec) -> Iterator[Finding]:
    """Keys that sign kernel and boot loader, where two things that decide what starts are in no signed file."""
    signed = any(path.startswith(_KEYS) for path in spec.origins) or spec.bootloader.chain == "vendor"
    if signed and not spec.kernel.uki:
        message = "initrd and command line are not protected by a signature: only boot loader and kernel are"
        hint = "kernel.uki: true puts all of them into one signed file" if spec.bootloader.chain == "own" else None
        said = ("systemConfig.bootloader.chain", "systemConfig.kernel.uki", "systemConfig.bootloader.provider")
        origins = [spec.origins[path] for path in said if path in spec.origins]
        yield Finding("initrd-not-protected", message, origins[0] if origins else None, hint)


def _unused(spec: ImageSpec) -> Iterator[Finding]:
    """What the OS default says for an initrd and a command line that this build does not make. A template that says so
    itself is refused."""
    if spec.bootloader.chain != "vendor" or not spec.kernel.uki:
        return
    said = {"cmdline": spec.kernel.cmdline, "enableExtraModules": " ".join(spec.kernel.extra_modules)}
    unused = [f"kernel.{key} '{value}'" for key, value in said.items() if value]
    if unused:
        message = f"of the OS default {' and '.join(unused)} stay unused: the vendor's signed file has its own"
        yield Finding("vendor-command-line", message, spec.origin("systemConfig.bootloader.chain"))


def _has_password(user: User) -> bool:
    return user.password is not None or user.password_hash is not None
