"""What the command says of packages that cannot be had: all of it at once, in the words of the template."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.families import FAMILIES
from support.small_archive import SmallArchive, small_archive
from support.small_data import Described

Composer = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module", params=FAMILIES)
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SmallArchive:
    return small_archive(
        tmp_path_factory.mktemp("archive"),
        Described("openssh-server", depends=("libssl",)),
        Described("openssh-client"),
        Described("libssl"),
        Described("nginx", depends=("nginx-core",)),
        Described("nginx-core", conflicts=("web",)),
        Described("apache2", depends=("apache2-bin",)),
        Described("apache2-bin", provides=("web",), files=("/usr/bin/apache",)),
        Described("no-certificates", conflicts=("ca-certificates",)),
        Described("no-zstd", conflicts=("zstd",)),
        Described("broken", depends=("libvanished",)),
        Described("huge", mebibytes=3900),
        family=request.param,
    )


def test_all_unknown_packages_are_told_at_once_each_at_its_line_the_nearest_name_first(
    composer: Composer, archive: SmallArchive
) -> None:
    template = archive.template("systemConfig:\n  packages:\n    - opensh-server\n    - nginx\n    - apahce2\n")
    done = composer("--config", archive.settings, "validate", "--resolve", template)
    assert done.returncode == 1
    assert "2 packages that were asked for cannot be had" in done.stderr
    assert f"{template}:5:7: there is no package opensh-server" in done.stderr
    assert f"{template}:7:7: there is no package apahce2" in done.stderr
    assert "did you mean openssh-server?" in done.stderr
    assert "did you mean apache2?" in done.stderr
    assert "looked in own" in done.stderr


def test_file_in_place_of_a_package_is_found_or_told_for_what_it_is(composer: Composer, archive: SmallArchive) -> None:
    """Where the family's metadata say which package has which file it means that package."""

    def asked(path: str) -> subprocess.CompletedProcess[str]:
        template = archive.template(f"systemConfig:\n  packages:\n    - {path}\n", "file.yml")
        return composer("--config", archive.settings, "validate", "--resolve", template)

    known, unknown = asked("/usr/bin/apache"), asked("/bin/apache")
    assert unknown.returncode == 1
    assert f"{archive.root / 'file.yml'}:5:7" in unknown.stderr
    if archive.data.family == "deb":
        assert known.returncode == 1
        assert "error[bad-package-name]: /usr/bin/apache is a file and not a package" in known.stderr
        assert "hint: name the package; `dpkg --search /usr/bin/apache` names it" in known.stderr
        return
    assert known.returncode == 0, known.stderr
    assert "error[unknown-package]: no package has the file /bin/apache" in unknown.stderr
    assert "hint: did you mean /usr/bin/apache?" in unknown.stderr


def test_conflicting_demands_are_told_as_a_chain_from_the_lines_that_ask(
    composer: Composer, archive: SmallArchive
) -> None:
    template = archive.template("systemConfig:\n  packages: [nginx,\n    apache2]\n")
    done = composer("--config", archive.settings, "plan", template)
    assert done.returncode == 1
    said = archive.said
    assert f"{said('nginx')} and {said('apache2')} cannot be installed together" in done.stderr
    lines = [line.removeprefix("  | ") for line in done.stderr.splitlines()]
    assert (
        f"{said('nginx')} (asked for at {template}:4) depends on nginx-core; "
        f"{said('nginx-core')} conflicts with web, which {said('apache2-bin')} is"
    ) in lines
    assert (
        f"{said('apache2-bin')} is needed because {said('apache2')} (asked for at {template}:5) depends on apache2-bin"
    ) in lines
    assert "  hint: leave one of nginx, apache2 out, or ask for another version" in done.stderr.splitlines()


def test_a_conflict_with_the_default_template_names_it(composer: Composer, archive: SmallArchive) -> None:
    template = archive.template("systemConfig:\n  packages: [no-certificates]\n")
    done = composer("--config", archive.settings, "plan", template)
    assert done.returncode == 1
    assert (
        f"{archive.said('no-certificates')} (asked for at {template}:4) conflicts with ca-certificates" in done.stderr
    )
    assert f"{archive.said('ca-certificates')} is asked for by the OS default template at " in done.stderr
    assert "leave no-certificates out" in done.stderr
    assert f"  --> {template}:4:14" in done.stderr


