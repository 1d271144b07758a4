from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from os_image_composer.config.findings import plain
from os_image_composer.config.load import load_image_spec
from os_image_composer.config.merge import merge_templates, origins
from os_image_composer.config.yaml_source import parse_yaml
from os_image_composer.errors import Origin

Write = Callable[..., Path]
HEAD = """\
image: {name: test, version: "1.0"}
target: {os: debian, dist: debian13, arch: x86_64, imageType: raw}
"""


def merged(*texts: str) -> object:
    return plain(merge_templates([parse_yaml(text, f"{n}.yml") for n, text in enumerate(texts)]))


def system(*texts: str) -> object:
    result = merged(*(f"systemConfig: {{{text}}}" for text in texts))
    assert isinstance(result, dict)
    return result["systemConfig"]


def test_a_child_that_leaves_sudo_out_keeps_the_parents() -> None:
    assert system("users: [{name: a, sudo: true}]", "users: [{name: a, shell: /bin/sh}]") == {
        "users": [{"name": "a", "sudo": True, "shell": "/bin/sh"}]
    }


def test_a_child_can_take_sudo_away() -> None:
    assert system("users: [{name: a, sudo: true}]", "users: [{name: a, sudo: false}]") == {
        "users": [{"name": "a", "sudo": False}]
    }


def test_users_keep_the_parents_order_and_new_ones_come_after_in_the_childs() -> None:
    result = system("users: [{name: z}, {name: b}]", "users: [{name: y}, {name: b, home: /b}, {name: a}]")
    assert result == {"users": [{"name": "z"}, {"name": "b", "home": "/b"}, {"name": "y"}, {"name": "a"}]}


def test_groups_of_a_user_are_united() -> None:
    assert system("users: [{name: a, groups: [x, y]}]", "users: [{name: a, groups: [y, z]}]") == {
        "users": [{"name": "a", "groups": ["x", "y", "z"]}]
    }


def test_a_unit_that_the_child_names_leaves_the_parents_lists() -> None:
    result = system("services: {enable: [ssh, a.timer], mask: [x]}", "services: {disable: [ssh.service], enable: [b]}")
    assert result == {"services": {"enable": ["a.timer", "b"], "mask": ["x"], "disable": ["ssh.service"]}}


def test_keys_of_a_user_are_united() -> None:
    result = system("users: [{name: a, sshAuthorizedKeys: [k, l]}]", "users: [{name: a, sshAuthorizedKeys: [m, k]}]")
    assert result == {"users": [{"name": "a", "sshAuthorizedKeys": ["k", "l", "m"]}]}


def test_files_for_one_place_are_one_and_the_child_wins() -> None:
    result = system(
        "additionalFiles: [{local: a, final: /1}, {local: b, final: /2}]",
        "additionalFiles: [{local: c, final: /3}, {local: d, final: /1}]",
    )
    assert result == {
        "additionalFiles": [
            {"local": "d", "final": "/1"},
            {"local": "b", "final": "/2"},
            {"local": "c", "final": "/3"},
        ]
    }


def test_files_to_carry_under_one_name_are_one_and_the_child_wins() -> None:
    result = system("live: {carry: [{local: a, name: x}]}", "live: {carry: [{local: b, name: y}, {local: c, name: x}]}")
    assert result == {"live": {"carry": [{"local": "c", "name": "x"}, {"local": "b", "name": "y"}]}}


def test_packages_are_united_and_commands_follow_each_other() -> None:
    result = system("packages: [b, a], configurations: [{cmd: x}]", "packages: [c, a], configurations: [{cmd: x}]")
    assert result == {"packages": ["b", "a", "c"], "configurations": [{"cmd": "x"}, {"cmd": "x"}]}


def test_kernel_fields_are_replaced_one_by_one_and_its_packages_as_a_whole() -> None:
    result = system("kernel: {cmdline: x, packages: [k]}", "kernel: {packages: [l], version: '6'}")
    assert result == {"kernel": {"cmdline": "x", "packages": ["l"], "version": "6"}}


def test_a_disk_is_replaced_as_a_whole() -> None:
    assert merged("disk: {name: a, size: 1, partitions: []}", "disk: {name: b}") == {"disk": {"name": "b"}}


def test_a_disk_of_artifacts_alone_keeps_the_layout() -> None:
    parent = "disk: {name: a, size: 1, artifacts: [{type: raw}]}"
    child = "disk: {artifacts: [{type: vhd}]}"
    assert merged(parent, child) == {"disk": {"name": "a", "size": 1, "artifacts": [{"type": "vhd"}]}}
    assert merged("image: {name: a}", child) == {"image": {"name": "a"}, "disk": {"artifacts": [{"type": "vhd"}]}}


def test_a_section_that_holds_only_network_is_not_dropped() -> None:
    assert system("hostname: a", "network: {backend: x}") == {"hostname": "a", "network": {"backend": "x"}}


def test_metadata_describes_its_own_file_only() -> None:
    assert merged("metadata: {description: x}\nimage: {name: a}", "image: {version: b}") == {
        "image": {"name": "a", "version": "b"}
    }


def test_empty_text_does_not_override() -> None:
    assert system("hostname: a", "hostname: ''") == {"hostname": "a"}


def test_repositories_with_one_codename_and_two_urls_stay_two() -> None:
    result = merged("packageRepositories: [{codename: x, url: a}]", "packageRepositories: [{codename: x, url: b}]")
    assert result == {"packageRepositories": [{"codename": "x", "url": "a"}, {"codename": "x", "url": "b"}]}


def test_merging_a_chain_is_merging_its_links() -> None:
    texts = [
        "systemConfig: {packages: [a], users: [{name: u, groups: [g]}]}",
        "systemConfig: {packages: [b], users: [{name: v}, {name: u, sudo: true}]}",
        "systemConfig: {packages: [a, c], users: [{name: u, groups: [h]}]}",
    ]
    trees = [parse_yaml(text, f"{n}.yml") for n, text in enumerate(texts)]
    assert merge_templates(trees) == merge_templates([merge_templates(trees[:2]), trees[2]])
    assert plain(merge_templates(trees)) == {
        "systemConfig": {
            "packages": ["a", "b", "c"],
            "users": [{"name": "u", "groups": ["g", "h"], "sudo": True}, {"name": "v"}],
        }
    }


def test_each_merged_value_knows_the_file_and_line_it_came_from() -> None:
    parent = parse_yaml("systemConfig:\n  hostname: a\n  users:\n    - name: u\n      sudo: true\n", "p.yml")
    child = parse_yaml("systemConfig:\n  users:\n    - name: u\n      home: /u\n", "c.yml")
    places = origins(merge_templates([parent, child]))
    assert places["systemConfig.hostname"] == Origin("p.yml", 2, 13)
    assert places["systemConfig.users[0].sudo"] == Origin("p.yml", 5, 13)
    assert places["systemConfig.users[0].home"] == Origin("c.yml", 4, 13)


def test_the_spec_knows_the_template_that_each_value_came_from(write: Write, data: Path) -> None:
    path = write(HEAD + "systemConfig:\n  hostname: mine\n")
    spec = load_image_spec(path, data)
    assert spec.origin("systemConfig.hostname") == Origin(str(path), 4, 13)
    default = spec.origin("systemConfig.kernel.cmdline")
    assert default is not None
    assert default.file.endswith("default-raw-x86_64.yml")
    nearest = spec.origin("disk.partitions[1].fsLabel.nothing")
    assert nearest == spec.origin("disk.partitions[1].fsLabel")
