"""Azure Linux 3 and Edge Microvisor Toolkit 3 from look-alikes of their repositories: the shipped samples, unmodified,
on a host without any program of their package family.

Nothing here says anything about the vendors' own repositories: see docs/rpm.md.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from os_image_composer.boot.machine import Machine
from os_image_composer.boot.qemu import run_guest
from os_image_composer.build.clock import SystemClock
from os_image_composer.build.step import Result
from os_image_composer.chroot.job import Job, MountedTree, Tree
from support.workshop import CHECKOUT, Workshop

pytestmark = pytest.mark.build

# Under TCG, on two busy cores; a quiet machine takes a quarter.
SECONDS = 600
# What a build may start on the host.
HOST_PROGRAMS = ("newuidmap", "newgidmap")


@dataclass(frozen=True)
class Built:
    """An image of a sample, and what built it."""

    name: str
    image: Path
    template: Path


def build(workshop: Workshop, settings: Path, name: str, programs: Path) -> Built:
    programs.mkdir()
    for program in HOST_PROGRAMS:
        (programs / program).symlink_to(shutil.which(program) or "")
    template = CHECKOUT / "image-templates" / f"{name}-x86_64-minimal-raw.yml"
    done = workshop.run("--config", str(settings), "build", str(template), PATH=str(programs))
    assert done.returncode == 0, done.stdout + done.stderr
    (image,) = workshop.work.glob(f"*-{name}-x86_64/imagebuild/minimal/*.raw")
    return Built(name, image, template)


@pytest.fixture(scope="module")
def azl3(workshop: Workshop, rpm_settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(workshop, rpm_settings, "azl3", tmp_path_factory.mktemp("azl3") / "bin")


@pytest.fixture(scope="module")
def emt3(workshop: Workshop, rpm_settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(workshop, rpm_settings, "emt3", tmp_path_factory.mktemp("emt3") / "bin")


# Of the two vendors one in every run each way: what is theirs alone is data.
CHECKED = [pytest.param("azl3"), pytest.param("emt3", marks=pytest.mark.matrix)]
LOGGED_IN = [pytest.param("emt3"), pytest.param("azl3", marks=pytest.mark.matrix)]


@pytest.mark.boot
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("name", CHECKED)
def test_image_boots_to_a_login_without_a_failed_unit(
    workshop: Workshop, name: str, request: pytest.FixtureRequest
) -> None:
    built: Built = request.getfixturevalue(name)
    done = workshop.run("boot", "--check", "--json", "--timeout", str(SECONDS), str(built.image))
    assert done.stdout, done.stderr
    verdict = json.loads(done.stdout)
    # systemd 252 of the look-alike takes no unit from outside: the console is all there is to see.
    assert (verdict["level"], verdict["passed"], verdict["failedUnits"]) == ("console", True, []), verdict
    assert done.returncode == 0


@pytest.mark.boot
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("name", LOGGED_IN)
def test_user_of_the_template_logs_in_and_becomes_root(name: str, request: pytest.FixtureRequest) -> None:
    built: Built = request.getfixturevalue(name)
    with run_guest(built.image, Machine(), SystemClock()) as guest:
        console = guest.console
        console.expect(rf"{name} login: $", SECONDS)
        console.send("admin\n")
        console.expect(r"Password: $", 60)
        console.send("change-me-first\n")
        console.expect(r"\$ $", 60)
        console.send("echo change-me-first | sudo -S -p '' id -un; wc -c < /etc/machine-id; ls /etc/ssh; networkctl\n")
        answer = console.expect(r"(?s)root\n33\n.*SETUP.*\$ $", 120)
        # Made at the first start: they came with no image.
        assert "ssh_host_ed25519_key" in answer


def test_root_verifies_against_its_own_database(workshop: Workshop, rpm_settings: Path, azl3: Built) -> None:
    """By the distribution's own programs: every file is as its package has it, but for configuration that scripts and
    the image's own configuration change; every package is there with its vendor's signature."""
    _, preparation = workshop.provider(azl3.template, rpm_settings)
    results = workshop.results(azl3.template, rpm_settings)
    sandbox = workshop.bare_sandbox()
    chroot = Tree((_layer(results, "chroot-environment"),))
    layers = tuple(_layer(results, step.name) for step in preparation.plan if step.name.startswith("packages:"))
    upper = workshop.cache / "tmp" / "tests" / "verified"
    sandbox.new_layer(upper)
    root = MountedTree(Tree(layers, upper), "/target", api=True)

    def asked(*words: str) -> str:
        return sandbox.run(Job(chroot, ("rpm", "--root", "/target", *words), (root,))).output.decode()

    verified = [line.split() for line in asked("--verify", "--all").splitlines()]
    # An attribute letter or `missing`, `c` for configuration, the path.
    assert {(words[1], words[-1]) for words in verified} == {
        ("c", "/etc/group"),
        ("c", "/etc/gshadow"),
        ("c", "/etc/machine-id"),
    }
    signed = asked("--query", "--all", "--queryformat", "%{NAME} %{RSAHEADER:pgpsig}\n").splitlines()
    wanted = {package.name for package in preparation.lock.sets["image"].packages()}
    assert {line.split()[0] for line in signed} == wanted
    key = next(r for r in preparation.lock.repositories if r.name == "azurelinux-base").signers[0][-16:].lower()
    assert [line for line in signed if not line.endswith(f"Key ID {key}")] == []


def _layer(results: Mapping[str, Result], step: str) -> Path:
    content = results[step].content
    assert content is not None
    return content
