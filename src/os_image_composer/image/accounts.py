"""User accounts and groups, made by the image's own shadow tools (groupadd, useradd, usermod, chage) inside the image.

A password reaches the image as a crypt(5) hash on standard input, never on a command line. An account without one
is locked: useradd leaves `!` in its place. shadow takes today's date from SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import glob
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from os_image_composer.chroot.job import Edit, Job, MakeDirectory, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.nearest import did_you_mean
from os_image_composer.errors import StepError
from os_image_composer.image.databases import Databases, PasswdEntry, read_databases

# Whatever /etc/default/useradd says: Debian's says /bin/sh.
DEFAULT_SHELL = "/bin/bash"
_SUDO = "usr/bin/sudo"


@dataclass(frozen=True)
class Account:
    """`password` is the SHA-256 of the hash that is set, so that options and plans hold no hash; `max_age` in days;
    `keys` are lines of authorized_keys."""

    name: str
    password: str | None
    max_age: int | None
    keys: tuple[str, ...]
    uid: int | None
    groups: tuple[str, ...]
    home: str | None
    shell: str | None
    sudo: bool


@dataclass(frozen=True)
class AccountGroup:
    name: str
    gid: int | None


@dataclass(frozen=True)
class _Shop:
    """Where accounts are made."""

    sandbox: Sandbox
    tree: Tree
    env: Mapping[str, str]
    say: Callable[[str], None]

    def run(self, argv: tuple[str, ...], what: str, key: str, stdin: bytes = b"") -> None:
        done = self.sandbox.run(Job(self.tree, argv, env=self.env, stdin=stdin), self.say)
        if done.status:
            raise StepError("account-not-made", f"{what} (exit status {done.status})", detail=done.tail(), key=key)


def create_accounts(
    sandbox: Sandbox,
    tree: Tree,
    groups: Sequence[AccountGroup],
    accounts: Sequence[Account],
    hashes: Mapping[str, str],
    env: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    """Make groups, then make or change `accounts`, in the order given. Raises StepError where a group, a shell or
    a home does not exist, or an id is taken."""
    if not groups and not accounts:
        return
    shop = _Shop(sandbox, tree, env, say)
    before = read_databases(sandbox, tree)
    known = set(before.groups)
    for number, group in enumerate(groups):
        _make_group(shop, group, before, f"systemConfig.groups[{number}]")
        known.add(group.name)
    keys = [f"systemConfig.users[{number}]" for number in range(len(accounts))]
    programs = _programs(sandbox, tree, accounts)
    for account, key in zip(accounts, keys, strict=True):
        _check(account, before.users.get(account.name), programs, key)
    for account, key in zip(accounts, keys, strict=True):
        existing = before.users.get(account.name)
        _make(shop, account, existing, account.name in known, key)
        if existing is None:
            known.add(account.name)
    # Once all are there: a user may be in the group of one that is listed later.
    for account, key in zip(accounts, keys, strict=True):
        _join(shop, account, known, key)
    lines = [f"{a.name}:{hashes[a.password]}\n" for a in accounts if a.password is not None]
    if lines:
        shop.run(("chpasswd", "--encrypted"), "the passwords could not be set", keys[0], "".join(lines).encode())
    for account, key in zip(accounts, keys, strict=True):
        if account.max_age is not None:
            argv = ("chage", "--maxdays", str(account.max_age), account.name)
            shop.run(argv, f"the password of {account.name} could not be given an age", f"{key}.passwordMaxAge")
    _let_in(shop, [(account, f"{key}.sshAuthorizedKeys") for account, key in zip(accounts, keys, strict=True)])
    for account in accounts:
        _tell(account, account.name in before.users, say)


def _make_group(shop: _Shop, group: AccountGroup, before: Databases, key: str) -> None:
    found = before.groups.get(group.name)
    if found is not None:
        if group.gid not in (None, found):
            raise StepError(
                "group-exists",
                f"group {group.name} is in the image with number {found}, not {group.gid}",
                hint="leave gid out, or choose another name",
                key=key,
            )
        shop.say(f"group {group.name}: is there already")
        return
    options = ("--gid", str(group.gid)) if group.gid is not None else ()
    shop.run(("groupadd", *options, group.name), f"group {group.name} could not be made", key)


def _make(shop: _Shop, account: Account, existing: PasswdEntry | None, has_group: bool, key: str) -> None:
    options: list[str] = []
    if account.uid is not None:
        options += ["--uid", str(account.uid)]
    if account.shell or existing is None:
        options += ["--shell", account.shell or DEFAULT_SHELL]
    if existing is not None:
        options += ["--home", account.home] if account.home else []
        if options:
            shop.run(("usermod", *options, account.name), f"user {account.name} could not be changed", key)
        return
    options += ["--home-dir", account.home] if account.home else []
    own = ("--gid", account.name) if has_group else ("--user-group",)
    argv = ("useradd", "--create-home", *own, *options, account.name)
    shop.run(argv, f"user {account.name} could not be made", key)


def _join(shop: _Shop, account: Account, there: Iterable[str], key: str) -> None:
    known = set(there)
    for group in account.groups:
        if group not in known:
            raise StepError(
                "no-such-group",
                f"user {account.name} should be in group {group}, which the image does not have",
                hint=did_you_mean(group, known)
                or f"add '{group}' to systemConfig.groups, or the package that makes it",
                key=f"{key}.groups",
            )
    if account.groups:
        argv = ("usermod", "--append", "--groups", ",".join(account.groups), account.name)
        shop.run(argv, f"user {account.name} could not be put into its groups", f"{key}.groups")


def _programs(sandbox: Sandbox, tree: Tree, accounts: Sequence[Account]) -> frozenset[str]:
    """Which of the programs that the accounts need are there, by their paths without leading slash."""
    shells = {glob.escape(_inside(account.shell)) for account in accounts if account.shell}
    return frozenset(sandbox.glob(tree, _SUDO, *shells))


def _inside(path: str) -> str:
    """As `Sandbox.glob` names what it finds."""
    return posixpath.normpath(path).lstrip("/")


def _check(account: Account, existing: PasswdEntry | None, programs: frozenset[str], key: str) -> None:
    if account.sudo and _SUDO not in programs:
        raise StepError(
            "no-sudo",
            f"user {account.name} may use sudo, which is not in the image",
            hint="add the package sudo to systemConfig.packages",
            key=f"{key}.sudo",
        )
    if account.shell and _inside(account.shell) not in programs:
        raise StepError(
            "no-such-shell",
            f"the shell {account.shell} of user {account.name} is not in the image",
            hint="add the package that has it to systemConfig.packages, or the file to systemConfig.additionalFiles",
            key=f"{key}.shell",
        )
    if existing is not None and account.uid not in (None, existing.uid):
        raise StepError(
            "user-exists",
            f"user {account.name} is in the image with number {existing.uid}, not {account.uid}",
            hint="leave uid out: files of the packages belong to the number that is there",
            key=f"{key}.uid",
        )


def _let_in(shop: _Shop, accounts: Sequence[tuple[Account, str]]) -> None:
    """sshd reads the keys only where nobody else can write (sshd_config(5), StrictModes)."""
    if not any(account.keys for account, _ in accounts):
        return
    users = read_databases(shop.sandbox, shop.tree).users
    entries = [(account, users[account.name], key) for account, key in accounts if account.keys]
    homes = set(shop.sandbox.glob(shop.tree, *{glob.escape(_inside(entry.home)) for _, entry, _ in entries}))
    edits: list[Edit] = []
    for account, entry, key in entries:
        if _inside(entry.home) not in homes:
            raise StepError(
                "no-home",
                f"user {account.name} has no home folder for its keys: {entry.home} is not in the image",
                hint="give the user a home",
                key=key,
            )
        text = "".join(f"{line}\n" for line in account.keys)
        edits.append(MakeDirectory(f"{entry.home}/.ssh", 0o700, entry.uid, entry.gid))
        edits.append(WriteFile(f"{entry.home}/.ssh/authorized_keys", text.encode(), 0o600, entry.uid, entry.gid))
    shop.sandbox.edit(shop.tree, edits)


def _tell(account: Account, changed: bool, say: Callable[[str], None]) -> None:
    """For the step's log."""
    ways = [word for word, there in (("a password", account.password), ("SSH keys", account.keys)) if there]
    kept = "login as before" if changed else "locked: neither a password nor a key"
    say(f"user {account.name}: {'changed' if changed else 'made'}, {' and '.join(ways) or kept}")
