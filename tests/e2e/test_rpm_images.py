"""Azure Linux 3 and Edge Microvisor Toolkit 3 from look-alikes of their repositories: the shipped samples, unmodified,
on a host without any program of their package family. Azure Linux is built with nothing within reach but the look-alike
and an archive of the image tools, so without any Debian mirror.

Nothing here says anything about the vendors' own repositories: see docs/rpm.md.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from os_image_composer.boot.machine import Machine
from os_image_composer.boot.qemu import run_guest
from os_image_composer.build.clock import SystemClock
from os_image_composer.build.step import Result
from os_image_composer.chroot.job import Job, MountedTree, Tree
from os_image_composer.config.distribution_data import load_distribution
from os_image_composer.ospackage.rpm.licence import read_licence
from os_image_composer.report.inspect import extract_sboms, inspect_image
from support.lookalike.made import NAMES
from support.workshop import CHECKOUT, TEMPLATE, Workshop, remove_workshop

pytestmark = pytest.mark.build

# Under TCG, on two busy cores; a quiet machine takes a quarter.
SECONDS = 600
CLOSED = "http://127.0.0.1:9"  # the discard port, on which nobody listens
# What a build may start on the host.
HOST_PROGRAMS = ("newuidmap", "newgidmap")


@dataclass(frozen=True)
class Built:
    """An image of a sample, and what built it; `events` are what the build told, as JSON lines, and `said` is what it
    wrote beside them."""

    name: str
    image: Path
    template: Path
    workshop: Workshop
    settings: Path
    events: str
    said: str


def build(workshop: Workshop, settings: Path, name: str, programs: Path) -> Built:
    programs.mkdir()
    for program in HOST_PROGRAMS:
        (programs / program).symlink_to(shutil.which(program) or "")
    template = CHECKOUT / "image-templates" / f"{name}-x86_64-minimal-raw.yml"
    done = workshop.run("--config", str(settings), "build", "--json-events", str(template), PATH=str(programs))
    assert done.returncode == 0, done.stdout + done.stderr
    (image,) = workshop.work.glob(f"*-{name}-x86_64/imagebuild/minimal/*.raw")
    return Built(name, image, template, workshop, settings, done.stdout, done.stderr)


def cut_off(settings: Path, tools: str, server: str, file: Path) -> Path:
    """Those settings with `tools`, as `env export` printed it, where nothing but `server` can be reached: Debian's
    mirrors are a port on which nobody listens, and so is the proxy to everything that is not on this host."""
    text = settings.read_text()
    closed = f"mirrors:\n  debian: {CLOSED}/debian\n  debian-security: {CLOSED}/debian-security\n"
    assert text.startswith("mirrors:\n")
    assert server.startswith("http://127.0.0.1:")
    proxy = f"network: {{http_proxy: '{CLOSED}', https_proxy: '{CLOSED}', no_proxy: [127.0.0.1]}}\n"
    file.write_text(text.replace("mirrors:\n", closed, 1) + proxy + tools)
    return file


@pytest.fixture(scope="module")
def server(workshop: Workshop, rpm_settings: Path) -> str:
    """Where the look-alikes are served."""
    parts = urlsplit(workshop.settings(rpm_settings).mirrors["azurelinux-base"][0])
    return f"{parts.scheme}://{parts.netloc}"


@pytest.fixture(scope="module")
def azl3(
    workshop: Workshop, rpm_settings: Path, server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Built]:
    """With the image tools of the default build's lock, and a cache in which there is nothing of that build."""
    folder = tmp_path_factory.mktemp("azl3")
    exported = workshop.run("env", "export", str(folder / "tools.tar"), str(TEMPLATE))
    assert exported.returncode == 0, exported.stderr
    settings = cut_off(rpm_settings, exported.stdout, server, folder / "settings.yml")
    own = Workshop(folder / "workshop")
    yield build(own, settings, "azl3", folder / "bin")
    remove_workshop(own)


