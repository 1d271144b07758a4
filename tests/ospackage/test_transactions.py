"""How a set is cut into transactions, and what a locked package says."""

from __future__ import annotations

from os_image_composer.ospackage.resolve import Resolution
from support.deb_repository import DebRepository, deb

from .conftest import Resolve


def transactions(found: Resolution) -> list[tuple[str, list[str]]]:
    return [(t.label, [p.name for p in t.packages]) for t in found.sets["image"].transactions]


def test_each_group_adds_a_transaction_sorted_by_name(repository: DebRepository, resolve: Resolve) -> None:
    repository.add(deb("base", depends="libz, liba"), deb("libz"), deb("liba"), deb("extra", depends="liba")).write()
    assert transactions(resolve("base", "extra")) == [("g0", ["base", "liba", "libz"]), ("g1", ["extra"])]


def test_group_that_changes_an_earlier_choice_is_merged_with_it(repository: DebRepository, resolve: Resolve) -> None:
    repository.add(deb("base", depends="b | c"), deb("b"), deb("c"), deb("extra", conflicts="b")).write()
    assert transactions(resolve("base")) == [("g0", ["b", "base"])]
    assert transactions(resolve("base", "extra")) == [("g0, g1", ["base", "c", "extra"])]


def test_group_that_adds_nothing_makes_no_transaction(repository: DebRepository, resolve: Resolve) -> None:
    repository.add(deb("base", depends="a"), deb("a")).write()
    assert transactions(resolve("base", "a")) == [("g0", ["a", "base"])]


def test_depends_names_what_meets_the_demand_in_the_set(repository: DebRepository, resolve: Resolve) -> None:
    repository.add(
        deb("base", pre_depends="first", depends="virtual, other | absent"),
        deb("first"),
        deb("real", provides="virtual"),
        deb("other"),
    ).write()
    base = next(p for p in resolve("base").sets["image"].packages() if p.name == "base")
    assert base.depends == ("first", "other", "real")


def test_source_and_sizes_are_those_of_the_index(repository: DebRepository, resolve: Resolve) -> None:
    package = deb("libx1", "1.0+b1", source="x (1.0)", installed_size="12", essential="yes")
    repository.add(package, deb("y")).write()
    x, y = resolve("libx1 y").sets["image"].packages()
    assert (x.source, x.installed_size, x.size, x.essential) == ("x 1.0", 12 * 1024, len(package.data), True)
    assert (y.source, y.essential) == ("y 1.0", False)


def test_same_metadata_gives_the_same_resolution(repository: DebRepository, resolve: Resolve) -> None:
    repository.add(deb("a", depends="v"), deb("b", provides="v"), deb("c", provides="v")).write()
    assert resolve("a") == resolve("a")
