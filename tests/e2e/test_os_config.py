"""The parts of the OS configuration on real layers, by the image's own programs: what they make, what they refuse."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from os_image_composer.chroot.job import Job, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.spec import Interface, Keyboard, Network
from os_image_composer.errors import StepError
from os_image_composer.image.accounts import Account, AccountGroup, create_accounts
from os_image_composer.image.keyboard import set_keyboard
from os_image_composer.image.localization import set_locale, set_timezone
from os_image_composer.image.network import netplan_file, set_network
from os_image_composer.image.placed_files import sweep
from os_image_composer.image.units import UnitStates, set_units
from support.facts import STATIC
from support.workshop import Workshop

pytestmark = pytest.mark.build

ENV = {"SOURCE_DATE_EPOCH": "1700000000"}
DEFAULT = ("essential", "packages:default")
ALL = (*DEFAULT, "packages:template")
NewTree = Callable[..., Tree]


@pytest.fixture(scope="module")
def sandbox(workshop: Workshop) -> Sandbox:
    return workshop.bare_sandbox()


@pytest.fixture(scope="module")
def new_tree(workshop: Workshop, sandbox: Sandbox, facts_template: Path) -> Iterator[NewTree]:
    """Trees to write to, on top of the layers of the facts template."""
    results, made = workshop.results(facts_template), list[Path]()
    numbers = itertools.count()

    def new(names: tuple[str, ...] = ALL) -> Tree:
        upper = workshop.cache / "tmp" / "tests" / f"upper-{next(numbers)}"
        sandbox.new_layer(upper)
        made.append(upper)
        return Tree(tuple(content for name in names if (content := results[name].content) is not None), upper)

    yield new
    sandbox.remove(made)


@pytest.fixture
def tree(new_tree: NewTree) -> Tree:
    return new_tree()


def account(name: str, **fields: Any) -> Account:
    return replace(Account("", None, None, (), None, (), None, None, False), name=name, **fields)


def make(sandbox: Sandbox, tree: Tree, *accounts: Account, groups: tuple[AccountGroup, ...] = ()) -> list[str]:
    said: list[str] = []
    create_accounts(sandbox, tree, groups, accounts, {}, ENV, said.append)
    return said


def text(sandbox: Sandbox, tree: Tree, path: str) -> str:
    return sandbox.read(tree, [path])[path].decode()


# --- places ---------------------------------------------------------------------------------------------------


def test_zone_is_a_link_that_the_systems_own_date_follows(sandbox: Sandbox, tree: Tree) -> None:
    set_timezone(sandbox, tree, "Asia/Kolkata")
    local = {"TZ": ":/etc/localtime"}  # what programs do that find no TZ; the sandbox's is UTC
    done = sandbox.run(Job(tree, ("date", "--date", "2026-01-01 00:00 UTC", "+%H:%M %Z"), env=local))
    assert done.output == b"05:30 IST\n"


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Europe/Berlyn", "did you mean 'Europe/Berlin'?"),
        ("Berlin", "'Europe/Berlin'"),
        ("Europe", None),
        ("Qqq", None),
    ],
)
def test_zone_that_the_target_lacks_is_refused(sandbox: Sandbox, tree: Tree, zone: str, hint: str | None) -> None:
    with pytest.raises(StepError) as caught:
        set_timezone(sandbox, tree, zone)
    assert (caught.value.reference, caught.value.key) == ("no-such-timezone", "systemConfig.timezone")
    assert hint is None or hint in (caught.value.hint or "")


def test_locale_is_made_the_same_way_each_time(sandbox: Sandbox, new_tree: NewTree) -> None:
    digests = set()
    for _ in range(2):
        tree = new_tree()
        set_locale(sandbox, tree, "fr_FR.UTF-8", ENV, lambda line: None)
        assert tree.upper is not None
        digests.add(sandbox.digest(tree.upper, 1_700_000_000).sha256)
    assert len(digests) == 1
    done = sandbox.run(Job(tree, ("date", "--date", "2026-10-01", "+%B"), env={"LC_ALL": "fr_FR.UTF-8"}))
    assert done.output == b"octobre\n"
    assert text(sandbox, tree, "etc/default/locale") == text(sandbox, tree, "etc/locale.conf") == "LANG=fr_FR.UTF-8\n"


def test_locale_of_the_c_library_needs_no_package(sandbox: Sandbox, new_tree: NewTree) -> None:
    tree = new_tree(DEFAULT)
    set_locale(sandbox, tree, "C.UTF-8", ENV, lambda line: None)
    assert text(sandbox, tree, "etc/locale.conf") == "LANG=C.UTF-8\n"


@pytest.mark.parametrize(
    ("layers", "locale", "hint"),
    [(ALL, "en_UK.UTF-8", "did you mean"), (DEFAULT, "en_US.UTF-8", "Debian: locales")],
)
def test_locale_that_cannot_be_made_is_refused(
    sandbox: Sandbox, new_tree: NewTree, layers: tuple[str, ...], locale: str, hint: str
) -> None:
    with pytest.raises(StepError) as caught:
        set_locale(sandbox, new_tree(layers), locale, ENV, lambda line: None)
    assert (caught.value.reference, caught.value.key) == ("no-such-locale", "systemConfig.locale")
    assert hint in (caught.value.hint or "")


def test_keyboard_is_made_the_same_way_each_time(sandbox: Sandbox, new_tree: NewTree) -> None:
    digests = set()
    for _ in range(2):
        tree = new_tree()
        set_keyboard(
            sandbox, tree, Keyboard("us,ru", ",phonetic", "pc105", "grp:alt_shift_toggle"), ENV, lambda line: None
        )
        assert tree.upper is not None
        digests.add(sandbox.digest(tree.upper, 1_700_000_000).sha256)
    assert len(digests) == 1
    assert 'XKBLAYOUT="us,ru"\nXKBVARIANT=",phonetic"' in text(sandbox, tree, "etc/default/keyboard")
    (kept,) = sandbox.glob(tree, "etc/console-setup/cached_*.kmap.gz")
    made = gzip.decompress(sandbox.read(tree, [kept])[kept])
    assert b"U+0447" in made  # CYRILLIC SMALL LETTER CHE; ckbcomp names letters or not, as its version and charmap go


@pytest.mark.parametrize(
    ("keyboard", "key", "hint"),
    [
        (Keyboard("deu", "", "pc105", ""), "layout", "did you mean 'de'?"),
        (Keyboard("us,fr", ",nodeadkey", "pc105", ""), "variant", "did you mean 'nodeadkeys'?"),
        (Keyboard("us", "phonetic_mac", "pc105", ""), "variant", None),
        (Keyboard("us", "", "pc1o5", ""), "model", "'pc105'"),
        (Keyboard("us", "", "pc105", "ctrl:nocap"), "options", "'ctrl:nocaps'"),
    ],
)
def test_keyboard_that_the_tables_lack_is_refused(
    sandbox: Sandbox, tree: Tree, keyboard: Keyboard, key: str, hint: str | None
) -> None:
    with pytest.raises(StepError) as caught:
        set_keyboard(sandbox, tree, keyboard, ENV, lambda line: None)
    assert (caught.value.reference, caught.value.key) == ("no-such-keyboard", f"systemConfig.keyboard.{key}")
    assert hint is None or hint in (caught.value.hint or "")


def test_keyboard_needs_the_program_that_sets_it(sandbox: Sandbox, new_tree: NewTree) -> None:
    with pytest.raises(StepError) as caught:
        set_keyboard(sandbox, new_tree(DEFAULT), Keyboard("de", "", "pc105", ""), ENV, lambda line: None)
    assert "Debian: console-setup" in (caught.value.hint or "")


# --- accounts -------------------------------------------------------------------------------------------------


def test_useradd_takes_every_name_that_a_template_may_hold(sandbox: Sandbox, tree: Tree) -> None:
    names = ("Ada", "a.b", "_x", "x-", "0x10", "a", "a" * 32, "A_b-c.d9")
    make(sandbox, tree, *(account(name) for name in names))
    rows = text(sandbox, tree, "etc/shadow").splitlines()
    assert {row.split(":")[0]: row.split(":")[1] for row in rows[-len(names) :]} == dict.fromkeys(names, "!")


def test_user_takes_the_group_of_its_name_where_there_is_one(sandbox: Sandbox, tree: Tree) -> None:
    make(sandbox, tree, account("app"), groups=(AccountGroup("app", 2000),))
    assert ":2000:" in next(row for row in text(sandbox, tree, "etc/passwd").splitlines() if row.startswith("app:"))


def test_user_of_a_package_is_changed_and_keeps_its_number(sandbox: Sandbox, tree: Tree) -> None:
    before = next(row for row in text(sandbox, tree, "etc/passwd").splitlines() if row.startswith("games:"))
    said = make(sandbox, tree, account("games", shell="/bin/sh", groups=("adm",)))
    after = next(row for row in text(sandbox, tree, "etc/passwd").splitlines() if row.startswith("games:"))
    assert after.split(":")[:6] == before.split(":")[:6]
    assert after.endswith(":/bin/sh")
    assert said[-1] == "user games: changed, login as before"


@pytest.mark.parametrize(
    ("wanted", "reference", "key", "hint"),
    [
        (account("ada", groups=("sudp",)), "no-such-group", "groups", "did you mean 'sudo'?"),
        (account("ada", groups=("qqqqqq",)), "no-such-group", "groups", "systemConfig.groups"),
        (account("ada", shell="/bin/zsh"), "no-such-shell", "shell", "add the package"),
        (account("daemon", uid=1500), "user-exists", "uid", "leave uid out"),
        (account("nobody", keys=("ssh-ed25519 x",)), "no-home", "sshAuthorizedKeys", "give the user a home"),
        (account("ada", uid=1), "account-not-made", "", None),
    ],
)
def test_account_that_the_image_cannot_have(
    sandbox: Sandbox, tree: Tree, wanted: Account, reference: str, key: str, hint: str | None
) -> None:
    with pytest.raises(StepError) as caught:
        make(sandbox, tree, wanted)
    assert caught.value.reference == reference
    assert caught.value.key == "systemConfig.users[0]" + (f".{key}" if key else "")
    assert hint is None or hint in (caught.value.hint or "")


def test_group_that_is_there_with_another_number_is_refused(sandbox: Sandbox, tree: Tree) -> None:
    with pytest.raises(StepError) as caught:
        make(sandbox, tree, groups=(AccountGroup("adm", 2000),))
    assert caught.value.reference == "group-exists"
    assert make(sandbox, tree, groups=(AccountGroup("adm", None),)) == ["group adm: is there already"]


# --- units ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "reference", "key", "hint"),
    [
        (UnitStates(("shs.service",), (), ()), "no-such-unit", "enable[0]", "did you mean 'ssh.service'?"),
        (UnitStates((), (), ("ssh.service", "sssh.service")), "no-such-unit", "mask[1]", "'ssh.service'"),
        (UnitStates((), ("gety@tty1.service",), ()), "no-such-unit", "disable[0]", None),
        (UnitStates(("systemd-logind.service",), (), ()), "unit-not-enabled", "enable[0]", "[Install]"),
        (UnitStates((), ("systemd-logind.service",), ()), "unit-not-disabled", "disable[0]", "mask"),
    ],
)
def test_unit_that_cannot_be_brought_into_a_state(
    sandbox: Sandbox, tree: Tree, states: UnitStates, reference: str, key: str, hint: str | None
) -> None:
    with pytest.raises(StepError) as caught:
        set_units(sandbox, tree, states, ENV, lambda line: None)
    assert (caught.value.reference, caught.value.key) == (reference, f"systemConfig.services.{key}")
    assert hint is None or hint in (caught.value.hint or "")


# --- network --------------------------------------------------------------------------------------------------


def test_netplan_takes_what_is_written_for_it_and_keeps_the_order_of_interfaces(sandbox: Sandbox, tree: Tree) -> None:
    by_address = Interface("uplink", "52:54:00:12:34:56", True, False, (), (), ())
    any_other = Interface("en*", None, True, True, (), (), ())
    network = Network("netplan", (STATIC, by_address, any_other))
    set_network(sandbox, tree, network, ENV, lambda line: None)
    script = "netplan generate && cd /run/systemd/network && head -n 99 *.network"
    done = sandbox.run(Job(tree, ("sh", "-c", script)))
    assert done.status == 0, done.output
    matches = [line for line in done.output.decode().splitlines() if line.startswith(("Name=", "PermanentMAC"))]
    assert matches == ["Name=dummy0", "PermanentMACAddress=52:54:00:12:34:56", "Name=en*"]
    assert "WARNING" not in done.output.decode()


def test_netplan_file_is_read_back_as_it_was_meant(sandbox: Sandbox, tree: Tree) -> None:
    sandbox.edit(tree, [WriteFile("/etc/netplan/10.yaml", netplan_file((STATIC,)).text.encode(), 0o600)])
    done = sandbox.run(Job(tree, ("netplan", "get", "ethernets.dummy0.addresses")))
    assert done.output.decode().split() == ["-", '"192.0.2.10/24"', "-", '"2001:db8::10/64"']


def test_netplan_must_be_in_the_image(sandbox: Sandbox, new_tree: NewTree) -> None:
    with pytest.raises(StepError) as caught:
        set_network(sandbox, new_tree(DEFAULT), Network("netplan", (STATIC,)), ENV, lambda line: None)
    assert (caught.value.reference, caught.value.key) == ("network-program-missing", "systemConfig.network.backend")
    assert "netplan.io" in (caught.value.hint or "")


# --- files ----------------------------------------------------------------------------------------------------


def test_leftovers_go_and_files_of_the_template_stay(sandbox: Sandbox, tree: Tree) -> None:
    own = {"/etc/ssh/ssh_host_mine", "/var/tmp/a/b/mine", "/var/log/[x].log"}
    others = {"/etc/ssh/ssh_host_made", "/var/tmp/a/made", "/var/tmp/a/b/made", "/var/log/made.log", "/var/tmp/c/made"}
    sandbox.edit(tree, [WriteFile(path, b"x") for path in own | others])
    sweep(sandbox, tree, ["etc/ssh/ssh_host_*", "var/tmp/*", "var/log/*.log"], own)
    left = sandbox.glob(tree, "etc/ssh/ssh_host_*", "var/tmp/**", "var/log/*.log")
    assert {f"/{path}" for path in left} == own | {"/var/tmp/a", "/var/tmp/a/b"}


def test_file_that_would_be_swept_under_another_name_is_told_of(sandbox: Sandbox, tree: Tree) -> None:
    sandbox.edit(tree, [WriteFile("/sbin/policy-rc.d", b"x")])
    with pytest.raises(StepError) as caught:
        sweep(sandbox, tree, ["usr/sbin/policy-rc.d"], {"/sbin/policy-rc.d"})
    assert caught.value.reference == "file-not-kept"


# --- commands -------------------------------------------------------------------------------------------------


def test_command_that_fails_is_shown_with_place_output_and_status(
    workshop: Workshop, facts_template: Path, tmp_path: Path
) -> None:
    template = tmp_path / "failing.yml"
    folder = facts_template.parent
    lines = facts_template.read_text().replace("local: ", f"local: {folder}/").rstrip().splitlines()
    command = "echo to one; echo to the other >&2; exit 7"
    template.write_text("\n".join([*lines, "  configurations:", "    - cmd: 'true'", f"    - cmd: {command}"]) + "\n")
    done = workshop.run("build", str(template))
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "configuration-failed" in said
    assert f"{template}:{len(lines) + 3}:" in said
    assert "exit status 7" in said
    assert "to one" in said
    assert "to the other" in said
    (log,) = (workshop.cache / "store" / "logs").glob("*facts*/os-configuration.log")
    kept = log.read_text().splitlines()
    assert kept[kept.index("+ true") + 1] == "= exit status 0"
    assert kept[-4:] == [f"+ {command}", "to one", "to the other", "= exit status 7"]
