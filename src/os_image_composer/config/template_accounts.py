"""Users and groups, as a template writes them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from os_image_composer.config import rules, system_rules
from os_image_composer.config.rules import choice, wrong
from os_image_composer.config.section import Account, FieldPath, Program, Section
from os_image_composer.config.ssh_keys import authorized_key

__all__ = ["GroupTemplate", "UserTemplate"]

# What a hash's crypt(5) prefix says about hash_algo.
PREFIXES = {
    "sha512": ("$6$",),
    "sha256": ("$5$",),
    "bcrypt": ("$2a$", "$2b$", "$2y$"),
    "yescrypt": ("$y$",),
}
# bcrypt hashes the first 72 bytes and ignores the rest (crypt(5)).
BCRYPT_BYTES = 72
# 0 is root's; above begin the ids that systemd gives out by itself and nobody's (systemd.io/UIDS-GIDS).
LEAST_ID, GREATEST_ID = 1, 60_000


def _id(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and not LEAST_ID <= value <= GREATEST_ID:
        raise wrong("wrong-value", f"cannot be {value}", f"{LEAST_ID} to {GREATEST_ID}")
    return value


def _max_age(value: object) -> object:
    """Days, as shadow(5) counts them."""
    if isinstance(value, int) and not isinstance(value, bool) and not 1 <= value <= 99_999:
        raise wrong("wrong-value", f"cannot be {value}", "1 to 99999 days; 99999 is never")
    return value


def _no_md5(value: str) -> str:
    """Told by name: other programs take it."""
    if value == "md5":
        raise wrong("weak-hash", "cannot be md5, which is not safe", "use yescrypt or sha512")
    return value


HashMethod = Annotated[str, AfterValidator(_no_md5), AfterValidator(choice(tuple(PREFIXES)))]
Id = Annotated[int, BeforeValidator(_id)]
Name = Annotated[Account, AfterValidator(system_rules.account)]


class UserTemplate(Section):
    name: Name
    """The login name. An account that the image has already (`root`, one of a package) is changed, not made."""
    password: Annotated[str, AfterValidator(rules.password)] | None = None
    """Plain, or hashed text (crypt(5): `$y$`, `$6$`, `$5$`, `$2b$`). Without it nobody can log in with a password."""
    hash_algo: HashMethod | None = Field(None, alias="hash_algo")
    """How a plain password is hashed, or how hashed text was: `sha512` where it is left out."""
    password_max_age: Annotated[int, BeforeValidator(_max_age)] | None = None
    """Days until the password must be changed, counted from the lock's date."""
    ssh_authorized_keys: list[Annotated[str, AfterValidator(authorized_key)]] = []
    """Public keys that may log in as this user, each as a line of authorized_keys (sshd(8))."""
    uid: Id | None = None
    """The user's number; the next free one where it is left out."""
    startup_script: Annotated[str, AfterValidator(system_rules.startup_script)] | None = None
    """A program of the image that runs in place of a login shell."""
    groups: list[Account] = []
    """Further groups that the user belongs to: of the image's packages, of `groups`, or of another user."""
    sudo: bool | None = None
    """Whether the user may run everything as root, after their password."""
    home: FieldPath | None = None
    """The home folder; `/home/NAME` where it is left out."""
    shell: Program | None = None
    """The login shell, a program of the image; `/bin/bash` where it is left out."""

    @model_validator(mode="after")
    def hash_is_what_it_says(self) -> UserTemplate:
        """`hash_algo` says how a plain password is to be hashed, or describes hashed text."""
        algorithm, password = self.hash_algo, self.password
        if algorithm is None or password is None:
            return self
        if rules.is_hash(password):
            if not password.startswith(PREFIXES[algorithm]):
                message = f"says {algorithm}, but the password is hashed another way"
                raise wrong("wrong-value", message, "remove hash_algo: the hash names its method", at="hash_algo")
        elif algorithm == "bcrypt" and len(password.encode()) > BCRYPT_BYTES:
            message = f"cannot be bcrypt, which ignores what comes after {BCRYPT_BYTES} bytes of the password"
            raise wrong("wrong-value", message, "use yescrypt or sha512", at="hash_algo")
        return self

    @model_validator(mode="after")
    def one_program_starts(self) -> UserTemplate:
        if self.shell and self.startup_script:
            message = "cannot stand beside 'shell': it takes the shell's place"
            raise wrong("wrong-value", message, "remove one of the two", at="startupScript")
        return self


class GroupTemplate(Section):
    name: Name
    """The group's name."""
    gid: Id | None = None
    """The group's number; the next free one where it is left out."""
