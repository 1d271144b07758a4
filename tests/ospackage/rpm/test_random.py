"""Small random repositories: what is chosen is consistent, and something is chosen whenever anything could be.

The oracle is brute force over all subsets, with rpm's version comparison and relations written down anew."""

from __future__ import annotations

import itertools
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from os_image_composer.errors import SolveError
from support.deb_repository import SigningKey
from support.rpm_package import MadeRpm, relation, rpm
from support.rpm_repository import RpmRepository

from .conftest import Resolve

Chooses = Callable[[list[MadeRpm], list[str]], list[MadeRpm] | None]
REPOSITORIES = 50
VERSIONS = ("1-1", "1-2", "1.5~rc1-1", "1.5-1", "1.5^git3-1", "2-1", "1:0.5-1")


# -- rpm's rules, once more -------------------------------------------------------------------------------------


def compare(one: str, other: str) -> int:
    """rpmvercmp: segments of digits and letters; ~ is before the end, ^ after it but before anything else."""
    left, right = (re.findall(r"[0-9]+|[A-Za-z]+|[~^]", text) for text in (one, other))
    for a, b in itertools.zip_longest(left, right, fillvalue=""):
        if a == b:
            continue
        for mark, rank in (("~", -1), ("^", 1)):
            if a == mark or b == mark:
                if mark == "^":  # nothing < ^ < anything else
                    return rank if not b else -rank if not a else (-1 if a == mark else 1)
                return rank if a == mark else -rank
        if not a or not b:
            return 1 if a else -1
        if a.isdigit() != b.isdigit():
            return 1 if a.isdigit() else -1
        x, y = (int(a), int(b)) if a.isdigit() else (a, b)
        if x != y:
            return 1 if x > y else -1  # type: ignore[operator]
    return 0


def compare_evr(one: str, other: str) -> int:
    """Where one has no release, none is compared."""
    parts = []
    for text in (one, other):
        epoch, _, rest = text.rpartition(":")
        version, _, release = rest.partition("-")
        parts.append((int(epoch or 0), version, release))
    (e1, v1, r1), (e2, v2, r2) = parts
    if e1 != e2:
        return 1 if e1 > e2 else -1
    by_version = compare(v1, v2)
    return by_version or (compare(r1, r2) if r1 and r2 else 0)


def overlaps(provided: str, wanted: str) -> bool:
    """Whether some version meets both, as rpmdsCompare has it."""
    name, has, evr = relation(provided)
    other, wants, limit = relation(wanted)
    if name != other:
        return False
    if not has or not wants:
        return True
    order = compare_evr(evr, limit)
    if order < 0:
        return ">" in has or "<" in wants
    if order > 0:
        return "<" in has or ">" in wants
    if "-" in limit and "-" not in evr:
        return True  # what is provided without a release is so with every release
    return any(sign in has and sign in wants for sign in "<>=")


def meets(package: MadeRpm, wanted: str) -> bool:
    return any(overlaps(p, wanted) for p in package.provided())


def holds(wanted: str, chosen: Sequence[MadeRpm]) -> bool:
    """Whether a plain or rich relation is met by the chosen packages."""
    if not wanted.startswith("("):
        return any(meets(p, wanted) for p in chosen)
    one, operator, other = re.fullmatch(r"\((.+?) (or|and|if) (.+)\)", wanted).groups()  # type: ignore[union-attr]
    a, b = holds(one, chosen), holds(other, chosen)
    return {"or": a or b, "and": a and b, "if": a or not b}[operator]


def consistent(chosen: Sequence[MadeRpm]) -> bool:
    if len({p.name for p in chosen}) != len(chosen):
        return False
    for package in chosen:
        others = [p for p in chosen if p is not package]
        if not all(holds(r, chosen) for r in package.relations.get("requires", ())):
            return False
        if any(meets(o, r) for o in others for r in package.relations.get("conflicts", ())):
            return False
        # Obsoletes look at names and versions of packages only.
        if any(overlaps(f"{o.name} = {o.evr}", r) for o in others for r in package.relations.get("obsoletes", ())):
            return False
    return True


# -- the repositories -------------------------------------------------------------------------------------------


