"""What a set consists of: the semantics of Debian's relations and apt's choices, on small archives."""

from __future__ import annotations

import pytest

from os_image_composer.errors import MetadataError, SolveError
from os_image_composer.ospackage.deb.candidates import Available, pin_of
from os_image_composer.ospackage.deb.control import parse_paragraph, parse_relations
from os_image_composer.ospackage.deb.packages import SuiteIndex
from os_image_composer.ospackage.deb.release import Release
from os_image_composer.ospackage.deb.solve import solve


def stanza(name: str, version: str = "1", **fields: str) -> str:
    lines = {"Package": name, "Version": version, "Architecture": "amd64", "Priority": "optional"}
    lines |= {key.replace("_", "-").title(): value for key, value in fields.items()}
    lines |= {"Filename": f"pool/{name}_{version}.deb", "Size": "1", "SHA256": "0" * 64}
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


def index(*stanzas: str, suite: str = "test/stable", pin: int = 500) -> SuiteIndex:
    return SuiteIndex("\n".join(stanzas).encode(), suite, pin, suite)


def chosen(archive: Available | SuiteIndex, *requests: str, defaults: bool = False) -> list[str]:
    available = archive if isinstance(archive, Available) else Available([archive], ["test/stable"], "amd64")
    return [str(p) for p in solve(available, requests, defaults=defaults)]


def refusal(archive: SuiteIndex, *requests: str) -> SolveError:
    with pytest.raises(SolveError) as caught:
        chosen(archive, *requests)
    return caught.value


def test_depends_and_pre_depends_are_followed_and_recommends_are_not() -> None:
    archive = index(stanza("a", pre_depends="b", depends="c", recommends="d", suggests="e"), *map(stanza, "bcde"))
    assert chosen(archive, "a") == ["a 1", "b 1", "c 1"]


def test_versioned_dependency_is_not_met_by_unversioned_provides() -> None:
    archive = index(stanza("a", depends="virtual (>= 1)"), stanza("b", provides="virtual"))
    error = refusal(archive, "a")
    assert error.reference == "cannot-be-installed"
    assert "a 1 depends on virtual (>= 1), which no repository has" in error.detail


def test_versioned_dependency_is_met_by_a_versioned_provides_that_is_new_enough() -> None:
    archive = index(
        stanza("a", depends="virtual (>= 2~)"),
        stanza("old", provides="virtual (= 1)"),
        stanza("new", provides="virtual (= 2)"),
    )
    assert chosen(archive, "a") == ["a 1", "new 1"]


def test_unversioned_dependency_is_met_by_a_versioned_provides() -> None:
    archive = index(stanza("a", depends="virtual"), stanza("b", provides="virtual (= 1)"))
    assert chosen(archive, "a") == ["a 1", "b 1"]


def test_first_alternative_is_preferred() -> None:
    archive = index(stanza("a", depends="usrmerge | usr-is-merged"), stanza("usr-is-merged"), stanza("usrmerge"))
    assert chosen(archive, "a") == ["a 1", "usrmerge 1"]


def test_alternative_that_was_asked_for_is_enough() -> None:
    archive = index(stanza("a", depends="b | c"), stanza("b"), stanza("c"))
    assert chosen(archive, "a", "c") == ["a 1", "c 1"]


def test_alternative_whose_dependencies_do_not_exist_is_passed_over() -> None:
    archive = index(stanza("a", depends="b | c"), stanza("b", depends="missing"), stanza("c"))
    assert chosen(archive, "a") == ["a 1", "c 1"]


def test_package_of_the_very_name_is_preferred_to_its_providers() -> None:
    archive = index(
        stanza("z"), stanza("a", depends="mta"), stanza("exim", provides="mta", priority="required"), stanza("mta")
    )
    assert chosen(archive, "a") == ["a 1", "mta 1"]


def test_provider_of_better_priority_is_preferred() -> None:
    archive = index(
        stanza("a", depends="awk"),
        stanza("gawk", provides="awk"),
        stanza("mawk", provides="awk", priority="required"),
        stanza("original-awk", provides="awk"),
    )
    assert chosen(archive, "a") == ["a 1", "mawk 1"]


def test_provider_that_the_index_mentions_last_wins_a_tie() -> None:
    archive = index(
        stanza("0", depends="late"),
        stanza("a", depends="v"),
        stanza("early", provides="v"),
        stanza("late", provides="v"),
    )
    assert chosen(archive, "a") == ["a 1", "early 1"]


def test_conflict_with_a_request_turns_to_the_next_alternative() -> None:
    archive = index(stanza("a", depends="b | c"), stanza("b"), stanza("c"), stanza("d", conflicts="b"))
    assert chosen(archive, "a", "d") == ["a 1", "c 1", "d 1"]


