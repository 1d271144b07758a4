"""`plan --json` and `plan --dot`: for programs, without secrets."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from platform import machine

import pytest

from os_image_composer.config.spec import Target
from os_image_composer.report.package_graph import quoted
from support.deb_repository import NOW
from support.small_archive import SmallArchive, small_archive
from support.small_data import Described, SmallData

Composer = Callable[..., subprocess.CompletedProcess[str]]
BODY = """\
systemConfig:
  packages: [nginx]
  users:
    - {name: admin, password: hush-hush-4}
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> SmallArchive:
    return small_archive(
        tmp_path_factory.mktemp("archive"),
        Described("nginx", "1.22-3+deb12u1", depends=("nginx-core",)),
        Described("nginx-core", depends=("bash",)),
    )


def test_the_plan_as_json_has_steps_inputs_options_and_what_would_run(
    composer: Composer, archive: SmallArchive
) -> None:
    done = composer("--config", archive.settings, "plan", "--json", archive.template(BODY))
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    steps = {step["name"]: step for step in plan["steps"]}
    assert plan["planVersion"] == 1
    assert plan["target"]["dist"] == "debian13"
    assert plan["lock"]["repositories"][0]["name"] == "own/stable"
    assert plan["lock"]["packages"]["image"] > 20
    disk = steps["disk"]
    assert re.fullmatch("[0-9a-f]{64}", disk["id"])
    assert disk["verdict"] in ("runs", "maybe")
    assert disk["why"] == "not built before"
    assert {i["step"] for i in disk["inputs"]} <= set(steps)
    nginx = [p for p in steps["packages:template"]["options"]["packages"] if p["name"] == "nginx"]
    assert nginx[0]["version"] == "1.22-3+deb12u1"
    hashes = re.findall(r"\$(?:[156y]|2[aby])\$[^\"]{8,}", done.stdout)
    assert (hashes, "hush" in done.stdout + done.stderr) == ([], False)


@pytest.mark.parametrize(("os", "dist"), [("azure-linux", "azl3"), ("edge-microvisor-toolkit", "emt3")])
def test_default_template_of_another_architecture_is_planned(
    composer: Composer, tmp_path: Path, os: str, dist: str
) -> None:
    """A plan is the same on every machine; who builds it must have that architecture."""
    data = SmallData("rpm", tmp_path, NOW, Target(os, dist, "aarch64", "raw"))
    data.write()
    settings = tmp_path / "settings.yml"
    settings.write_text(f"config_dir: {data.data}\ncache_dir: {tmp_path}/cache\n{data.mirrors(data.root.as_uri())}")
    done = composer("--config", settings, "plan", "--json", data.template)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    steps = {step["name"]: step["options"] for step in plan["steps"]}
    assert plan["target"]["arch"] == "aarch64"
    assert {p["arch"] for p in steps["packages:default"]["packages"]} == {"aarch64"}
    assert {p["arch"] for p in steps["image-tools"]["packages"]} == {"arm64"}
    assert steps["boot"]["removable_path"] == "EFI/BOOT/BOOTAA64.EFI"
    if machine() != "aarch64":
        refused = composer("--config", settings, "build", data.template)
        assert "error[not-built-yet]: images for aarch64" in refused.stderr


def test_the_same_plan_is_the_same_text(composer: Composer, archive: SmallArchive) -> None:
    words = ("--config", archive.settings, "plan", "--json", archive.template(BODY))
    assert composer(*words).stdout == composer(*words).stdout


def test_a_damaged_lock_is_told_and_made_again(composer: Composer, archive: SmallArchive) -> None:
    words = ("--config", archive.settings, "plan", "--json", archive.template(BODY))
    first = composer(*words)
    for lock in (archive.cache / "locks").glob("*.lock"):
        lock.write_text(lock.read_text()[:-40])
    again = composer(*words)
    assert "warning: the lock of the last build, " in again.stderr
    assert "is damaged" in again.stderr
    assert again.stdout == first.stdout
    assert "damaged" not in composer(*words).stderr


def test_the_graph_is_accepted_and_its_roots_are_the_templates_packages(
    composer: Composer, archive: SmallArchive
) -> None:
    done = composer("--config", archive.settings, "plan", "--dot", archive.template(BODY))
    assert done.returncode == 0, done.stderr
    nodes, edges = parsed_digraph(done.stdout)
    assert ("nginx", "nginx-core") in edges
    assert ("nginx-core", "bash") in edges
    assert nodes["nginx"]["label"] == "nginx\\n1.22-3+deb12u1"
    assert nodes["nginx"]["style"] == "filled"
    assert nodes["systemd"]["style"] == "bold"
    assert "style" not in nodes["nginx-core"]
    assert {name for edge in edges for name in edge} <= set(nodes)


