"""GRUB's menu on a live medium: the template's title and command line stand in every entry."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from os_image_composer.image.live_grub import MENU_FOLDER, place_menu
from os_image_composer.image.live_menu import variants
from os_image_composer.image.medium import MEDIUM


def test_every_entry_has_the_title_and_the_command_line_of_the_template(tmp_path: Path) -> None:
    work: Any = SimpleNamespace(output=tmp_path)
    place_menu(work, variants("Rescue 7", "LABEL_1"), 7, "quiet console=ttyS1,9600")
    text = (tmp_path / MEDIUM / MENU_FOLDER / "grub.cfg").read_text()
    assert "set timeout=7\n" in text
    assert "serial --unit=1 --speed=9600" in text
    entries = text.split("\nmenuentry ")[1:]
    assert len(entries) == 3
    for entry in entries:
        title, linux, _ = entry.split("\n", 2)
        assert "Rescue 7" in title
        assert " image.live=LABEL_1 " in linux
        assert linux.endswith(" quiet console=ttyS1,9600")
    assert "image.live.changes=LIVE_CHANGES" in entries[1]
    assert "image.live.check" in entries[2]
    assert "image.live.c" not in entries[0]