def test_two_that_each_conflict_with_the_default_template_are_both_to_go(
    composer: Composer, archive: SmallArchive
) -> None:
    template = archive.template("systemConfig:\n  packages: [no-certificates, no-zstd]\n")
    done = composer("--config", archive.settings, "plan", template)
    hint = next(line for line in done.stderr.splitlines() if line.startswith("  hint: "))
    assert re.match("  hint: leave (no-certificates and no-zstd|no-zstd and no-certificates) out", hint)


def test_a_dependency_that_nothing_meets_is_told_with_the_package_that_has_it(
    composer: Composer, archive: SmallArchive
) -> None:
    template = archive.template("systemConfig:\n  packages: [broken]\n")
    done = composer("--config", archive.settings, "plan", template)
    assert f"error[cannot-be-installed]: {archive.said('broken')} cannot be installed" in done.stderr
    assert "depends on libvanished, which no repository has" in done.stderr


def test_a_root_that_is_too_small_names_the_line_and_a_size_that_is_enough(
    composer: Composer, archive: SmallArchive
) -> None:
    template = archive.template("systemConfig:\n  packages: [huge]\n")
    done = composer("--config", archive.settings, "validate", "--resolve", template)
    assert done.returncode == 2
    assert "error[root-too-small]" in done.stderr
    where = next(line for line in done.stderr.splitlines() if line.startswith("  --> "))
    file, line, _ = where.removeprefix("  --> ").split(":")
    # What decides over the size of the root: its own end where there is more behind it, else the disk's.
    key, _, _ = Path(file).read_text().splitlines()[int(line) - 1].strip().partition(":")
    assert key in ("size", "end")
    assert "the largest are huge (3900 MiB)" in done.stderr
    # The line is the OS default template's, which is not the user's to change.
    assert f"hint: copy the section 'disk' of {file} into your template and write {key}: " in done.stderr
    enough = done.stderr.split(f" write {key}: ")[1].split()[0]
    size, end = (enough, "0") if key == "size" else ("64GiB", enough)
    disk = (
        "  immutability: {enabled: false}\n"
        "disk:\n  name: large\n"
        f"  size: {size}\n"
        "  partitions:\n"
        "    - {id: esp, type: esp, fsType: fat32, start: 1MiB, end: 257MiB, mountPoint: /boot/efi}\n"
        f'    - {{id: root, type: linux-root-amd64, fsType: ext4, start: 257MiB, end: "{end}", mountPoint: /}}\n'
    )
    larger = archive.template("systemConfig:\n  packages: [huge]\n" + disk)
    done = composer("--config", archive.settings, "validate", "--resolve", larger)
    assert done.returncode == 0, done.stderr


def test_what_resolves_is_told_with_its_packages_and_its_size(composer: Composer, archive: SmallArchive) -> None:
    template = archive.template("systemConfig:\n  packages: [openssh-server]\n")
    done = composer("--config", archive.settings, "validate", "--resolve", template)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{template}: valid; ")
    assert " packages" in done.stdout


def test_findings_of_resolution_are_json_for_programs(composer: Composer, archive: SmallArchive) -> None:
    template = archive.template("systemConfig:\n  packages:\n    - opensh-server\n    - apahce2\n")
    done = composer("--config", archive.settings, "validate", "--resolve", "--json", template)
    assert done.returncode == 1
    (report,) = json.loads(done.stdout)["templates"]
    found = [(f["reference"], f["line"], f["column"]) for f in report["findings"]]
    assert found == [("unknown-package", 5, 7), ("unknown-package", 6, 7)]


@pytest.mark.parametrize("verb", ["plan", "validate"])
def test_nothing_is_built_or_left_in_the_output_folder(composer: Composer, archive: SmallArchive, verb: str) -> None:
    template = archive.template("systemConfig:\n  packages: [nginx]\n")
    words = ("validate", "--resolve") if verb == "validate" else ("plan", "--dot")
    assert composer("--config", archive.settings, *words, template).returncode == 0
    assert not Path(archive.root, "work").exists()