@pytest.fixture(scope="module")
def emt3(workshop: Workshop, rpm_settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(workshop, rpm_settings, "emt3", tmp_path_factory.mktemp("emt3") / "bin")


def test_build_with_an_archive_of_image_tools_names_no_address_but_the_look_alikes(azl3: Built, server: str) -> None:
    told = [
        line for line in azl3.events.splitlines() if '"message": "setting ' not in line
    ]  # these name what is closed
    named = set(re.findall(r"(?:https?|ftp)://[^/\s\"']+", "\n".join([*told, azl3.said])))
    assert named == {server}
    _, preparation = azl3.workshop.provider(azl3.template, azl3.settings)
    archive = (azl3.settings.parent / "tools.tar").as_uri()
    assert {r.url.removeprefix(server).partition("/")[0] or server for r in preparation.lock.repositories} == {
        server,
        "file:",
    }
    tools = {p.repository for p in preparation.lock.sets["image-tools"].packages()}
    assert {r.url for r in preparation.lock.repositories if r.name in tools} == {archive}


def test_unified_kernel_image_is_made_by_the_targets_own_ukify(azl3: Built, built: Workshop) -> None:
    said = {
        name: next((workshop.cache / "store" / "logs").glob(f"*{name}*/boot.log")).read_text()
        for name, workshop in (("azl3", azl3.workshop), ("debian13", built))
    }
    assert "ukify of the image\n" in said["azl3"]
    # Its template asks for no ukify.
    assert "ukify of the image tools\n" in said["debian13"]


def test_without_the_archive_the_same_settings_reach_no_image_tools(azl3: Built, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yml"
    settings.write_text(azl3.settings.read_text().partition("# image tools")[0])
    done = azl3.workshop.run("--config", str(settings), "plan", str(azl3.template))
    assert done.returncode == 1
    assert f"{CLOSED}/debian" in done.stderr


# Of the two vendors one in every run each way: what is theirs alone is data.
CHECKED = [pytest.param("azl3"), pytest.param("emt3", marks=pytest.mark.matrix)]
LOGGED_IN = [pytest.param("emt3"), pytest.param("azl3", marks=pytest.mark.matrix)]


@pytest.mark.boot
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("name", CHECKED)
def test_image_boots_to_a_login_without_a_failed_unit(
    workshop: Workshop, name: str, request: pytest.FixtureRequest
) -> None:
    built: Built = request.getfixturevalue(name)
    done = workshop.run("boot", "--check", "--json", "--timeout", str(SECONDS), str(built.image))
    assert done.stdout, done.stderr
    verdict = json.loads(done.stdout)
    # systemd 252 of the look-alike takes no unit from outside: the console is all there is to see.
    assert (verdict["level"], verdict["passed"], verdict["failedUnits"]) == ("console", True, []), verdict
    assert done.returncode == 0


@pytest.mark.boot
@pytest.mark.timeout(SECONDS + 900)
@pytest.mark.parametrize("name", LOGGED_IN)
def test_user_of_the_template_logs_in_and_becomes_root(name: str, request: pytest.FixtureRequest) -> None:
    built: Built = request.getfixturevalue(name)
    with run_guest(built.image, Machine(), SystemClock()) as guest:
        console = guest.console
        console.expect(rf"{name} login: $", SECONDS)
        console.send("admin\n")
        console.expect(r"Password: $", 60)
        console.send("change-me-first\n")
        console.expect(r"\$ $", 60)
        # Host keys are made at the first start, beside the login: they came with no image.
        console.send("until [ -e /etc/ssh/ssh_host_ed25519_key ]; do sleep 1; done\n")
        console.expect(r"\$ $", SECONDS)
        console.send("until networkctl --no-legend | grep -q 'ether *routable *configured'; do sleep 1; done\n")
        console.expect(r"\$ $", SECONDS)
        console.send("echo change-me-first | sudo -S -p '' id -un; wc -c < /etc/machine-id; ls /etc/ssh\n")
        answer = console.expect(r"(?s)root\n33\n.*\$ $", 120)
        assert "ssh_host_ed25519_key" in answer


# Files that packages have as configuration and that are not as they have them, each with what changed it.
BY_SCRIPTLETS = {
    ("c", "/etc/group"): "systemd-sysusers, which scriptlets of systemd and others call: groups of the system",
    ("c", "/etc/gshadow"): "systemd-sysusers, as above",
    ("missing", "/etc/machine-id"): "removed at the end of a transaction, whatever scriptlets wrote: leftovers",
}
BY_THE_TEMPLATE = {
    ("c", "/etc/fstab"): "the partitions",
    ("c", "/etc/group"): "the user's group, beside those of scriptlets",
    ("c", "/etc/gshadow"): "as above",
    ("c", "/etc/hosts"): "the host name",
    ("c", "/etc/passwd"): "the user",
    ("c", "/etc/shadow"): "the user's password",
}


@pytest.mark.parametrize("name", CHECKED)
def test_root_verifies_against_its_own_database_but_for_listed_configuration(
    name: str, request: pytest.FixtureRequest
) -> None:
    """By the distribution's own program, as packages left the root and as the image has it: /etc/machine-id is empty
    there, which its package allows."""
    root = Root(request.getfixturevalue(name))

    def verified(*further: str) -> set[tuple[str, str]]:
        # Nine letters or `missing`, `c` for configuration, the path.
        lines = [line.split() for line in root.asked(("--verify", "--all"), *further).splitlines()]
        return {(words[0] if words[0] == "missing" else words[1], words[-1]) for words in lines}

    assert verified() == set(BY_SCRIPTLETS)
    assert verified("os-configuration", "sbom") == set(BY_THE_TEMPLATE)


@pytest.mark.parametrize("name", CHECKED)
def test_every_package_is_in_the_database_with_the_signature_of_its_vendor(
    name: str, request: pytest.FixtureRequest
) -> None:
    root = Root(request.getfixturevalue(name))
    query = ("--query", "--all", "--queryformat", "%{NAME} %{RSAHEADER:pgpsig}\\n")
    signed = root.asked(query).splitlines()
    assert {line.split()[0] for line in signed} == {p.name for p in root.lock.sets["image"].packages()}
    vendors = next(r for r in root.lock.repositories if r.name in NAMES.values())
    key = vendors.signers[0][-16:].lower()
    assert [line for line in signed if not line.endswith(f"Key ID {key}")] == []


class Root:
    """The root of a built image, and its distribution's package manager."""

    def __init__(self, built: Built) -> None:
        workshop, settings = built.workshop, built.settings
        preparation = workshop.provider(built.template, settings)[1]
        self.lock = preparation.lock
        self._results = workshop.results(built.template, settings)
        self._packages = [step.name for step in preparation.plan if step.name.startswith("packages:")]
        self._sandbox = workshop.bare_sandbox()
        self._upper = workshop.cache / "tmp" / "tests" / f"asked-{built.name}"

    def asked(self, words: tuple[str, ...], *further: str) -> str:
        """What it says of the layers of the packages, with those of `further` steps above."""
        self._sandbox.remove([self._upper])
        self._sandbox.new_layer(self._upper)
        tree = Tree(tuple(_layer(self._results, step) for step in (*self._packages, *further)), self._upper)
        chroot = Tree((_layer(self._results, "chroot-environment"),))
        job = Job(chroot, ("rpm", "--root", "/target", *words), (MountedTree(tree, "/target", api=True),))
        return self._sandbox.run(job).output.decode()


# The vendor in package URLs, and the release.
VENDORS = {"azl3": ("azurelinux", "3.0"), "emt3": ("edge-microvisor-toolkit", "3.0")}


@pytest.mark.parametrize("name", CHECKED)
def test_both_bills_have_every_package_of_the_database_with_purl_licence_file_and_digest(
    name: str, request: pytest.FixtureRequest
) -> None:
    built: Built = request.getfixturevalue(name)
    spdx, cyclonedx = (built.image.with_name(f"{built.image.stem}.{end}.json") for end in ("spdx", "cdx"))
    assert validate_full_spdx_document(parse_file(str(spdx)), "SPDX-2.3") == []
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(cyclonedx.read_text()) is None
    root = Root(built)
    tags = ("NAME", "EPOCHNUM", "VERSION", "RELEASE", "ARCH", "LICENSE")
    query = "\\t".join(f"%{{{tag}}}" for tag in tags) + "\\n"
    rows = [line.split("\t") for line in root.asked(("--query", "--all", "--queryformat", query)).splitlines()]
    assert len(rows) > 100
    locked = {p.name: p for p in root.lock.sets["image"].packages()}
    vendor, release = VENDORS[name]
    # What is told is the vendor's own address, whichever mirror the packages came from.
    (repository,) = load_distribution(root.lock.os, root.lock.dist, root.lock.arch, CHECKOUT / "config").repositories
    wanted = set()
    for package, epoch, version, rel, arch, licence in rows:
        said = f"?arch={arch}&distro={vendor}-{release}" + (f"&epoch={epoch}" if epoch != "0" else "")
        url = f"pkg:rpm/{vendor}/{quote(package, safe='')}@{quote(f'{version}-{rel}', safe='')}{said}"
        declared = read_licence(licence)
        file = f"{repository.url}/{locked[package].path}"
        wanted.add((url, declared.expression if declared else None, file, locked[package].sha256))

    packages = json.loads(spdx.read_text())["packages"][1:]
    references = [p["externalRefs"][0] for p in packages]
    assert {(r["referenceCategory"], r["referenceType"]) for r in references} == {("PACKAGE-MANAGER", "purl")}
    licences = [None if p["licenseDeclared"] == "NOASSERTION" else p["licenseDeclared"] for p in packages]
    of_spdx = {
        (r["referenceLocator"], licence, p["downloadLocation"], p["checksums"][0]["checksumValue"])
        for r, licence, p in zip(references, licences, packages, strict=True)
    }
    assert of_spdx == wanted
    assert {p["packageFileName"] for p in packages} == {p.path for p in locked.values()}
    of_cyclonedx = set()
    for c in json.loads(cyclonedx.read_text())["components"]:
        (file,) = [r["url"] for r in c["externalReferences"] if r["type"] == "distribution"]
        expression = c["licenses"][0]["expression"] if "licenses" in c else None
        of_cyclonedx.add((c["purl"], expression, file, c["hashes"][0]["content"]))
    assert of_cyclonedx == wanted
    assert sum(licence is not None for _, licence, _, _ in wanted) > 0.8 * len(wanted)


@pytest.mark.parametrize("name", CHECKED)
def test_inspect_reads_the_database_and_the_bills_from_the_image(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    built: Built = request.getfixturevalue(name)
    seen = inspect_image(built.image)
    assert seen.root is not None
    locked = Root(built).lock.sets["image"].packages()
    assert {(p.name, p.version, p.arch) for p in seen.root.packages} == {(p.name, p.version, p.arch) for p in locked}
    assert seen.findings == ()
    for inside in extract_sboms(built.image, tmp_path):
        end = "".join(inside.suffixes[-2:])
        assert inside.read_bytes() == built.image.with_name(f"{built.image.stem}{end}").read_bytes()


def test_package_database_is_dated_by_the_lock_and_holds_nothing_of_a_session(azl3: Built, tmp_path: Path) -> None:
    """sqlite's log is empty, and its index names no session (walformat, "WAL-Index Format": a salt is random)."""
    _, preparation = azl3.workshop.provider(azl3.template, azl3.settings)
    layer = Tree((_layer(azl3.workshop.results(azl3.template, azl3.settings), "packages:default"),))
    sandbox = azl3.workshop.bare_sandbox()
    found = sandbox.glob(layer, "var/lib/rpm/*")
    assert set(found) <= {f"var/lib/rpm/rpmdb.sqlite{end}" for end in ("", "-shm", "-wal")}
    files = sandbox.read(layer, [f"/{path}" for path in found])
    (tmp_path / "copy").write_bytes(files["/var/lib/rpm/rpmdb.sqlite"])
    with closing(sqlite3.connect(f"file:{tmp_path / 'copy'}?immutable=1", uri=True)) as database:
        times = {struct.unpack("<I", key)[0] for (key,) in database.execute("SELECT DISTINCT key FROM Installtid")}
    assert times == {preparation.lock.source_date_epoch}
    assert files.get("/var/lib/rpm/rpmdb.sqlite-wal", b"") == b""
    assert not files.get("/var/lib/rpm/rpmdb.sqlite-shm", b"")[32:40].strip(b"\0")


def _layer(results: Mapping[str, Result], step: str) -> Path:
    content = results[step].content
    assert content is not None
    return content