def test_conflict_that_apts_first_choice_misses_is_solved() -> None:
    archive = index(
        stanza("a", depends="b | c, d"), stanza("b"), stanza("c"), stanza("d", depends="e"), stanza("e", breaks="b")
    )
    assert chosen(archive, "a") == ["a 1", "c 1", "d 1", "e 1"]


def test_package_that_conflicts_with_what_it_provides_can_be_installed() -> None:
    archive = index(
        stanza("postfix", provides="mail-transport-agent", conflicts="mail-transport-agent"),
        stanza("exim", provides="mail-transport-agent", conflicts="mail-transport-agent"),
    )
    assert chosen(archive, "postfix") == ["postfix 1"]
    error = refusal(archive, "postfix", "exim")
    assert "conflicts with mail-transport-agent" in " ".join(error.detail)


def test_breaks_concerns_the_versions_it_names_only() -> None:
    archive = index(stanza("a", breaks="b (<< 2)"), stanza("b", "2"), stanza("c", breaks="b (<= 2)"))
    assert chosen(archive, "a", "b") == ["a 1", "b 2"]
    assert "c 1 conflicts with b (<= 2), which b 2 is" in refusal(archive, "c", "b").detail


def test_versioned_breaks_is_not_about_unversioned_provides() -> None:
    archive = index(stanza("a", breaks="v (<< 2)"), stanza("b", provides="v"), stanza("c", provides="v (= 1)"))
    assert chosen(archive, "a", "b") == ["a 1", "b 1"]
    assert refusal(archive, "a", "c").reference == "cannot-be-installed"


def test_any_is_met_by_packages_that_allow_it_only() -> None:
    archive = index(stanza("a", depends="python3:any"), stanza("python3", multi_arch="allowed"))
    assert chosen(archive, "a") == ["a 1", "python3 1"]
    assert refusal(index(stanza("a", depends="python3:any"), stanza("python3")), "a").reference == "cannot-be-installed"


def test_essential_packages_and_apts_own_are_there_when_wanted() -> None:
    archive = index(
        stanza("a"),
        stanza("dpkg", essential="yes", depends="tar"),
        stanza("tar"),
        stanza("apt"),
        stanza("init", important="yes"),
    )
    assert chosen(archive, "a", defaults=True) == ["a 1", "apt 1", "dpkg 1", "tar 1"]
    assert chosen(archive, "a") == ["a 1"]


def test_chain_longer_than_pythons_stack_is_followed() -> None:
    archive = index(*(stanza(f"p{n}", depends=f"p{n + 1}") for n in range(1500)), stanza("p1500"))
    assert len(chosen(archive, "p0")) == 1501


def test_newest_version_is_the_candidate_and_another_only_by_request() -> None:
    archive = index(stanza("a", "1.9"), stanza("a", "1.10"), stanza("a", "1.10~rc1"))
    assert chosen(archive, "a") == ["a 1.10"]
    assert chosen(archive, "a=1.9") == ["a 1.9"]
    error = refusal(archive, "a=2")
    assert error.reference == "unknown-version"
    assert "1.10~rc1" in str(error.cause)


def test_suite_of_lower_pin_is_never_taken_from_even_where_it_would_help() -> None:
    stable = index(stanza("a", depends="b (>= 2)"), stanza("b", "1"))
    backports = index(stanza("b", "2"), suite="test/backports", pin=100)
    available = Available([stable, backports], ["test/stable", "test/backports"], "amd64")
    with pytest.raises(SolveError) as caught:
        chosen(available, "a")
    assert "there is b 1 (test/stable), b 2 (test/backports)" in " ".join(caught.value.detail)
    assert chosen(available, "a", "b/backports") == ["a 1", "b 2"]


def test_request_from_a_suite_takes_along_what_its_versions_demand_of_that_suite() -> None:
    stable = index(stanza("meta", depends="kernel-1"), stanza("kernel-1"), stanza("tool", "1"))
    newer = (
        stanza("meta", "2", depends="kernel-2 (= 2)"),
        stanza("kernel-2", "2", depends="tool (>= 2)"),
        stanza("tool", "2"),
    )
    available = Available([stable, index(*newer, suite="test/backports", pin=100)], [], "amd64")
    assert chosen(available, "meta") == ["kernel-1 1", "meta 1"]
    assert chosen(available, "meta/backports") == ["kernel-2 2", "meta 2", "tool 2"]
    with pytest.raises(SolveError):
        chosen(available, "meta=2")


def test_what_follows_a_suite_ends_at_the_first_demand_that_it_cannot_help() -> None:
    stable = index(stanza("b", "1"), stanza("c"), stanza("lib", depends="c"))
    backports = index(
        stanza("a", "2", depends="lib, b (>= 2)"),
        stanza("d", "2", depends="b (>= 2), lib"),
        stanza("b", "2"),
        suite="test/backports",
        pin=100,
    )
    available = Available([stable, backports], [], "amd64")
    assert chosen(available, "d/backports") == ["b 2", "c 1", "d 2", "lib 1"]
    with pytest.raises(SolveError):
        chosen(available, "a/backports")