def random_packages(seed: int) -> list[MadeRpm]:
    chance = random.Random(seed)
    names = [f"p{n}" for n in range(chance.randint(4, 6))]
    capabilities = ["cap1", "cap2"]

    def wish() -> str:
        name = chance.choice([*names, *names, *capabilities])
        return name if chance.random() < 0.4 else f"{name} {chance.choice(['<', '<=', '=', '>=', '>'])} {some_evr()}"

    def some_evr() -> str:
        evr = chance.choice(VERSIONS)
        return evr if chance.random() < 0.5 else evr.rpartition("-")[0]

    def requirement() -> str:
        if chance.random() < 0.75:
            return wish()
        return f"({wish()} {chance.choice(['or', 'and', 'if'])} {wish()})"

    def package(name: str, evr: str) -> MadeRpm:
        return rpm(
            name,
            evr,
            requires=[requirement() for _ in range(chance.choice([0, 1, 1, 2]))],
            provides=[f"{chance.choice(capabilities)} = {some_evr()}" for _ in range(chance.choice([0, 1]))],
            conflicts=[wish() for _ in range(chance.choice([0, 0, 0, 1]))],
            obsoletes=[f"{chance.choice(names)} < {some_evr()}" for _ in range(chance.choice([0, 0, 0, 0, 1]))],
        )

    packages = [package(name, evr) for name in names for evr in chance.sample(VERSIONS, chance.choice([1, 1, 2]))]
    return [replace(p, relations={k: v for k, v in p.relations.items() if v}) for p in packages]


def candidates(packages: Sequence[MadeRpm], name: str) -> list[MadeRpm]:
    """The packages of that name, and what obsoletes them."""
    named = [p for p in packages if p.name == name]
    successors = [
        p
        for p in packages
        if any(overlaps(f"{n.name} = {n.evr}", r) for n in named for r in p.relations.get("obsoletes", ()))
    ]
    return [*named, *successors]


def possible(packages: Sequence[MadeRpm], requests: Sequence[str]) -> bool:
    subsets: Iterator[tuple[MadeRpm, ...]] = itertools.chain.from_iterable(
        itertools.combinations(packages, n) for n in range(1, len(packages) + 1)
    )
    wanted = [candidates(packages, name) for name in requests]
    return any(all(any(c in s for c in cs) for cs in wanted) and consistent(s) for s in subsets)


@pytest.fixture
def chooses(repository: RpmRepository, resolve: Resolve) -> Chooses:
    """The packages that the requests bring, None where that is refused."""

    def run(packages: list[MadeRpm], requests: list[str]) -> list[MadeRpm] | None:
        repository.packages, repository.metadata_only = packages, True
        repository.form, repository.name = "", f"r{id(packages)}"
        repository.write()
        try:
            found = resolve(" ".join(requests))
        except SolveError as error:
            assert error.reference == "cannot-be-installed", error
            return None
        by_identity = {(p.name, p.evr): p for p in packages}
        return [by_identity[p.name, p.version] for p in found.sets["image"].packages()]

    return run


@pytest.mark.parametrize("first", range(0, REPOSITORIES, 10))
def test_chosen_set_is_consistent_and_one_is_found_whenever_there_is_one(first: int, chooses: Chooses) -> None:
    outcomes = set()
    for seed in range(first, first + 10):
        packages = random_packages(seed)
        requests = random.Random(seed).sample(sorted({p.name for p in packages}), 2)
        chosen = chooses(packages, requests)
        assert (chosen is not None) == possible(packages, requests), (seed, requests)
        outcomes.add(chosen is not None)
        if chosen is not None:
            assert consistent(chosen), (seed, requests, chosen)
            assert all(any(c in chosen for c in candidates(packages, name)) for name in requests), (seed, requests)
    assert True in outcomes


@pytest.mark.matrix
@pytest.mark.skipif(shutil.which("rpm") is None, reason="needs rpm, which scripts/install-host-packages --test brings")
@pytest.mark.parametrize("seed", range(REPOSITORIES))
def test_rpm_accepts_what_was_chosen(seed: int, chooses: Chooses, tmp_path: Path) -> None:
    packages = random_packages(seed)
    requests = random.Random(seed).sample(sorted({p.name for p in packages}), 2)
    chosen = chooses(packages, requests)
    if chosen is None:
        return
    key, files = SigningKey(), []
    for package in chosen:
        file = tmp_path / package.file_name
        file.write_bytes(package.signed(key))
        files.append(file)
    command = ["rpm", "--dbpath", f"{tmp_path}/db", "--nosignature", "-U", "--test", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
