from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.load import check_template, load_image_spec
from os_image_composer.errors import Finding, TemplateError

Marked = Callable[[str], Finding]
Write = Callable[..., Path]
HEAD = """\
image: {name: test, version: "1.0"}
target: {os: debian, dist: debian13, arch: x86_64, imageType: raw}
"""
SYSTEM = HEAD + "systemConfig:\n"
SYSTEMS = "there is azure-linux, debian, edge-microvisor-toolkit, wind-river-elxr"


def user(fields: str) -> str:
    return SYSTEM + "  users:\n    - {name: ada, " + fields + "}\n"


@pytest.mark.parametrize(
    ("text", "near"),
    [
        (HEAD + "▸systemconfig: {}\n", "systemConfig"),
        (SYSTEM + "  ▸hostnam: x\n", "hostname"),
        (SYSTEM + "  kernel:\n    ▸cmd_line: x\n", "cmdline"),
        (SYSTEM + "  users:\n    - name: ada\n      ▸passwd: x\n", "password"),
        (SYSTEM + "  additionalFiles: []\n  immutability: {enabled: false, ▸secureBootDbKey: k}\n", "secureBootDBKey"),
        (SYSTEM + "  configurations:\n    - cmd: 'true'\n      ▸Cmd: x\n", "cmd"),
    ],
)
def test_an_unknown_key_at_any_depth_is_found_with_the_nearest_known(marked: Marked, text: str, near: str) -> None:
    finding = marked(text)
    assert finding.reference == "unknown-key"
    assert finding.hint == f"did you mean '{near}'?"


def test_a_suite_that_the_distribution_does_not_have_is_told_with_those_it_has(marked: Marked) -> None:
    finding = marked(HEAD + "packageRepositories:\n  - codename: ▸bookworm-backports\n")
    assert finding.reference == "unknown-suite"
    assert finding.hint == (
        "did you mean 'trixie-backports'? allowed: trixie, trixie-backports, trixie-security, trixie-updates"
    )


def test_a_priority_that_apt_leaves_undefined_is_refused(marked: Marked) -> None:
    finding = marked(HEAD + "packageRepositories: [{codename: trixie-backports, priority: ▸0}]\n")
    assert finding.reference == "wrong-value"


def test_a_suite_is_asked_for_once(marked: Marked) -> None:
    suites = "packageRepositories:\n  - codename: trixie-backports\n  - codename: ▸trixie-backports\n"
    assert marked(HEAD + suites).reference == "duplicate-value"


def test_suites_and_their_priorities_are_part_of_what_is_asked(write: Write, data: Path) -> None:
    text = HEAD + "packageRepositories: [{codename: trixie-backports, priority: 600}, {codename: trixie-updates}]\n"
    suites = load_image_spec(write(text), data).suites
    assert [(suite.codename, suite.priority) for suite in suites] == [
        ("trixie-backports", 600),
        ("trixie-updates", None),
    ]


def test_an_unknown_key_like_no_other_gets_no_suggestion(marked: Marked) -> None:
    assert marked(HEAD + "▸zzzzzz: 1\n").hint is None


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "▸extends: parent.yml\n",
        HEAD + "▸baseline: {mode: overlay}\n",
        HEAD + "▸overlayPolicy: {}\n",
        HEAD + "packageRepositories: [{codename: vendor, ▸url: 'https://vendor.example/'}]\n",
        HEAD + "▸sbomPackageMetadata: [{}]\n",
        SYSTEM + "  ▸initramfs: {template: x}\n",
        SYSTEM + "  ▸fde: {enabled: true, passphraseFile: x}\n",
        SYSTEM + "  kernel: {▸name: linux}\n",
        SYSTEM + "  packages: [jq, ▸'lib*']\n",
        SYSTEM + "  packages: [jq, ▸'lib[ab]']\n",
        HEAD.replace("imageType: ", "imageType: ▸").replace("raw", "wsl2"),
    ],
)
def test_a_known_key_that_is_not_built_yet_says_so_where_it_stands(marked: Marked, text: str) -> None:
    assert marked(text).reference == "not-built-yet"


@pytest.mark.parametrize(
    "text",
    [
        "  immutability: {enabled: false}\n",
        "  immutability: {enabled: true}\n",
        "  fde: {enabled: false}\n",
        "  network: {interfaces: []}\n",
        "  kernel: {uki: true}\n",
        "  users: [{name: ada, startupScript: ''}]\n",
        "  users: [{name: root}]\n",
        "  packages: []\n",
        "  weakDependencies: false\n",
    ],
)
def test_a_value_that_asks_for_nothing_is_no_finding(write: Write, data: Path, text: str) -> None:
    assert check_template(write(SYSTEM + text), data) == ()