def test_package_that_only_backports_has_is_found() -> None:
    available = Available([index(stanza("a")), index(stanza("b"), suite="test/backports", pin=100)], [], "amd64")
    assert chosen(available, "b") == ["b 1"]


@pytest.mark.parametrize(
    ("not_automatic", "upgrades", "priority", "pin"),
    [
        (False, False, None, 500),
        (True, False, None, 1),
        (True, True, None, 100),
        (True, True, 500, 500),
        (True, True, 990, 990),
        (False, False, -1, -1),
    ],
)
def test_pin_follows_from_release_and_repository(
    not_automatic: bool, upgrades: bool, priority: int | None, pin: int
) -> None:
    release = Release("", "", 0, None, not_automatic, upgrades, False, (), (), True, {})
    assert pin_of(release, priority) == pin


def test_conflict_with_another_architectures_package_excludes_nothing() -> None:
    archive = index(stanza("a", conflicts="b:i386", breaks="c:x32 (<< 9)"), stanza("b"), stanza("c"))
    assert chosen(archive, "a", "b", "c") == ["a 1", "b 1", "c 1"]
    assert chosen(index(stanza("a", depends="b:i386 | c"), stanza("b"), stanza("c")), "a") == ["a 1", "c 1"]


def test_conflict_with_a_package_of_the_own_architecture_by_name_excludes_it() -> None:
    archive = index(stanza("a", depends="b | c", conflicts="b:amd64"), stanza("b", architecture="all"), stanza("c"))
    assert chosen(archive, "a") == ["a 1", "c 1"]


def test_request_may_name_the_images_own_architecture_and_no_other() -> None:
    archive = index(stanza("a"), stanza("b"))
    assert chosen(archive, "a:amd64", "b:any") == ["a 1", "b 1"]
    assert refusal(archive, "a:i386").reference == "foreign-architecture"
    assert refusal(archive, "a:").reference == "bad-package-name"


def test_unknown_package_is_told_with_near_names_and_the_repositories() -> None:
    error = refusal(index(stanza("openssh-server"), stanza("nginx")), "opnssh-server")
    assert error.reference == "unknown-package"
    assert "openssh-server" in str(error.hint)
    assert "test/stable" in str(error.cause)


def test_name_that_one_package_provides_means_it_and_of_several_none() -> None:
    archive = index(stanza("a", provides="v, w"), stanza("b", provides="w"))
    assert chosen(archive, "v") == ["a 1"]
    error = refusal(archive, "w")
    assert (error.reference, error.cause) == ("virtual-package", "a, b")


def test_two_versions_of_one_package_are_refused() -> None:
    assert refusal(index(stanza("a", "1"), stanza("a", "2")), "a=1", "a=2").reference == "two-versions"


def test_pinned_version_also_meets_a_request_by_name_alone() -> None:
    both = Available([index(stanza("a", "1"), stanza("a", "2"))], [], "amd64")
    assert chosen(both, "a", "a=1") == chosen(both, "a=1", "a") == ["a 1"]
    newer = index(stanza("a", "3"), suite="test/backports", pin=100)
    assert chosen(Available([index(stanza("a", "2")), newer], [], "amd64"), "a", "a/backports") == ["a 3"]


@pytest.mark.parametrize("name", ["", "a b", "a;reboot", "-a", "a=", "../a"])
def test_text_that_is_no_package_name_is_refused(name: str) -> None:
    assert refusal(index(stanza("a")), name).reference == "bad-package-name"


def test_chain_of_a_conflict_names_every_package_in_it() -> None:
    archive = index(stanza("a", depends="b"), stanza("b", depends="c"), stanza("c"), stanza("x", conflicts="c"))
    text = "\n".join(refusal(archive, "a", "x").detail)
    for part in ("a 1 depends on b", "b 1 depends on c", "x 1 conflicts with c, which c 1 is"):
        assert part in text


def test_malformed_relation_names_the_entry() -> None:
    with pytest.raises(MetadataError) as caught:
        chosen(index(stanza("a", depends="b (>= )")), "a")
    assert "a" in caught.value.message
    assert caught.value.reference == "bad-index"


def test_relations_are_read_with_alternatives_versions_and_qualifiers() -> None:
    (first, second) = parse_relations("a (>= 1:2.0~x) | b:any ,c(<<3)")
    assert [str(r) for r in first] == ["a (>= 1:2.0~x)", "b:any"]
    assert [str(r) for r in second] == ["c (<< 3)"]


def test_paragraph_with_a_field_twice_is_refused() -> None:
    assert parse_paragraph("A: 1\nB:\n x\n y\n") == {"a": "1", "b": "\nx\ny"}
    with pytest.raises(MetadataError):
        parse_paragraph("A: 1\na: 2\n")
