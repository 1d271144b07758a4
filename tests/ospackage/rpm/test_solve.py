"""Which packages a request brings, as rpm's relations have it and dnf chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.errors import SolveError
from os_image_composer.ospackage.explanation import NotInstallableError
from support.deb_repository import SigningKey, served
from support.rpm_package import MadeRpm, rpm
from support.rpm_repository import RpmRepository

from .conftest import Resolve, chosen, names

Offer = Callable[..., list[str]]


@pytest.fixture
def offer(repository: RpmRepository, resolve: Resolve) -> Offer:
    """Write these packages, then resolve the requests: `offer([packages], "request …")`."""

    def run(packages: list[MadeRpm], *groups: str) -> list[str]:
        repository.packages, repository.metadata_only = packages, True
        repository.write()
        return chosen(resolve(*groups))

    return run


def versions(*evrs: str) -> list[MadeRpm]:
    return [rpm("a", evr) for evr in evrs]


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("5.0-1", "1:0.9-1"),  # an epoch beats every version
        ("1.0~rc1-1", "1.0-1"),  # ~ is before nothing
        ("1.0-1", "1.0^git1-1"),  # ^ is after nothing
        ("1.0^git1-1", "1.0.1-1"),  # but before everything else
        ("1.9-1", "1.10-1"),
        ("1.0-9", "1.0-10"),
        ("1.0a-1", "1.0.1-1"),  # a number is newer than letters
    ],
)
def test_newest_version_is_chosen(offer: Offer, older: str, newer: str) -> None:
    assert offer(versions(older, newer), "a") == [f"a-{newer}"]
    assert offer(versions(newer, older), "a") == [f"a-{newer}"]


def test_older_version_is_taken_where_the_newest_cannot_be_installed(offer: Offer) -> None:
    assert offer([rpm("a", "2-1", requires=("absent",)), rpm("a", "1-1")], "a") == ["a-1-1"]


def test_versioned_dependency_is_met_by_a_versioned_provides_and_no_lesser_one(offer: Offer) -> None:
    packages = [
        rpm("a", requires=("api >= 2",)),
        rpm("one", provides=("api = 1",)),
        rpm("two", provides=("api = 2.1",)),
    ]
    assert offer(packages, "a") == ["a-1.0-1", "two-1.0-1"]


def test_unversioned_provides_meets_a_versioned_dependency(offer: Offer) -> None:
    assert offer([rpm("a", requires=("api >= 2",)), rpm("b", provides=("api",))], "a") == ["a-1.0-1", "b-1.0-1"]


def test_relation_without_release_is_met_by_every_release(offer: Offer) -> None:
    assert offer([rpm("a", requires=("b = 2",)), rpm("b", "2-7")], "a") == ["a-1.0-1", "b-2-7"]


def test_conflicts_keep_apart(offer: Offer) -> None:
    packages = [rpm("a", conflicts=("b < 2",)), rpm("b", "1-1"), rpm("c", requires=("b",))]
    with pytest.raises(SolveError) as caught:
        offer(packages, "a c")
    assert caught.value.reference == "cannot-be-installed"
    assert "a 1.0-1 conflicts with b < 2, which b 1-1 is" in caught.value.detail
    assert offer([*packages, rpm("b", "2-1")], "a c") == ["a-1.0-1", "b-2-1", "c-1.0-1"]


def test_requested_name_that_is_obsoleted_takes_its_successor(offer: Offer) -> None:
    packages = [rpm("old", "1-1"), rpm("new", "2-1", obsoletes=("old < 2",), provides=("old = 2",))]
    assert offer(packages, "old") == ["new-2-1"]
    assert offer([rpm("old", "3-1"), packages[1]], "old") == ["old-3-1"]


def test_obsoletes_look_at_names_and_not_at_provides(offer: Offer) -> None:
    packages = [rpm("old", provides=("virtual",)), rpm("new", obsoletes=("virtual",))]
    assert offer(packages, "old") == ["old-1.0-1"]


def test_pinned_version_is_not_replaced_by_a_successor(offer: Offer) -> None:
    packages = [rpm("old", "1-1"), rpm("new", "2-1", obsoletes=("old < 2",), provides=("old = 2",))]
    assert offer(packages, "old-1") == ["old-1-1"]


@pytest.mark.parametrize(
    ("relation", "brings"),
    [
        ("(x or y)", {"x"}),
        ("(x and y)", {"x", "y"}),
        ("(x if installed)", {"x"}),
        ("(x if absent)", set()),
        ("(x if absent else y)", {"y"}),
        ("(api >= 1 with api < 2)", {"one"}),
        ("(api without api < 2)", {"two"}),
        ("(y unless installed)", set()),
    ],
)
def test_rich_dependencies(offer: Offer, relation: str, brings: set[str]) -> None:
    kind = "conflicts" if "unless" in relation else "requires"
    packages = [
        rpm("a", requires=("installed", *((relation,) if kind == "requires" else ()))),
        rpm("installed"),
        rpm("x"),
        rpm("y"),
        rpm("one", provides=("api = 1.5",)),
        rpm("two", provides=("api = 2.5",)),
    ]
    assert {n.rsplit("-", 2)[0] for n in offer(packages, "a")} - {"a", "installed"} == brings


WEAK = [
    rpm("a", recommends=("b", "(x if a)")),
    rpm("b", requires=("lib",), recommends=("absent",)),
    rpm("lib"),
    rpm("c"),
    rpm("a2", suggests=("c",)),
    rpm("d", supplements=("a",)),
    rpm("e", enhances=("a",)),
    rpm("f", supplements=("(a and absent)",)),
    rpm("x"),
]


def test_weak_dependencies_are_left_out(offer: Offer) -> None:
    assert offer(WEAK, "a a2") == ["a-1.0-1", "a2-1.0-1"]


def test_weak_dependencies_come_along_where_the_request_wants_them(repository: RpmRepository, resolve: Resolve) -> None:
    repository.add(*WEAK).write()
    assert names(resolve("a a2", weak=True)) == ["a", "a2", "b", "d", "lib", "x"]


def test_weak_dependency_that_cannot_be_installed_is_left_out(repository: RpmRepository, resolve: Resolve) -> None:
    repository.add(rpm("a", recommends=("b",)), rpm("b", requires=("absent",))).write()
    assert names(resolve("a", weak=True)) == ["a"]


def test_entries_of_another_architecture_are_ignored(offer: Offer) -> None:
    packages = [
        rpm("a", "1-1", arch="x86_64"),
        rpm("a", "2-1", arch="i686"),
        rpm("b", arch="aarch64"),
        rpm("c", arch="src"),
    ]
    assert offer(packages, "a") == ["a-1-1"]
    for name in ("b", "c"):
        with pytest.raises(SolveError):
            offer(packages, name)
    with pytest.raises(SolveError):
        offer([rpm("a", requires=("lib.so.1",)), rpm("l", provides=("lib.so.1",), arch="i686")], "a")


def test_other_architecture_is_there_when_it_is_asked_for(repository: RpmRepository, resolve: Resolve) -> None:
    both = [rpm("lib", arch=arch, provides=(f"lib.so({arch})",)) for arch in ("x86_64", "i686")]
    repository.add(*both, rpm("devel", arch="i686", requires=("lib.so(i686)",))).write()
    found = resolve("devel.i686 lib")
    assert [f"{p.name}.{p.arch}" for p in found.sets["image"].packages()] == ["devel.i686", "lib.i686", "lib.x86_64"]
    assert names(resolve("lib")) == ["lib"]
    only = resolve("lib.i686").sets["image"].packages()
    assert [p.arch for p in only] == ["i686"]


@pytest.mark.parametrize(
    ("request_", "gives"),
    [
        ("a", "a-1:2.0-3"),
        ("a-1.0", "a-1.0-2"),
        ("a-1.0-1", "a-1.0-1"),
        ("a-1:2.0-3", "a-1:2.0-3"),
        ("a-2.0-3", "a-1:2.0-3"),
        ("a.x86_64", "a-1:2.0-3"),
        ("a-1.0-1.x86_64", "a-1.0-1"),
        ("a-1.0.x86_64", "a-1.0-2"),
        ("a-b", "a-b-7-1"),
        ("a-b-7", "a-b-7-1"),
        ("capability", "a-b-7-1"),
        ("/usr/bin/tool", "a-b-7-1"),
        ("/usr/share/tool", "a-b-7-1"),
        ("/bin/tool", "a-b-7-1"),
    ],
)
def test_forms_of_a_request(offer: Offer, request_: str, gives: str) -> None:
    files = {"/usr/bin/tool": b"", "/usr/share/tool": b""}
    packages = [rpm("a", evr, arch="x86_64") for evr in ("1.0-1", "1.0-2", "1:2.0-3")]
    provides = ("capability", "/bin/tool")
    assert offer([*packages, rpm("a-b", "7-1", provides=provides, files=files)], request_) == [gives]


def test_unknown_names_and_versions_say_what_there_is(offer: Offer) -> None:
    with pytest.raises(SolveError) as caught:
        offer(versions("1-1", "2-1"), "a-3")
    assert (caught.value.reference, caught.value.key) == ("unknown-version", "systemConfig.packages[a-3]")
    assert "1-1 (test), 2-1 (test)" in str(caught.value.cause)
    with pytest.raises(SolveError) as caught:
        offer([rpm("openssh-server")], "openssh-sever")
    assert caught.value.reference == "unknown-package"
    assert "openssh-server" in str(caught.value.hint)
    assert "looked in test" in str(caught.value.cause)


def test_all_that_is_unknown_is_told_at_once_with_what_is_near(repository: RpmRepository, resolve: Resolve) -> None:
    repository.add(rpm("openssh-server"), rpm("nginx", "1-1"), rpm("bash")).write()
    with pytest.raises(SolveError) as caught:
        resolve("bash opensh-server", "nginx-2 nginx=1-1", "/usr/bin/absent")
    assert caught.value.reference == "unknown-packages"
    assert [(f.reference, f.key, f.hint) for f in caught.value.findings] == [
        ("unknown-package", "systemConfig.packages[opensh-server]", "did you mean openssh-server?"),
        ("unknown-version", "systemConfig.packages[nginx-2]", None),
        ("bad-package-name", "systemConfig.packages[nginx=1-1]", "write nginx-1-1"),
        ("unknown-package", "systemConfig.packages[/usr/bin/absent]", "check the path, or name the package"),
    ]
    assert caught.value.cause == "looked in test"


def test_architecture_that_a_package_is_not_there_for_is_told_with_those_that_it_is(offer: Offer) -> None:
    for arch in ("i686", "aarch64"):
        with pytest.raises(SolveError) as caught:
            offer([rpm("lib", arch="x86_64")], f"lib.{arch}")
        said = (caught.value.reference, caught.value.message, caught.value.cause, caught.value.hint)
        assert said == (
            "foreign-architecture",
            f"lib is not there for {arch}",
            "there is x86_64",
            "write lib; the image is x86_64",
        )


def test_what_nobody_provides_is_told_as_such(offer: Offer) -> None:
    for text in ("perl(Foo::Bar)", "libfoo.so.1()(64bit)"):
        with pytest.raises(SolveError) as caught:
            offer([rpm("perl")], text)
        assert (caught.value.reference, caught.value.message) == ("unknown-package", f"no package provides {text}")


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        (
            "/bin/cut",
            "did you mean /opt/tools/bin/cut, /usr/bin/cut?",
        ),  # the name wherever it is, and no list read for it
        ("/usr/bin/ctu", "did you mean /usr/bin/cut?"),
        ("/usr/share/cuts/reamde", "did you mean /usr/share/cuts/readme?"),
        ("/srv/readme", "did you mean /usr/share/cuts/readme?"),
        ("/usr/bin/elsewhere", "check the path, or name the package"),
    ],
)
def test_file_that_no_package_has_is_told_with_those_that_are_near(offer: Offer, path: str, hint: str) -> None:
    files = dict.fromkeys(("/usr/bin/cut", "/opt/tools/bin/cut", "/usr/share/cuts/readme"), b"")
    with pytest.raises(SolveError) as caught:
        offer([rpm("coreutils", files=files), rpm("foreign", arch="i686", files={"/bin/cuts": b""})], path)
    assert caught.value.reference == "unknown-package"
    assert caught.value.message == f"no package has the file {path}"
    assert caught.value.hint == hint


def reasons(offer: Offer, packages: list[MadeRpm], request: str) -> tuple[str, ...]:
    with pytest.raises(NotInstallableError) as caught:
        offer(packages, request)
    *said, searched = caught.value.detail
    assert searched == "looked in: test"
    return (caught.value.message, *said)


def test_missing_dependency_is_told_with_the_way_to_it_and_what_there_is(offer: Offer) -> None:
    packages = [rpm("a", requires=("b",)), rpm("b", requires=("c >= 2",)), rpm("c", "1-1")]
    assert reasons(offer, packages, "a") == (
        "a 1.0-1 cannot be installed",
        "a 1.0-1 depends on b; b 1.0-1 depends on c >= 2, which no repository has; there is c 1-1 (test)",
    )


def test_conflict_is_told_as_chains_from_both_requests(offer: Offer) -> None:
    packages = [
        rpm("nginx", requires=("nginx-core",)),
        rpm("nginx-core", conflicts=("web < 2",)),
        rpm("apache", requires=("apache-bin",)),
        rpm("apache-bin", provides=("web = 1",)),
    ]
    assert reasons(offer, packages, "nginx apache") == (
        "nginx 1.0-1 and apache 1.0-1 cannot be installed together",
        "nginx 1.0-1 depends on nginx-core; nginx-core 1.0-1 conflicts with web < 2, which apache-bin 1.0-1 is",
        "apache-bin 1.0-1 is needed because apache 1.0-1 depends on apache-bin",
    )


def test_obsoletes_and_two_versions_of_a_name_are_told_as_what_they_are(offer: Offer) -> None:
    packages = [rpm("new", obsoletes=("old < 2",)), rpm("old", "1-1"), rpm("needs", requires=("old",))]
    assert reasons(offer, packages, "new needs")[1] == "new 1.0-1 obsoletes old < 2, which old 1-1 is"
    packages = [rpm("a", requires=("lib = 1",)), rpm("b", requires=("lib = 2",)), rpm("lib", "1-1"), rpm("lib", "2-1")]
    message, *said = reasons(offer, packages, "a b")
    assert message in [f"{x} 1.0-1 and {y} 1.0-1 cannot be installed together" for x, y in ("ab", "ba")]
    assert any("cannot be there beside lib" in line and "; lib" in line for line in said)


def test_rich_dependency_that_cannot_be_met_is_told_as_it_is_written(offer: Offer) -> None:
    said = reasons(offer, [rpm("a", requires=("(x or y)",))], "a")
    assert said[1] == "a 1.0-1 depends on (x or y), which no repository has"


def test_repository_that_is_preferred_gives_the_package_though_another_has_a_newer_one(
    repository: RpmRepository, resolve: Resolve, tmp_path: Path
) -> None:
    repository.add(rpm("a", "2-1"), rpm("b", "1-1")).write()
    other = RpmRepository(tmp_path / "other", name="preferred", key=SigningKey("Second")).add(rpm("a", "1-1")).write()
    with served(other.root) as second:
        assert chosen(resolve("a b", further=(other.described(second.url),))) == ["a-2-1", "b-1-1"]
        found = resolve("a b", further=(other.described(second.url, priority=600),))
        assert chosen(found) == ["a-1-1", "b-1-1"]
        assert [p.repository for p in found.sets["image"].packages()] == ["preferred", "test"]
        assert chosen(resolve("a", further=(other.described(second.url, priority=400),))) == ["a-2-1"]


def test_each_group_adds_a_transaction(repository: RpmRepository, resolve: Resolve) -> None:
    repository.add(
        rpm("base", requires=("lib",)), rpm("lib"), rpm("extra", requires=("lib", "more")), rpm("more")
    ).write()
    transactions = resolve("base", "extra").sets["image"].transactions
    assert [[p.name for p in t.packages] for t in transactions] == [["base", "lib"], ["extra", "more"]]


def test_same_metadata_gives_the_same_resolution(repository: RpmRepository, resolve: Resolve) -> None:
    repository.add(rpm("a", requires=("v",)), rpm("b", provides=("v",)), rpm("c", provides=("v",))).write()
    assert resolve("a") == resolve("a")
