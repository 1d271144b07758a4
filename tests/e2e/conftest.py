from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.deb_repository import served
from support.facts import PACKAGES, write_facts_template
from support.look_alike import LookAlike, elxr_look_alike
from support.lookalike.made import Lookalikes
from support.workshop import TEMPLATE, Workshop, remove_workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    made = Workshop(tmp_path_factory.mktemp("workshop"))
    yield made
    remove_workshop(made)


@pytest.fixture(scope="session")
def built(workshop: Workshop) -> Workshop:
    """The sample template, built from nothing."""
    done = workshop.run("build", str(TEMPLATE))
    assert done.returncode == 0, done.stdout + done.stderr
    return workshop


@pytest.fixture(scope="session")
def facts_template(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A template that asks for everything a system can be told, built."""
    template = write_facts_template(tmp_path_factory.mktemp("facts"))
    done = workshop.run("build", str(template))
    assert done.returncode == 0, done.stdout + done.stderr
    return template


@pytest.fixture(scope="session")
def elxr(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LookAlike]:
    """A look-alike of the vendor's repository, with what the facts template asks for too."""
    with elxr_look_alike(tmp_path_factory.mktemp("elxr"), workshop.settings(), PACKAGES) as repository:
        yield repository


@pytest.fixture(scope="session")
def rpm_settings(lookalikes: Lookalikes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Settings with which Azure Linux 3 and Edge Microvisor Toolkit 3 are built from the look-alikes."""
    file = tmp_path_factory.mktemp("rpm") / "settings.yml"
    with served(lookalikes.root) as server:
        file.write_text(lookalikes.settings_text(server.url))
        yield file
