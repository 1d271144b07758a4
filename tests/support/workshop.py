"""One build of the sample template from empty caches, as a user makes it; the tests look at what it left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.clock import SystemClock
from os_image_composer.build.events import silent
from os_image_composer.build.step import Result
from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.load import load_image_spec
from os_image_composer.config.settings import Settings, load_settings
from os_image_composer.provider.interface import Preparation
from os_image_composer.provider.provider import Provider
from os_image_composer.provider.services import Services

CHECKOUT = Path(__file__).parents[2]
TEMPLATE = CHECKOUT / "image-templates" / "debian13-x86_64-minimal-raw.yml"


@dataclass(frozen=True)
class Workshop:
    """A cache and a work folder of its own, and the command that uses them."""

    root: Path

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def work(self) -> Path:
        return self.root / "work"

    def argv(self, *words: str) -> list[str]:
        return [
            sys.executable,
            *("-m", "os_image_composer", "--cache-dir", str(self.cache), "--work-dir", str(self.work)),
            *words,
        ]

    def run(self, *words: str, checkout: Path = CHECKOUT, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(checkout / "src"), **environment}
        return subprocess.run(self.argv(*words), env=env, cwd=checkout, capture_output=True, text=True, timeout=900)

    def image(self, config_name: str = "minimal", name: str = "debian13-minimal-1.0") -> Path:
        return self.work / "debian-debian13-x86_64" / "imagebuild" / config_name / f"{name}.raw"

    def settings(self, file: Path | None = None) -> Settings:
        settings = load_settings(file, dict(os.environ), CHECKOUT)
        return settings.with_overrides(cache_dir=self.cache, work_dir=self.work)

    def provider(self, template: Path = TEMPLATE, file: Path | None = None) -> tuple[Provider, Preparation]:
        """The provider of a template and its preparation, from the lock of the last build; `file` has the settings."""
        settings = self.settings(file)
        spec = load_image_spec(template, settings.config_dir)
        provider = Provider(spec.target, Services(settings, SystemClock(), silent))
        provider.init()
        return provider, provider.pre_process(spec)

    def sandbox(self) -> Sandbox:
        """A sandbox for looking at what a build left."""
        provider, preparation = self.provider()
        (self.cache / "tmp" / "tests").mkdir(parents=True, exist_ok=True)
        return provider.workplace(preparation.lock, "tests")[0]

    def bare_sandbox(self) -> Sandbox:
        """A sandbox that needs no template."""
        scratch = self.cache / "tmp" / "tests"
        scratch.mkdir(parents=True, exist_ok=True)
        return Sandbox(IdMap.for_caller(self.settings().root_id_range), scratch)

    def results(self, template: Path = TEMPLATE, file: Path | None = None) -> dict[str, Result]:
        """What the store has for each step of a template's plan."""
        provider, preparation = self.provider(template, file)
        _, store = provider.workplace(preparation.lock)
        found = {step.name: store.by_id(step.id) for step in preparation.plan}
        return {name: result for name, result in found.items() if result is not None}

    def layers(self, *names: str) -> tuple[Path, ...]:
        """Where the store has the layers of these steps."""
        results = self.results()
        return tuple(content for name in names if (content := results[name].content) is not None)


def remove_workshop(workshop: Workshop) -> None:
    """Files of layers belong to subordinate ids: these go through the sandbox, the rest is ours."""
    workshop.bare_sandbox().remove([workshop.cache / "store", workshop.cache / "tmp"])
    shutil.rmtree(workshop.root, ignore_errors=True)
