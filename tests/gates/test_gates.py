"""What holds for the whole tree. These run with the tests, so that one command is the only gate."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "os_image_composer"
BENCHMARKS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "bench").iterdir() if path.is_file())
SKIPPED = {".git", ".venv", "__pycache__", "workspace", "dist"}


def tool(tmp_path: Path, *words: str) -> None:
    """Run a tool of the environment in the tree; its caches go to a folder of the tree only when that can be
    written."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    if not os.access(ROOT, os.W_OK):
        environment |= {"MYPY_CACHE_DIR": str(tmp_path), "RUFF_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr


def tree_files() -> Iterator[Path]:
    for folder, folders, files in os.walk(ROOT):
        folders[:] = sorted(f for f in folders if f not in SKIPPED and not f.endswith(("_cache", ".egg-info")))
        yield from (Path(folder, name) for name in sorted(files) if Path(folder, name).is_file())


def source_lines() -> Iterator[tuple[Path, int, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            yield path.relative_to(SOURCE), number, line


def test_types_are_right(tmp_path: Path) -> None:
    tool(tmp_path, "-m", "mypy")


def test_linter_finds_nothing(tmp_path: Path) -> None:
    tool(tmp_path, "-m", "ruff", "check", "src", "tests", "scripts", *BENCHMARKS)


def test_code_is_formatted(tmp_path: Path) -> None:
    tool(tmp_path, "-m", "ruff", "format", "--check", "src", "tests", *BENCHMARKS)


@pytest.mark.parametrize("script", [name for name in BENCHMARKS if not name.endswith(".py")])
def test_benchmark_starts_with_what_product_and_tests_offer_now(tmp_path: Path, script: str) -> None:
    tool(tmp_path, script, "--help")


def test_imports_go_one_way(tmp_path: Path) -> None:
    command = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    tool(tmp_path, "-c", command, "--no-cache")


# Programs, files and package formats of the families; `apt install …` in a hint is about the build host.
FAMILY = re.compile(
    r"(?i)(?<![a-z])(?!(?:apt|dnf) install )"
    r"(?:u?debs?|dpkg|debconf|(?:lib)?apt|aptitude|debootstrap|initramfs-tools|inrelease|postinst|conffiles?"
    r"|(?:lib)?rpms?|rpmdb|repomd|repodata|filelists|scriptlets?|(?:micro)?t?dnf5?|yum|zypper|createrepo(?:_c)?"
    r"|dracut|mkinitrd)"
    r"(?![a-z])"
)
FAMILY_IN_A_NAME = re.compile(
    r"(?<![A-Za-z])(?:Deb|Dpkg|Apt|Rpm|Dnf|Dracut)(?=[A-Z])|(?<=[a-z])(?:Deb|Dpkg|Apt|Rpm|Dnf|Dracut)s?(?![a-z])"
)
# What only an installer of one family is; what installers share stands beside them and is looked at.
FAMILY_PLACES = ("ospackage/deb/", "ospackage/rpm/", "chroot/install_deb", "chroot/install_rpm")


def test_no_word_of_a_package_family_outside_its_place() -> None:
    """In any file of the source, whatever its kind, and in no file's name."""
    found, seen = [], 0
    for path in sorted(SOURCE.rglob("*")):
        name = str(path.relative_to(SOURCE))
        if not path.is_file() or "__pycache__" in path.parts or name.startswith(FAMILY_PLACES):
            continue
        seen += 1
        lines = [name, *path.read_text(errors="replace").splitlines()]
        found += [f"{name}:{number}: {line.strip()}" for number, line in enumerate(lines) if names_a_family(line)]
    assert seen > 150
    assert not found, "\n".join(found)


def test_every_place_of_a_family_is_there() -> None:
    for place in FAMILY_PLACES:
        assert list(SOURCE.glob(f"{place}*")), place


def names_a_family(line: str) -> bool:
    return bool(FAMILY.search(line) or FAMILY_IN_A_NAME.search(line))


def test_the_search_for_family_words_finds_them_in_every_shape() -> None:
    for line in (
        *("run(['rpm', '-qa'])", "install_rpm", "DEB_FILES", "RpmResolver()", "a.deb", "'/usr/bin/yum'", "RPMs"),
        *("image/dracut_options.py", "LockedRpm", "unpackDebs(", "librpm", "microdnf", "repodata/", "%post scriptlet"),
    ):
        assert names_a_family(line), line
    for line in (
        *("Debian", "debug", "adapt", "rpmless", "hint: apt install qemu", "laptop", "the initramfs key"),
        *("isDebugging", "Adapted", "inDebian"),
    ):
        assert not names_a_family(line), line


def test_environment_variables_are_read_in_one_place() -> None:
    # The command line hands the whole environment to config/settings and reads nothing of it.
    allowed = Path("cli/options.py")
    found = [
        f"{path}:{number}"
        for path, number, line in source_lines()
        if path != allowed and re.search(r"os\.environ\b|os\.getenv|\bgetenv\(", line)
    ]
    assert not found, found


def test_no_shell_is_started_from_a_string() -> None:
    found = [
        f"{path}:{number}"
        for path, number, line in source_lines()
        if re.search(r"shell\s*=\s*True|os\.system\(|os\.popen\(", line)
    ]
    assert not found, found


# Put together here, so that this file does not hold them.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        *((name, "debian", "org") for name in ("deb", "security", "snapshot", "ftp", "archive", "httpredir")),
    )
]


def test_no_registry_is_named_in_the_tree() -> None:
    pattern = re.compile("|".join(re.escape(name) for name in REGISTRIES).encode())
    found = [str(path.relative_to(ROOT)) for path in tree_files() if pattern.search(path.read_bytes())]
    assert not found, found


def scripts() -> list[Path]:
    return [p for p in (*(ROOT / "scripts").iterdir(), *(ROOT / ".ci").iterdir()) if p.is_file()]


def test_page_and_heading_that_a_message_sends_to_are_there() -> None:
    pointer = re.compile(r"docs/([a-z-]+\.md)(?:, ([A-Z][a-z ]+))?")
    files = [path for path in tree_files() if {SOURCE, ROOT / "config"} & set(path.parents)]
    texts = [path.read_text() for path in files if path.suffix in (".py", ".sh", ".yml")]
    named = {match.groups() for text in texts for match in pointer.finditer(text)}
    assert {heading for _, heading in named} >= {None, "Recovery", "From a mirror"}
    for page, heading in named:
        lines = (ROOT / "docs" / page).read_text().splitlines()
        assert heading is None or any(re.match(rf"#+ {heading}\b", line) for line in lines), f"{page}, {heading}"


def test_every_script_can_be_run_and_what_is_only_sourced_cannot() -> None:
    for path in scripts():
        starts = path.read_bytes().startswith(b"#!")
        assert bool(path.stat().st_mode & 0o111) == starts, f"{path}: executable and #! go together"
        assert starts or path.suffix == ".sh", f"{path}: a script begins with #!, a library is named .sh"


@pytest.mark.parametrize("path", scripts(), ids=lambda p: p.name)
def test_shell_scripts_parse_and_stop_at_the_first_failure(path: Path) -> None:
    text = path.read_text()
    if "python" in text.split("\n", 1)[0]:
        compile(text, str(path), "exec")
        return
    subprocess.run(["bash", "-n", str(path)], check=True, timeout=20)
    if path.suffix != ".sh" and "exec " not in text.split("\n")[1]:
        assert "set -euo pipefail" in text


def test_lock_file_has_a_hash_for_every_requirement() -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / "requirements.lock").read_text())
    pinned = [b for b in blocks if re.match(r"[a-z0-9._-]+(\[.*\])?==", b)]
    assert len(pinned) > 20
    assert [b.split("==")[0] for b in pinned if "--hash=sha256:" not in b] == []
    wanted = {re.split(r"[#\[]", line)[0].strip() for line in (ROOT / "requirements.in").read_text().splitlines()} - {
        ""
    }
    assert {name.replace(".", "-") for name in wanted} <= {b.split("==")[0].split("[")[0] for b in pinned}


def test_no_folder_of_tests_is_passed_over(pytestconfig: pytest.Config) -> None:
    files = (ROOT / "tests").rglob("test_*.py")
    folders = {part for path in files for part in path.relative_to(ROOT).parts[:-1]}
    patterns = pytestconfig.getini("norecursedirs")
    assert [f for f in folders for pattern in patterns if fnmatch.fnmatch(f, pattern)] == []
