"""A program in the sandbox is root in its namespace; still it reaches nothing of the host but what was mounted."""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from os_image_composer.chroot.job import Bind, Completed, Job, MountedTree, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox

from .conftest import HOST_USR

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


# Whatever of the host, of another tree or of the caller a program could read, in the words of its own tools. Of
# keys only the names: how many session keyrings live changes from moment to moment, and so do the kernel's own ones and
# keys that are being collected, whose names or types begin with a dot.
LOOK = """
ls -A / /etc /run /tmp /sys /dev /mnt 2>&1
id; umask; hostname; pwd; uname -m; ulimit -n; ulimit -s; ulimit -c; env | sort
tr '\\0' ' ' </proc/1/cmdline; cat /proc/1/comm; cat /proc/1/environ 2>&1 | tr '\\0' '\\n'
sed -E '/ (keyring +)?[.]/d; s/.* ([^ ]+) +([^ ]+): .*/\\1 \\2/' /proc/keys | sort -u; ls -d /proc/[0-9]* | head -1
cat /proc/net/dev | sed 's/:.*//' | tail -n +3; cat /proc/net/unix | wc -l
ls /proc/self/root/../../..
"""


@pytest.fixture
def odd_caller(tmp_path: Path) -> Iterator[None]:
    """Everything about this process that a child inherits is another than usual."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.umask(0o077), Path.cwd(), dict(os.environ), resource.getrlimit(resource.RLIMIT_STACK)
    os.chdir(tmp_path)
    os.environ |= {"TZ": "Pacific/Kiritimati", "LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8", "MARKER": "marker"}
    os.environ |= {"SOURCE_DATE_EPOCH": "1", "http_proxy": "http://marker.invalid", "HOME": "/marker"}
    resource.setrlimit(resource.RLIMIT_STACK, (3 << 20, before[3][1]))
    libc.personality(0x0020000 | 0x0040000)  # UNAME26, ADDR_NO_RANDOMIZE
    try:
        yield
    finally:
        libc.personality(0)
        os.umask(before[0])
        os.chdir(before[1])
        os.environ.clear()
        os.environ |= before[2]
        resource.setrlimit(resource.RLIMIT_STACK, before[3])


@pytest.fixture
def usual(sh: Callable[..., Completed]) -> bytes:
    return sh(LOOK + "uname -r").output


def test_a_program_sees_the_same_whatever_the_caller_is_like(
    usual: bytes, odd_caller: None, sh: Callable[..., Completed]
) -> None:
    assert sh(LOOK + "uname -r").output.decode() == usual.decode()
    assert b"marker" not in usual


def test_a_program_sees_its_tree_and_nothing_beside_it(
    sandbox: Sandbox, tiny: Path, layer: Callable[..., Path], tmp_path: Path
) -> None:
    """Not a layer that lies beside its own, not the host's folders, not the command line of what has started it."""
    own, target = layer("own", {"srv/own": b"1"}), layer("target", {"srv/target": b"1"})
    layer("other", {"srv/other-marker": b"1"})
    (tmp_path / "host-marker").touch()
    (tmp_path / "bound").mkdir()
    script = """
ls -A / /srv /target/srv /bound
find / -xdev -path /proc -prune -o -name '*-marker' -print
for process in /proc/[0-9]*; do tr '\\0' ' ' <$process/cmdline; done
readlink /proc/1/exe /proc/1/cwd /proc/1/root
true
"""
    mounts = (HOST_USR, MountedTree(Tree((target,)), "/target"), Bind(tmp_path / "bound", "/bound"))
    done = sandbox.run(Job(Tree((tiny, own)), ("sh", "-c", script), mounts))
    text = done.output.decode()
    assert done.status == 0
    assert "-marker" not in text.replace("'*-marker'", "")
    assert str(tmp_path) not in text and str(Path(sys.executable)) not in text
    top, *rest = text.partition("\n\n")[0].splitlines()[1:], text
    assert {"bound", "dev", "etc", "proc", "run", "srv", "sys", "target", "tmp", "usr"} == {
        name for name in top if not (tiny / name).is_symlink()
    }
    assert "target:" not in rest[0].partition("/target/srv:")[0].partition("/srv:")[2]


KEYRING = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
add, keyctl = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
if libc.syscall(keyctl, 1, None) < 0:
    sys.exit(77)
value = b"secret-of-the-session"
if libc.syscall(add, b"user", b"oic-marker", value, len(value), -3) < 0:
    sys.exit(77)
sys.path[:0] = sys.argv[3:]
from pathlib import Path
from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.job import Bind, Job, Tree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.settings import IdRange
inside = '''
import ctypes, re, sys
libc, keyctl = ctypes.CDLL(None), int(sys.argv[1])
found = libc.syscall(keyctl, 10, -3, b"user", b"oic-marker", 0)
seen = [int(line.split()[0], 16) for line in open("/proc/keys") if "oic-marker" in line]
value = ctypes.create_string_buffer(100)
for key in [found, *seen]:
    libc.syscall(keyctl, 11, ctypes.c_int(key), value, 100)
print("looked", found, value.value)
'''
sandbox = Sandbox(IdMap.for_caller(IdRange(2_000_000_000, 65536)), Path(sys.argv[1]))
tree, usr = Tree((Path(sys.argv[2]),)), Bind(Path("/usr"), "/usr")
done = sandbox.run(Job(tree, ("python3", "-c", inside, str(keyctl)), (usr,)))
print(done.output.decode())
"""


def test_keys_of_the_callers_session_stay_outside(session_sandbox: tuple[Sandbox, Path], tiny: Path) -> None:
    source = str(Path(__file__).parents[2] / "src")
    argv = [sys.executable, "-c", KEYRING, str(session_sandbox[1] / "scratch"), str(tiny), source]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    if done.returncode == 77:
        pytest.skip("this host has no keyrings")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "looked -1 b''"


def test_access_lists_of_the_folder_around_a_layer_do_not_reach_it(
    session_sandbox: tuple[Sandbox, Path], place: Path
) -> None:
    """A default access list goes to all that is made below: the cache's folder may have one."""
    sandbox, _ = session_sandbox
    entries = [(0x01, 7, -1), (0x02, 7, 4242), (0x04, 7, -1), (0x10, 7, -1), (0x20, 5, -1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    folders = [place / "plain", place / "listed"]
    digests = []
    for folder in folders:
        folder.mkdir()
        if folder.name == "listed":
            try:
                os.setxattr(folder, "system.posix_acl_default", acl)
            except OSError:
                pytest.skip("this filesystem has no access lists")
        sandbox.new_layer(folder / "layer")
        sandbox.edit(Tree(upper=folder / "layer"), [WriteFile("etc/a/file", b"x")])
        assert sandbox.survey(Tree((folder / "layer",))).xattrs == ()
        digests.append(sandbox.digest(folder / "layer", 0).sha256)
    assert digests[0] == digests[1]
