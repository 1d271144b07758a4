"""The package set is the one that the target's own apt would choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from os_image_composer.build.clock import SystemClock
from os_image_composer.build.events import silent
from os_image_composer.chroot.job import Tree
from os_image_composer.config.spec import PackageGroup
from os_image_composer.ospackage.deb.apt_sources import host_mirrors
from os_image_composer.ospackage.deb.resolver import DebResolver
from os_image_composer.ospackage.mirrors import repositories_for
from os_image_composer.ospackage.resolve import SetRequest
from os_image_composer.ospackage.transport import HttpTransport
from support.apt_oracle import apts_choice, target_apt
from support.workshop import Workshop

pytestmark = pytest.mark.build

TEMPLATE_LIST = "the template"
LISTS = (
    TEMPLATE_LIST,
    "default-mta",
    "postfix mailutils",
    "nginx",
    "python3-pip build-essential",
    "samba",
    "podman",
    "apache2 php",
    "network-manager",
    "mariadb-server",
    "xfce4 lightdm",
    "sysvinit-core",
)

Both = Callable[[str], tuple[Mapping[str, str], Mapping[str, str]]]


@pytest.fixture(scope="module")
def both(built: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Our choice and that of the chroot environment's apt for a list of packages."""
    provider, preparation = built.provider()
    groups = preparation.spec.package_groups
    words = {text: tuple(text.split()) for text in LISTS}
    words[TEMPLATE_LIST] = tuple(name for group in groups for name in group.packages)
    folder = tmp_path_factory.mktemp("oracle")
    known = provider.distribution
    repositories = repositories_for(known, {}, host_mirrors(Path("/etc")))
    root = Tree(built.layers("essential", "chroot-environment"))
    run_apt = target_apt(folder, repositories, known.package_arch, built.sandbox(), root)
    assert "3.0" in run_apt(["--version"])
    requests = [SetRequest(text, (PackageGroup("all", words[text]),), True) for text in LISTS]
    with HttpTransport() as transport:
        resolver = DebResolver(transport, built.cache / "metadata", SystemClock(), silent)
        sets = resolver.resolve(repositories, known.package_arch, requests).sets

    def choose(text: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
        ours = {p.name: p.version for p in sets[text].packages()}
        return ours, apts_choice(run_apt, words[text])

    return choose


@pytest.mark.parametrize("text", LISTS, ids=lambda text: text.split()[-1])
def test_set_is_that_of_the_targets_own_apt(both: Both, text: str) -> None:
    ours, apts = both(text)
    assert len(apts) > 60
    assert ours == apts
