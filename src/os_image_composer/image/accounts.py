"""User accounts, made by the image's own shadow tools (useradd, usermod, chpasswd) inside the image.

A password reaches the image as a crypt(5) hash on standard input, never on a command line. An account without one
is locked: useradd leaves `!` in its place. shadow takes today's date from SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from os_image_composer.chroot.job import Job, Tree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.errors import StepError


@dataclass(frozen=True)
class Account:
    """`password` is the SHA-256 of the hash that is set, so that options and plans hold no hash."""

    name: str
    password: str | None
    groups: tuple[str, ...]
    home: str | None
    shell: str | None
    sudo: bool


def create_accounts(
    sandbox: Sandbox,
    tree: Tree,
    accounts: Sequence[Account],
    hashes: Mapping[str, str],
    env: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    """Make or change `accounts` in the order given. Raises StepError where a group or shell does not exist."""
    if not accounts:
        return
    databases = sandbox.read(tree, ["etc/passwd", "etc/group"])
    users = _names(databases.get("etc/passwd", b""))
    groups = _names(databases.get("etc/group", b"")) | {a.name for a in accounts}
    for number, account in enumerate(accounts):
        key = f"systemConfig.users[{number}]"
        _check(sandbox, tree, account, groups, key)
        done = sandbox.run(Job(tree, _command(account, account.name in users), env=env), say)
        if done.status:
            raise StepError("user-not-made", f"user {account.name} could not be made", detail=done.tail(), key=key)
    lines = [f"{a.name}:{hashes[a.password]}\n" for a in accounts if a.password is not None]
    if lines:
        job = Job(tree, ("chpasswd", "--encrypted"), env=env, stdin="".join(lines).encode())
        done = sandbox.run(job)
        if done.status:
            raise StepError("password-not-set", "the passwords could not be set", detail=done.tail())


def _command(account: Account, exists: bool) -> tuple[str, ...]:
    options: list[str] = []
    if account.home:
        options += ["--home-dir" if not exists else "--home", account.home]
    if account.shell or not exists:
        options += ["--shell", account.shell or "/bin/bash"]
    if account.groups:
        options += ["--groups", ",".join(account.groups)]
    if exists:
        return ("usermod", *(["--append"] if account.groups else []), *options, account.name)
    return ("useradd", "--create-home", "--user-group", *options, account.name)


def _check(sandbox: Sandbox, tree: Tree, account: Account, groups: set[str], key: str) -> None:
    if account.sudo and not sandbox.glob(tree, "usr/bin/sudo"):
        raise StepError(
            "no-sudo",
            f"user {account.name} may use sudo, which is not in the image",
            hint="add the package sudo to systemConfig.packages",
            key=f"{key}.sudo",
        )
    for group in account.groups:
        if group not in groups:
            near = get_close_matches(group, sorted(groups), 1)
            raise StepError(
                "no-such-group",
                f"user {account.name} should be in group {group}, which the image does not have",
                hint=f"did you mean {near[0]}?" if near else f"add the package that makes group {group}",
                key=f"{key}.groups",
            )
    if account.shell and not sandbox.glob(tree, account.shell.lstrip("/")):
        raise StepError(
            "no-such-shell",
            f"the shell {account.shell} of user {account.name} is not in the image",
            hint="add the package that has it to systemConfig.packages",
            key=f"{key}.shell",
        )


def _names(database: bytes) -> set[str]:
    return {line.split(":", 1)[0] for line in database.decode().splitlines() if ":" in line}