@pytest.mark.parametrize(
    "name",
    [
        *("htop", "libstdc++6", "htop=3.2.2-2~rc1", "htop/bookworm-backports", "htop:amd64"),
        *("htop-3.2.2-1.azl3", "htop-1:3.2.2-1.azl3.x86_64", "lib-1.0^git20240101-2", "glibc.i686", "_name"),
        *("perl(Getopt::Long)", "libc.so.6()(64bit)", "/usr/bin/g++", "/usr/bin/[", "/usr/lib/x.so.1"),
    ],
)
def test_every_form_in_which_a_package_family_names_packages_is_taken(write: Write, data: Path, name: str) -> None:
    assert check_template(write(SYSTEM + f"  packages: ['{name}']\n"), data) == ()


@pytest.mark.parametrize(
    "text",
    [
        SYSTEM + "  hostname: ▸-edge\n",
        SYSTEM + "  hostname: ▸a..b\n",
        SYSTEM + "  hostname: ▸my_host\n",
        SYSTEM + f"  hostname: ▸{'a' * 64}\n",
        SYSTEM + "  name: ▸a/b\n",
        SYSTEM + "  name: ▸..\n",
        SYSTEM + "  packages: [▸'-rf']\n",
        SYSTEM + "  packages: [▸'a b']\n",
        SYSTEM + "  packages: [▸'a;b']\n",
        SYSTEM + "  packages: [▸usr/bin/env/x]\n",
        SYSTEM + "  packages: [▸/usr/bin/]\n",
        SYSTEM + "  packages: [▸'/usr/bin/a b']\n",
        SYSTEM + "  kernel: {version: ▸'../6'}\n",
        SYSTEM + "  kernel: {cmdline: ▸'quiet root=/dev/sda2'}\n",
        SYSTEM + '  kernel: {cmdline: ▸"a\\nb"}\n',
        SYSTEM + "  kernel: {enableExtraModules: ▸'a;b'}\n",
        SYSTEM + "  bootloader: {provider: ▸lilo}\n",
        SYSTEM + "  users: [{name: ▸-ada}]\n",
        SYSTEM + "  users: [{name: ▸a:b}]\n",
        user("home: ▸home/ada"),
        user("home: ▸/home/../etc"),
        user("home: ▸/home//ada"),
        user("shell: ▸bash"),
        user("shell: ▸/"),
        user("shell: ▸/bin/sh:x"),
        user("home: ▸'/home/a:0'"),
        user("groups: [▸'a,b']"),
        user("password: ▸$6$short"),
        user(f"hash_algo: ▸sha256, password: $6$salt${'x' * 86}"),
        SYSTEM + "  configurations: [{cmd: ▸' '}]\n",
        HEAD.replace("name: test", "name: ▸../x"),
        HEAD.replace('"1.0"', '▸"one"'),
    ],
)
def test_a_value_that_cannot_be_is_found_at_the_value(marked: Marked, text: str) -> None:
    assert marked(text).reference == "wrong-value"


def test_the_error_of_a_word_lists_what_is_allowed_and_the_nearest(marked: Marked) -> None:
    finding = marked(SYSTEM + "  bootloader: {provider: ▸systemd-bot}\n")
    assert finding.hint == "did you mean 'systemd-boot'? allowed: grub, grub2, systemd-boot"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (SYSTEM + "  hostname: ▸13\n", 'write it in quotes: "13"'),
        (HEAD.replace('"1.0"', "▸1.10"), 'write it in quotes: "1.10"'),
        (SYSTEM + "  users: [{name: ada, sudo: ▸yes}]\n", "write true"),
        (SYSTEM + "  users: [{name: ada, sudo: ▸ture}]\n", "did you mean 'true'?"),
        (SYSTEM + "  ▸hostname:\n", "give it a value or remove the line"),
        (SYSTEM + "  packages: ▸openssh-server\n", None),
        (SYSTEM + "  ▸users: {name: ada}\n", None),
        (SYSTEM + "  users: [▸ada]\n", None),
    ],
)
def test_a_value_of_the_wrong_type_is_found(marked: Marked, text: str, hint: str | None) -> None:
    finding = marked(text)
    assert (finding.reference, finding.hint) == ("wrong-type", hint)


