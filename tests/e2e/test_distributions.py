"""Debian 12, and the distributions of other vendors from look-alikes of their repositories: what differs from Debian 13
is data.

Nothing here says anything about the vendors' own repositories: see docs/elxr.md and docs/rpm.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from os_image_composer.ospackage.lock_file import parse_lock
from support.look_alike import LookAlike
from support.workshop import CHECKOUT, Workshop

pytestmark = pytest.mark.build

SAMPLES = sorted((CHECKOUT / "image-templates").glob("*.yml"))
RPM_SAMPLES = [path for path in SAMPLES if path.name.startswith(("azl3", "emt3"))]
DEB_SAMPLES = [path for path in SAMPLES if path not in RPM_SAMPLES]
# Under TCG, on two busy cores; a quiet machine takes a third.
SECONDS = 600


def build(workshop: Workshop, sample: str, *settings: str) -> Path:
    """The image of a sample of these templates, built with the command."""
    done = workshop.run(*settings, "build", str(CHECKOUT / "image-templates" / sample))
    assert done.returncode == 0, done.stdout + done.stderr
    (image,) = workshop.work.glob(f"*-{sample.partition('-')[0]}-x86_64/imagebuild/minimal/*.raw")
    return image


@pytest.fixture(scope="session")
def debian12_image(workshop: Workshop) -> Path:
    return build(workshop, "debian12-x86_64-minimal-raw.yml")


@pytest.fixture(scope="session")
def elxr12_image(workshop: Workshop, elxr: LookAlike) -> Path:
    """From the OS default template as it is shipped: the sample adds a user."""
    return build(workshop, "elxr12-x86_64-minimal-raw.yml", "--config", str(elxr.settings))


@pytest.mark.parametrize("sample", RPM_SAMPLES, ids=lambda path: path.stem)
def test_every_sample_of_a_look_alike_is_planned(workshop: Workshop, rpm_settings: Path, sample: Path) -> None:
    done = workshop.run("--config", str(rpm_settings), "plan", str(sample))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("sample", DEB_SAMPLES, ids=lambda path: path.stem)
def test_every_sample_is_planned(workshop: Workshop, elxr: LookAlike, sample: Path) -> None:
    done = workshop.run("--config", str(elxr.settings), "plan", str(sample))
    assert done.returncode == 0, done.stderr
    steps = [line.split()[0] for line in done.stdout.splitlines() if line]
    own = {"img": {"initrd-image", "kernel"}, "iso": {"initrd", "boot", "iso"}, "raw": {"initrd", "boot", "disk"}}
    assert {"essential", "packages:default", *own[sample.stem.rpartition("-")[2]]} <= set(steps)


@pytest.mark.boot
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("image", ["debian12_image", "elxr12_image"])
def test_minimal_image_boots_to_a_login_without_a_failed_unit(
    workshop: Workshop, image: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(image)
    done = workshop.run("boot", "--check", "--json", "--timeout", str(SECONDS), str(path))
    assert done.stdout, done.stderr
    verdict = json.loads(done.stdout)
    # systemd 252 takes no unit from outside: the console is all there is to see.
    assert (verdict["level"], verdict["passed"], verdict["failedUnits"]) == ("console", True, []), verdict
    assert done.returncode == 0


def test_elxr12_is_made_of_the_look_alike_alone(workshop: Workshop, elxr: LookAlike, elxr12_image: Path) -> None:
    assert elxr12_image.is_file()
    (lock,) = (parse_lock(path.read_text()) for path in (workshop.cache / "locks").glob("elxr12-minimal-*.lock"))
    (source,) = {package.repository for package in lock.sets["image"].packages()}
    assert source == "elxr/aria"
    (repository,) = [repository for repository in lock.repositories if repository.name == source]
    assert (repository.url, repository.signers) == (elxr.url, (elxr.fingerprint.lower(),))
    installed = {package.name: package.version for package in lock.sets["image"].packages()}
    assert installed.items() <= elxr.versions.items()
    assert {"elxr-archive-keyring", "uefi-ext4", "policykit-1", "systemd-boot", "dracut"} <= installed.keys()
