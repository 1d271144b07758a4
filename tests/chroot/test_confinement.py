"""A program in the sandbox is root in its namespace; still it reaches nothing of the host but what was mounted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from os_image_composer.chroot.job import Bind, Completed

# From every descriptor of every process, go up step by step and look for a folder that only the host has.
SEARCH = """
for fd in /proc/[0-9]*/fd/*; do
  up=
  for step in 1 2 3 4 5 6 7 8 9 10; do
    if [ -e "$fd$up/FOLDER/marker" ]; then echo "reached by $fd$up"; fi
    up="$up/.."
  done
done
echo looked
"""


def test_no_descriptor_of_any_process_leads_out_of_the_tree(sh: Callable[..., Completed], tmp_path: Path) -> None:
    (tmp_path / "marker").touch()
    (tmp_path / "bound").mkdir()
    script = SEARCH.replace("/FOLDER", str(tmp_path))
    done = sh(script, Bind(tmp_path / "bound", "/bound", read_only=False))
    assert done.output.decode().splitlines() == ["looked"]


# As a maintainer script would that wants the next build to install something else.
OVERWRITE = """
stat -c %u /bound/package
mount -o remount,rw,bind /bound
mount -o remount,rw /bound
echo changed >/bound/package
chmod 0777 /bound/package
unshare --user --map-root-user --mount sh -c '
  mount -o remount,rw,bind /bound
  umount /bound
  echo changed >/bound/package
'
umount /bound
echo changed >/bound/package
cat /bound/package
"""


def test_what_is_mounted_read_only_cannot_be_mounted_anew(sh: Callable[..., Completed], tmp_path: Path) -> None:
    (tmp_path / "bound").mkdir()
    package = tmp_path / "bound" / "package"
    package.write_text("signed\n")
    done = sh(OVERWRITE, Bind(tmp_path / "bound", "/bound"))
    owner, *_, content = done.output.decode().splitlines()
    assert owner == ("0" if os.geteuid() else "65534")  # an ordinary caller's files are root's inside
    assert content == "signed"
    assert package.read_text() == "signed\n"
    assert package.stat().st_mode & 0o022 == 0


def test_descriptors_of_the_first_process_cannot_even_be_listed(sh: Callable[..., Completed]) -> None:
    done = sh("ls /proc/1/fd 2>/dev/null | wc -l; ls /proc/self/fd | wc -l")
    first, own = done.output.decode().split()
    assert first == "0"
    assert int(own) > 0