def test_the_graph_of_another_family_knows_requests_with_version_and_architecture(
    composer: Composer, tmp_path: Path
) -> None:
    packages = [
        *(Described("a", "1.5", depends=("lib",)), Described("b"), Described("c"), Described("lib")),
        *(Described("d", files=("/usr/bin/d-tool",)), Described("e", provides=("virtual",))),
    ]
    archive = small_archive(tmp_path / "archive", *packages, family="rpm")
    body = "systemConfig: {packages: [a-1.5, b.x86_64, 'c-0:1.0-1', /usr/bin/d-tool, virtual]}\n"
    done = composer("--config", archive.settings, "plan", "--dot", archive.template(body))
    assert done.returncode == 0, done.stderr
    nodes, edges = parsed_digraph(done.stdout)
    assert ("a", "lib") in edges
    assert nodes["a"]["label"] == "a\\n1.5-1"
    assert [nodes[name].get("style") for name in ("a", "b", "c", "d", "e", "lib")] == [*["filled"] * 5, None]
    assert nodes["kernel"]["style"] == "bold"


@pytest.mark.parametrize(("os", "dist"), [("azure-linux", "azl3"), ("edge-microvisor-toolkit", "emt3")])
def test_file_that_a_vendor_s_initrd_takes_along_is_asked_for_by_its_data_alone(
    composer: Composer, tmp_path: Path, os: str, dist: str
) -> None:
    """Scripts in the initrd of one of them call /usr/bin/cut; a template asks for whatever package has it."""
    cut = Described("tools-of-text", files=("/usr/bin/cut",))
    target = Target(os, dist, "x86_64", "raw")
    archive = small_archive(tmp_path / "archive", cut, family="rpm", target=target)
    template = archive.template("systemConfig: {packages: [/usr/bin/cut]}\n")
    done = composer("--config", archive.settings, "plan", "--json", template)
    assert done.returncode == 0, done.stderr
    options = {step["name"]: step["options"] for step in json.loads(done.stdout)["steps"]}
    assert [p["name"] for p in options["packages:template"]["packages"]] == ["tools-of-text"]
    assert ("--install /usr/bin/cut" in " ".join(options["initrd"]["argv"])) == (dist == "emt3")


def test_json_and_dot_exclude_each_other(composer: Composer, archive: SmallArchive) -> None:
    done = composer("--config", archive.settings, "plan", "--dot", "--json", archive.template(BODY))
    assert done.returncode == 2


@pytest.mark.parametrize("text", ['a"b', "a\\", "a\\n", '"', "ä b"])
def test_any_text_is_one_quoted_id(text: str) -> None:
    nodes, _ = parsed_digraph(f"digraph x {{ {quoted(text)} [label={quoted(text)}]; }}")
    assert list(nodes) == [text]


TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([A-Za-z_][A-Za-z0-9_]*|-?[0-9]+)|(->|[{}\[\];,=]))')
Nodes = dict[str, dict[str, str]]


def parsed_digraph(text: str) -> tuple[Nodes, set[tuple[str, str]]]:
    """A digraph by the grammar of the DOT language, strictly: nothing may be left over."""
    tokens: list[str] = []
    at = 0
    while text[at:].strip():
        match = TOKEN.match(text, at)
        assert match, f"no token at {text[at : at + 40]!r}"
        at = match.end()
        tokens.append(match[0].strip())
    assert tokens[0] == "digraph"
    assert (tokens[2], tokens[-1]) == ("{", "}")
    nodes: Nodes = {}
    edges: set[tuple[str, str]] = set()
    body = tokens[3:-1]
    while body:
        end = body.index(";")
        statement, body = body[:end], body[end + 1 :]
        if statement[1:2] == ["="]:
            assert len(statement) == 3
        elif statement[1:2] == ["->"]:
            assert len(statement) == 3
            edges.add((unquoted(statement[0]), unquoted(statement[2])))
        else:
            assert (statement[1], statement[-1]) == ("[", "]")
            inner = statement[2:-1]
            assert inner[3::4] == [","] * (len(inner) // 4)
            attributes = {inner[i]: unquoted(inner[i + 2]) for i in range(0, len(inner), 4)}
            assert inner[1::4] == ["="] * len(attributes)
            if statement[0] != "node":
                nodes[unquoted(statement[0])] = attributes
    return nodes, edges


def unquoted(token: str) -> str:
    """As Graphviz reads an ID: only `\\"` is an escape there; others belong to labels."""
    return re.sub(r'\\(["\\])', r"\1", token[1:-1]) if token.startswith('"') else token
