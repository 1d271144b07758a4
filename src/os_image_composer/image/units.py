"""Which units start at boot, set by the image's own systemctl without a running manager."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from os_image_composer.chroot.job import Job, Tree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.nearest import did_you_mean
from os_image_composer.errors import StepError

_FOLDERS = ("etc/systemd/system", "usr/lib/systemd/system", "usr/local/lib/systemd/system", "lib/systemd/system")
# What `systemctl is-enabled` says of a unit that will be started.
_STARTED = ("enabled", "enabled-runtime", "alias", "indirect", "generated", "linked", "linked-runtime")


@dataclass(frozen=True)
class UnitStates:
    """Units by their whole names."""

    enable: tuple[str, ...]
    disable: tuple[str, ...]
    mask: tuple[str, ...]


def set_units(
    sandbox: Sandbox, tree: Tree, states: UnitStates, env: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """Raises StepError for a unit that the image does not have, or that systemctl cannot bring into that state."""
    wanted = {"disable": states.disable, "mask": states.mask, "enable": states.enable}
    if not any(wanted.values()):
        return
    offline = {**env, "SYSTEMD_OFFLINE": "1"}
    _expect_all(_units(sandbox, tree), wanted)
    for verb, units in wanted.items():
        if units:
            done = sandbox.run(Job(tree, ("systemctl", verb, *units), env=offline), say)
            if done.status:
                raise StepError(
                    "unit-not-set",
                    f"systemctl {verb} {' '.join(units)} failed with exit status {done.status}",
                    detail=done.tail(),
                    key=f"systemConfig.services.{verb}",
                )
    found = _states(sandbox, tree, (*states.enable, *states.disable), offline)
    for number, unit in enumerate(states.enable):
        if found[unit] not in _STARTED:
            raise StepError(
                "unit-not-enabled",
                f"{unit} cannot be enabled: it is {found[unit]}",
                hint="it has no [Install] section: other units, sockets or timers start it",
                key=f"systemConfig.services.enable[{number}]",
            )
    for number, unit in enumerate(states.disable):
        if found[unit] == "static":
            raise StepError(
                "unit-not-disabled",
                f"{unit} cannot be disabled: it is static",
                hint="put it into systemConfig.services.mask",
                key=f"systemConfig.services.disable[{number}]",
            )


def _units(sandbox: Sandbox, tree: Tree) -> set[str]:
    paths = sandbox.glob(tree, *(f"{folder}/*" for folder in _FOLDERS), "etc/init.d/*")
    # systemd makes a service of each old start script (systemd-sysv-generator(8)).
    return {
        f"{name}.service" if path.startswith("etc/init.d/") else name
        for path in paths
        if (name := path.rpartition("/")[2])
    }


def _expect_all(known: set[str], wanted: Mapping[str, tuple[str, ...]]) -> None:
    for verb, units in wanted.items():
        for number, unit in enumerate(units):
            name, at, instance = unit.partition("@")
            template = f"{name}@.{instance.rpartition('.')[2]}" if at else unit
            if unit not in known and template not in known:
                raise StepError(
                    "no-such-unit",
                    f"the image has no unit {unit}",
                    hint=did_you_mean(unit, known) or "add the package that has it, or the unit as an additional file",
                    key=f"systemConfig.services.{verb}[{number}]",
                )


# The last word of each answer, one a line: of an old start script systemctl says first whom it asks.
_ASK = r"""
for unit; do
    answer=$(systemctl is-enabled "$unit" 2>&1)
    printf "%s\n" "${answer##*[[:space:]]}"
done
"""


def _states(sandbox: Sandbox, tree: Tree, units: tuple[str, ...], env: Mapping[str, str]) -> dict[str, str]:
    """What systemctl says of each. Its exit status says only whether the unit is enabled."""
    if not units:
        return {}
    done = sandbox.run(Job(tree, ("/bin/sh", "-c", _ASK, "sh", *units), env=env))
    words = done.output.decode("utf-8", "replace").splitlines()
    return {unit: word or "unknown" for unit, word in zip(units, words, strict=False)}
