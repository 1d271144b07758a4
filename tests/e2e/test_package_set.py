"""Package sets are those that the release's own apt would choose, name by name and version by version, on the live
archive with updates, security and backports."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.distribution_data import load_distribution
from os_image_composer.errors import SolveError
from os_image_composer.ospackage.deb.apt_sources import host_mirrors
from os_image_composer.ospackage.deb.candidates import Available
from os_image_composer.ospackage.deb.solve import solve
from os_image_composer.ospackage.mirrors import repositories_for
from os_image_composer.ospackage.resolve import Repository
from support.apt_oracle import AptRefusedError, RunApt, apt_of, apts_choice, available, pinned, unpack_apt
from support.package_lists import LISTS, REFUSED, PackageList
from support.workshop import CHECKOUT, Workshop

pytestmark = pytest.mark.build

CODE_NAMES = {"debian12": "bookworm", "debian13": "trixie"}
APT_VERSIONS = {"debian12": "2.6", "debian13": "3.0"}

Set = Mapping[str, str]


@dataclass(frozen=True)
class Release:
    """A release seen by us and by its own apt."""

    code_name: str
    run_apt: RunApt
    folder: Path
    choose_from: Callable[[int | None], Available]

    def words(self, package_list: PackageList) -> list[str]:
        """The list with versions in the place of `@suite`."""
        return [self._word(word.replace("SUITE", self.code_name)) for word in package_list.text.split()]

    def _word(self, word: str) -> str:
        name, sign, suite = word.partition("=@")
        if not sign:
            return word
        versions = self.choose_from(None).versions(name)
        return f"{name}={next(p.version for p in versions if p.suite == suite)}"

    def ours(self, package_list: PackageList) -> Set:
        chosen = solve(self.choose_from(package_list.backports), self.words(package_list), defaults=True)
        return {p.name: p.version for p in chosen}

    def apts(self, package_list: PackageList) -> Set:
        suite, pin = f"{self.code_name}-backports", package_list.backports
        options = pinned(self.folder, suite, pin) if pin is not None else ()
        return apts_choice(self.run_apt, self.words(package_list), options)


def with_backports(repositories: tuple[Repository, ...], code_name: str) -> tuple[Repository, ...]:
    suite = f"{code_name}-backports"
    if any(suite in repository.suites for repository in repositories):
        return repositories
    return (*repositories, replace(repositories[0], name=suite, suites=(suite,), priority=None))


@pytest.fixture(scope="session")
def release(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Release]:
    """A release by its name; made once."""

    @functools.cache
    def make(dist: str) -> Release:
        folder = tmp_path_factory.mktemp(dist)
        known = load_distribution("debian", dist, "x86_64", CHECKOUT / "config")
        own = repositories_for(known, {}, host_mirrors(Path("/etc")))
        repositories = with_backports(own, CODE_NAMES[dist])
        sandbox = workshop.bare_sandbox()
        root = unpack_apt(
            workshop.cache / "tmp" / "tests" / f"apt-{dist}", own, known.package_arch, sandbox, workshop.cache
        )
        return Release(
            CODE_NAMES[dist],
            apt_of(folder / "apt", repositories, known.package_arch, sandbox, root),
            folder / "apt",
            functools.cache(functools.partial(_choose_from, repositories, CODE_NAMES[dist], workshop)),
        )

    return make


def _choose_from(
    repositories: tuple[Repository, ...], code_name: str, workshop: Workshop, pin: int | None
) -> Available:
    pins = {} if pin is None else {f"{code_name}-backports": pin}
    return available(repositories, "amd64", workshop.cache / "metadata", pins)


def _cases() -> list[object]:
    return [
        pytest.param(dist, one, id=f"{dist} {one}", marks=[] if one.every_run else [pytest.mark.matrix])
        for dist, lists in LISTS.items()
        for one in lists
    ]


@pytest.mark.parametrize("dist", LISTS)
def test_there_are_forty_lists_and_the_judge_is_the_releases_own_apt(
    dist: str, release: Callable[[str], Release]
) -> None:
    assert len(set(LISTS[dist])) >= 40
    _, text = release(dist).run_apt(["--version"])
    assert text.startswith(f"apt {APT_VERSIONS[dist]}.")


@pytest.mark.parametrize(("dist", "package_list"), _cases())
def test_set_is_that_of_the_releases_own_apt(
    dist: str, package_list: PackageList, release: Callable[[str], Release]
) -> None:
    own = release(dist)
    ours, apts = own.ours(package_list), own.apts(package_list)
    assert len(apts) > 60
    assert ours == apts


@pytest.mark.parametrize("dist", LISTS)
@pytest.mark.parametrize("text", REFUSED)
def test_what_apt_refuses_is_refused(text: str, dist: str, release: Callable[[str], Release]) -> None:
    own = release(dist)
    with pytest.raises(AptRefusedError):
        own.apts(PackageList(text))
    with pytest.raises(SolveError) as caught:
        own.ours(PackageList(text))
    assert caught.value.reference == REFUSED[text]


def test_packages_of_a_template_are_those_that_its_own_apt_chooses(
    built: Workshop, release: Callable[[str], Release]
) -> None:
    provider, preparation = built.provider()
    text = " ".join(name for group in preparation.spec.package_groups for name in group.packages)
    locked = {p.name: p.version for p in preparation.lock.sets["image"].packages()}
    sandbox: Sandbox = built.sandbox()
    root = Tree(built.layers("essential", "chroot-environment"))
    folder = release("debian13").folder.with_name("installed")
    repositories = repositories_for(provider.distribution, {}, host_mirrors(Path("/etc")))
    run_apt = apt_of(folder, repositories, provider.distribution.package_arch, sandbox, root)
    assert locked == apts_choice(run_apt, text.split())
