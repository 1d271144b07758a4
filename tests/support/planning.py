"""Plans of made-up packages: from a template, distribution data and a lock to the steps and their ids, in a tenth of a
second, and a store that has all of a plan's results without anything having run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.clock import FixedClock
from os_image_composer.build.events import silent
from os_image_composer.build.plan import Plan
from os_image_composer.build.shelf import Shelf
from os_image_composer.build.step import Kind, content_key
from os_image_composer.build.store import Store
from os_image_composer.config.load import load_image_spec
from os_image_composer.config.settings import load_settings
from os_image_composer.config.spec import ImageSpec
from os_image_composer.ospackage.lock import Lock
from os_image_composer.provider.lock_choice import ANY_LOCK, ChosenLock, LockChoice
from os_image_composer.provider.locking import Locking
from os_image_composer.provider.provider import Provider
from os_image_composer.provider.services import Services
from support.deb_repository import NOW
from support.engine import PlainTrees
from support.small_archive import SmallArchive

ChangeLock = Callable[[Lock], Lock]


class _Changing(Locking):
    """Gives a lock as somebody has changed it."""

    def __init__(self, own: Locking, change: ChangeLock) -> None:
        self.own = own
        self.change = change

    def choose(self, spec: ImageSpec, choice: LockChoice = ANY_LOCK) -> ChosenLock:
        chosen = self.own.choose(spec, choice)
        return replace(chosen, lock=self.change(chosen.lock))


def planned(archive: SmallArchive, template: Path, data: Path | None = None, change: ChangeLock | None = None) -> Plan:
    """The plan of `template` with the packages of `archive`, with `data` in place of its distribution data."""
    settings = load_settings(archive.settings, {"HOME": str(archive.root)}, archive.root)
    settings = replace(settings, config_dir=data or settings.config_dir)
    spec = load_image_spec(template, settings.config_dir)
    provider = Provider(spec.target, Services(settings, FixedClock(NOW + 60), silent))
    provider.init()
    if change is not None:
        provider.locking = _Changing(provider.locking, change)
    return provider.pre_process(spec).plan


def filled(plan: Plan, root: Path) -> tuple[Store, Shelf]:
    """A store in which every step of `plan` has a result, each of another content."""
    store = Store(root / "store", PlainTrees(), 0, root / "store" / "tmp")
    names = {s.name: s.name.replace(":", "-") for s in plan if s.step.action.result is Kind.ARTIFACT}
    shelf = Shelf(root / "published.json", root, root / "published", names)
    shelf.output.mkdir(parents=True, exist_ok=True)
    digests: dict[str, str] = {}
    for planned_step in plan:
        step = planned_step.step
        inputs = tuple(digests[i.step] for i in step.inputs)
        key = content_key(step, inputs, plan.engine)
        about = {"step": step.name, "inputs": [[i.role, d] for i, d in zip(step.inputs, inputs, strict=True)]}
        if step.action.result is Kind.ARTIFACT:
            published = shelf.wanted(step.name)
            published.write_text(planned_step.id)
            digest = sha256_file(published)
            result = store.remember(key, digest, len(planned_step.id), about)
            shelf.note(published, digest)
        else:
            with store.workspace(step.action.result) as workspace:
                (workspace.output / "text").write_text(planned_step.id)
                result = store.keep(key, step.action.result, workspace, about)
        digests[step.name] = result.digest
        store.link(planned_step.id, key)
    store.note_plan(plan)
    return store, shelf
