"""What passes between the brief's four operations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.execute import Forecast, Outcome
from os_image_composer.build.plan import Plan
from os_image_composer.config.spec import Artifact, ImageSpec
from os_image_composer.image.carried_files import CarriedFile
from os_image_composer.ospackage.lock import Lock
from os_image_composer.provider.boot_keys import BootCertificates
from os_image_composer.provider.lock_choice import ChosenLock
from os_image_composer.provider.secrets import PasswordHashes


@dataclass(frozen=True)
class Preparation:
    """What `pre_process` gives: the lock and the plan, and where the image would go."""

    spec: ImageSpec
    chosen: ChosenLock
    plan: Plan
    output: Path
    passwords: PasswordHashes
    host_files: dict[str, Path]
    boot_certificates: BootCertificates | None
    carried: tuple[CarriedFile, ...] = ()

    @property
    def lock(self) -> Lock:
        return self.chosen.lock


@dataclass(frozen=True)
class Resolved:
    """What a template's packages come to: their number, the bytes that they say they take, and the bytes that the root
    file system has for them; None where that grows with them."""

    packages: int
    installed_size: int
    root_room: int | None


@dataclass(frozen=True)
class PublishedFile:
    """An artifact where it was published; `size` in bytes."""

    path: Path
    artifact: Artifact
    step: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Published:
    """What a build leaves: `artifacts` in the template's order; `manifest`, `checksums`, `block_map` and `bills` (of
    materials) are paths, `seconds` the whole build's."""

    artifacts: tuple[PublishedFile, ...]
    manifest: Path
    checksums: Path
    block_map: Path | None
    bills: tuple[Path, ...]
    outcome: Outcome
    preparation: Preparation
    seconds: float


__all__ = ["Forecast", "Preparation", "Published", "PublishedFile", "Resolved"]
