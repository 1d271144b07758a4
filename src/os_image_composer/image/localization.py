"""Time zone and language, from the target's own tables and by its own tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from os_image_composer.chroot.job import Edit, Job, MakeSymlink, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.nearest import did_you_mean
from os_image_composer.errors import StepError

_ZONES = "usr/share/zoneinfo"
# Where locale-gen, which reads /etc/locale.gen, has its list of what can be made.
_SUPPORTED = "usr/share/i18n/SUPPORTED"
_WANTED = "etc/locale.gen"


def set_timezone(sandbox: Sandbox, tree: Tree, zone: str) -> None:
    """localtime(5): a symlink; /etc/timezone as well where the packages brought it. Raises StepError for a zone that
    the image's tzdata does not have."""
    path = f"{_ZONES}/{zone}"
    found = sandbox.read(tree, [path, "etc/timezone"])
    if not found.get(path, b"").startswith(b"TZif"):
        known = {name.removeprefix(f"{_ZONES}/") for name in sandbox.glob(tree, f"{_ZONES}/**")}
        names = {name for name in known if name[:1].isupper()}
        message = f"the image's tzdata has no time zone {zone}" if names else "the image has no time zones at all"
        hint = did_you_mean(zone, names) if names else "add the package tzdata to systemConfig.packages"
        old = "old names such as US/Eastern may be in a package of their own" if "/" in zone else None
        raise StepError("no-such-timezone", message, hint=hint or old, key="systemConfig.timezone")
    edits: list[Edit] = [MakeSymlink("/etc/localtime", f"/{path}")]
    if "etc/timezone" in found:
        edits.append(WriteFile("/etc/timezone", f"{zone}\n".encode()))
    sandbox.edit(tree, edits)


def set_locale(sandbox: Sandbox, tree: Tree, locale: str, env: Mapping[str, str], say: Callable[[str], None]) -> None:
    """locale.conf(5). What is not there yet is made by locale-gen. Raises StepError where it cannot be."""
    if not _is_there(sandbox, tree, locale, env):
        _generate(sandbox, tree, locale, env, say)
    edits: list[Edit] = [WriteFile("/etc/locale.conf", f"LANG={locale}\n".encode())]
    if sandbox.glob(tree, "etc/default"):
        # What pam_env reads on Debian; a link to locale.conf since Debian 13.
        edits.append(MakeSymlink("/etc/default/locale", "../locale.conf"))
    sandbox.edit(tree, edits)


def _is_there(sandbox: Sandbox, tree: Tree, locale: str, env: Mapping[str, str]) -> bool:
    done = sandbox.run(Job(tree, ("locale", "-a"), env=env))
    return _normal(locale) in {_normal(name) for name in done.output.decode("utf-8", "replace").split()}


def _generate(sandbox: Sandbox, tree: Tree, locale: str, env: Mapping[str, str], say: Callable[[str], None]) -> None:
    found = sandbox.read(tree, [_SUPPORTED, _WANTED])
    supported = [line for line in found.get(_SUPPORTED, b"").decode().splitlines() if line and line[0] != "#"]
    line = next((line for line in supported if line.split()[0] == locale), None)
    if line is None:
        names = {line.split()[0] for line in supported}
        nothing = "add the package that has or makes locales (Debian: locales) to systemConfig.packages, or use C.UTF-8"
        raise StepError(
            "no-such-locale",
            f"the image has no locale {locale}" + (" and nothing that could make it" if not supported else ""),
            hint=(did_you_mean(locale, names) or "see /usr/share/i18n/SUPPORTED") if supported else nothing,
            key="systemConfig.locale",
        )
    # The other lines are comments, which tell a reader what else there is.
    kept = [known for known in found.get(_WANTED, b"").decode().splitlines() if known.lstrip("# ") != line]
    sandbox.edit(tree, [WriteFile(f"/{_WANTED}", "".join(f"{known}\n" for known in [*kept, line]).encode())])
    done = sandbox.run(Job(tree, ("locale-gen",), env=env), say)
    if done.status or not _is_there(sandbox, tree, locale, env):
        raise StepError(
            "locale-not-made",
            f"locale-gen could not make {locale} (exit status {done.status})",
            detail=done.tail(),
            key="systemConfig.locale",
        )


def _normal(locale: str) -> str:
    """As glibc compares names: the codeset without case and punctuation (`en_US.UTF-8` is `en_US.utf8`)."""
    name, dot, rest = locale.partition(".")
    codeset, at, modifier = rest.partition("@")
    return name + dot + "".join(c for c in codeset.lower() if c.isalnum()) + at + modifier
