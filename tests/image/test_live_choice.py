"""The menu of a signed live medium: entries that start one program, and the script that finds out which it was."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from os_image_composer.image.live_boot_signed import loader_entries
from os_image_composer.image.live_menu import CHANGES, CHOICE, variants

FOLDER = Path(__file__).parents[2] / "config/osv/live/signed"
HASH = "ab" * 32
ATTRIBUTES = b"\x06\0\0\0"


def variable(name: str) -> bytes:
    """As efivarfs shows a variable that systemd-boot wrote."""
    return ATTRIBUTES + name.encode("utf-16-le") + b"\0\0"


def chosen(file: Path, sealed: bool = False) -> list[str]:
    words = ["sh", str(FOLDER / "live-choice.sh"), str(file), "yes" if sealed else "no"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize("sealed", [False, True])
def test_each_entry_of_the_menu_gives_its_words(sealed: bool, tmp_path: Path) -> None:
    """Those that GRUB's entries have on their own command lines, and that no entry has in common with all."""
    entries = variants("Debian", "LABEL", HASH if sealed else None)
    for entry in entries:
        (tmp_path / "variable").write_bytes(variable(f"{entry.identifier}.conf"))
        assert chosen(tmp_path / "variable", sealed) == [w for w in entry.words if w not in entries[0].words], entry


@pytest.mark.parametrize(
    "content",
    [
        b"",
        ATTRIBUTES,
        variable(""),
        variable("live"),
        variable("live-check"),
        variable("LIVE-CHECK.CONF"),
        variable("live-check.conf rd.break"),
        variable("live-check.conf\nrd.break"),
        variable("../live-check.conf"),
        variable("$(reboot)"),
        variable("*"),
        variable("root=/dev/sda1"),
        variable("x" * 100_000),
        variable("live-check.conf")[4:],  # without attributes
        os.urandom(300),
    ],
)
def test_any_other_name_is_the_plain_live_system(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "variable").write_bytes(content)
    assert chosen(tmp_path / "variable") == []


def test_without_the_variable_it_is_the_plain_live_system(tmp_path: Path) -> None:
    assert chosen(tmp_path / "variable") == []


# As for a file of efivarfs: it reads what comes through a pipe, and nothing that it would have to seek in.
TAIL = """\
#!/bin/sh
for word; do [ ! -e "$word" ] || exit 1; done
[ -p /dev/stdin ] || exit 1
exec /usr/bin/tail "$@"
"""


def test_the_variable_is_read_without_seeking_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tail").write_text(TAIL)
    (tmp_path / "tail").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "variable").write_bytes(variable("live-check.conf"))
    assert chosen(tmp_path / "variable") == ["image.live.check"]


def test_nobody_can_choose_kept_changes_over_a_sealed_root(tmp_path: Path) -> None:
    (tmp_path / "variable").write_bytes(variable("live-changes.conf"))
    assert chosen(tmp_path / "variable") == [f"image.live.changes={CHANGES}"]
    assert chosen(tmp_path / "variable", sealed=True) == []
    assert "live-changes" not in {v.identifier for v in variants("Debian", "LABEL", HASH)}


def test_every_entry_starts_one_program_with_no_words_of_its_own() -> None:
    files = dict(loader_entries(variants("It's Debian", "LABEL")))
    assert list(files) == ["live.conf", "live-changes.conf", "live-check.conf"]
    fields = [dict(line.split(" ", 1) for line in text.splitlines()) for text in files.values()]
    assert {frozenset(f) for f in fields} == {frozenset({"title", "sort-key", "efi"})}
    assert {f["efi"] for f in fields} == {"/EFI/live/live.efi"}  # not in EFI/Linux, which is listed by itself
    assert [f["sort-key"] for f in fields] == sorted(f["sort-key"] for f in fields)
    assert fields[0]["title"] == "It's Debian"


HOOK = """\
getargbool() {{ case " $CMDLINE " in *" $2 "*) return 0 ;; esac; return 1; }}
getarg() {{ case " $CMDLINE " in *" $1"*) return 0 ;; esac; return 1; }}
ismounted() {{ return {mounted}; }}
modprobe() {{ echo "modprobe $*" >>{log}; }}
mount() {{ echo "mount $*" >>{log}; }}
. {hook}
"""


def hooked(tmp_path: Path, cmdline: str, mounted: bool = True) -> tuple[str | None, str]:
    """What the hook leaves for dracut's command line, with paths of the test's own and dracut's functions made up; and
    what it started."""
    text = (FOLDER / "live-choose.sh").read_text()
    for place, own in (
        ("/sys/firmware/efi/efivars", tmp_path / "efivars"),
        ("/etc/cmdline.d", tmp_path / "cmdline.d"),
        ("/usr/lib/image-live", FOLDER),
    ):
        assert place in text
        text = text.replace(place, str(own))
    (tmp_path / "hook").write_text(text)
    (tmp_path / "efivars").mkdir()
    (tmp_path / "efivars" / "LoaderEntrySelected-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f").write_bytes(
        variable("live-changes.conf")
    )
    log = tmp_path / "log"
    log.write_text("")
    script = HOOK.format(mounted=0 if mounted else 1, log=log, hook=tmp_path / "hook")
    done = subprocess.run(["sh", "-c", script], env={**os.environ, "CMDLINE": cmdline}, capture_output=True, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    found = list((tmp_path / "cmdline.d").glob("*.conf"))
    return (found[0].read_text() if found else None), log.read_text()


def test_the_choice_goes_on_in_the_command_line_of_who_asks_for_it(tmp_path: Path) -> None:
    assert hooked(tmp_path, f"image.live=A {CHOICE} quiet") == (f"image.live.changes={CHANGES}\n", "")


def test_a_sealed_system_is_told_of_no_changes(tmp_path: Path) -> None:
    assert hooked(tmp_path, f"image.live=A image.live.verity={HASH} {CHOICE}") == ("", "")


def test_a_system_that_grub_started_is_told_nothing(tmp_path: Path) -> None:
    assert hooked(tmp_path, "image.live=A image.live.check") == (None, "")


def test_the_firmwares_variables_are_mounted_where_nobody_did(tmp_path: Path) -> None:
    _, started = hooked(tmp_path, CHOICE, mounted=False)
    assert started.splitlines()[0] == "modprobe -q efivarfs"
    assert started.splitlines()[1].startswith("mount -t efivarfs -o ro,")