def test_a_shell_without_its_folder_is_told_where_shells_are(marked: Marked) -> None:
    finding = marked(user("shell: ▸zsh"))
    assert (finding.reference, finding.hint) == ("wrong-value", "such as '/bin/zsh'")


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (user("password: ▸''"), "empty-password"),
        (user("password: ▸$1$salt$aaaaaaaaaaaaaaaaaaaaaa"), "weak-hash"),
        (user("password: x, hash_algo: ▸md5"), "weak-hash"),
    ],
)
def test_a_password_that_protects_nothing_is_refused(marked: Marked, text: str, reference: str) -> None:
    assert marked(text).reference == reference


@pytest.mark.parametrize("password", ["hunter2\\t", "$6$hunter2", "$1$hunter2$x"])
def test_a_finding_never_shows_the_password(marked: Marked, password: str) -> None:
    assert "hunter2" not in str(marked(user(f'password: ▸"{password}"')))


def test_a_password_that_is_a_number_is_not_shown_either(marked: Marked) -> None:
    assert "8675309" not in str(marked(user("password: ▸8675309")))


@pytest.mark.parametrize(
    "text",
    [
        SYSTEM + "  users:\n    - name: ada\n    - name: ▸ada\n",
        SYSTEM + "  packages: [jq, tmux, ▸jq]\n",
        SYSTEM + "  kernel: {packages: [linux-image-amd64, ▸linux-image-amd64]}\n",
    ],
)
def test_what_one_file_says_twice_is_found_at_the_second(marked: Marked, text: str) -> None:
    assert marked(text).reference == "duplicate-value"


@pytest.mark.parametrize(
    "text",
    [
        "▸image: {name: test}\n" + HEAD.splitlines()[1] + "\n",
        HEAD + "▸disk: {name: x, size: 2GiB}\n",
        SYSTEM + "  users: [▸{sudo: true}]\n",
    ],
)
def test_a_missing_key_is_found_where_it_should_be(marked: Marked, text: str) -> None:
    assert marked(text).reference == "missing-key"


def test_a_template_without_a_target_is_one_finding_and_not_a_crash(write: Write, data: Path) -> None:
    findings = check_template(write('image: {name: a, version: "1"}\n'), data)
    assert [finding.reference for finding in findings] == ["missing-key"]


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("os: debian", "os: ▸debain", f"did you mean 'debian'? {SYSTEMS}"),
        ("dist: debian13", "dist: ▸debain13", "did you mean 'debian13'? there is debian12, debian13"),
        ("arch: x86_64", "arch: ▸armv7hl", "there is x86_64"),
        ("os: debian", "os: ▸../../etc", SYSTEMS),
    ],
)
def test_an_unknown_target_names_what_there_is(marked: Marked, old: str, new: str, hint: str) -> None:
    finding = marked(HEAD.replace(old, new))
    assert (finding.reference, finding.hint) == ("unknown-target", hint)


def test_a_file_to_copy_must_exist_and_be_regular(marked: Marked) -> None:
    files = SYSTEM + "  additionalFiles:\n    - local: ▸PATH\n      final: /etc/x\n"
    assert marked(files.replace("PATH", "absent.conf")).reference == "no-such-file"
    assert marked(files.replace("PATH", "/dev/null")).reference == "not-a-file"


@pytest.mark.parametrize("final", ["▸etc/x", "▸/etc/../x", "▸/etc/x/", "▸/"])
def test_a_file_goes_to_an_absolute_normal_path(marked: Marked, write: Write, final: str) -> None:
    write("x", "x.conf")
    finding = marked(SYSTEM + f"  additionalFiles: [{{local: x.conf, final: {final}}}]\n")
    assert finding.reference == "wrong-value"


def test_all_findings_of_a_file_come_at_once_and_in_order(write: Write, data: Path) -> None:
    text = SYSTEM + "  hostname: -a\n  unknown: 1\n  kernel: {cmdline: root=x}\n" + "metadta: {}\n"
    path = write(text)
    with pytest.raises(TemplateError) as caught:
        load_image_spec(path, data)
    places = [(f.reference, str(f.origin)) for f in caught.value.findings]
    assert places == [
        ("wrong-value", f"{path}:4:13"),
        ("unknown-key", f"{path}:5:3"),
        ("wrong-value", f"{path}:6:21"),
        ("unknown-key", f"{path}:7:1"),
    ]
    assert caught.value.reference == "invalid-template"
    assert caught.value.findings == check_template(path, data)


def test_a_syntax_error_is_listed_like_any_other(write: Write, data: Path) -> None:
    findings = check_template(write("a: [\n"), data)
    assert [finding.reference for finding in findings] == ["yaml-syntax"]
