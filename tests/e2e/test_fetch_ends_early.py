"""`fetch` that ends before it is done, of either family: the mirror dies, Ctrl-C, a full disk. Each ends as a user can
understand it, keeps what is right, and goes on where it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.container import as_ordinary_user, container_argv, tmpfs
from support.deb_repository import deb
from support.dying_mirror import MIB, DyingMirror
from support.families import FAMILIES
from support.hostile_mirror import HostileMirror, hostile_mirror
from support.processes import MARKER, family, left_of
from support.rpm_package import rpm
from support.workshop import CHECKOUT

SIZE = 4 * MIB


@pytest.fixture(params=FAMILIES)
def mirror(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HostileMirror]:
    """With a package of 4 MiB that cannot be compressed."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    with hostile_mirror(tmp_path, request.param) as running:
        content = os.urandom(SIZE)
        big = (
            deb("big", files={"./big": content}, form="")
            if request.param == "deb"
            else rpm("big", files={"/big": content})
        )
        running.replace(big)
        yield running
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture
def template(mirror: HostileMirror, tmp_path: Path) -> Path:
    target = mirror.data.target
    path = tmp_path / "big.yml"
    path.write_text(
        'image: {name: big, version: "1"}\n'
        f"target: {{os: {target.os}, dist: {target.dist}, arch: {target.arch}, imageType: raw}}\n"
        "systemConfig: {packages: [big]}\n"
    )
    return path


def kept(mirror: HostileMirror, kind: str) -> int:
    """Bytes of packages that are whole (`sha256`), or have begun (`partial`)."""
    return sum(p.stat().st_size for p in (mirror.cache / "packages" / kind).rglob("*") if p.is_file())


def argv(mirror: HostileMirror, template: Path, *words: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "os_image_composer",
        "--config",
        str(mirror.folder / "settings.yml"),
        *words,
        str(template),
    ]


def environment(mirror: HostileMirror) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(CHECKOUT / "src"), "HOME": str(mirror.folder), MARKER: str(mirror.folder)}


def test_mirror_that_dies_in_the_middle_of_a_package(
    mirror: HostileMirror, template: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os_image_composer.ospackage.retry.FIRST_PAUSE", 0.0)
    dying = DyingMirror({p.name: f"{mirror.server.url}/{p.name}" for p in mirror.data.root.iterdir()}, 0)
    with dying.alive():
        mirror.use(dying.url)
        assert mirror.command("fetch", str(template)) == 1
    said = capsys.readouterr()
    assert f"error[mirror-unavailable]: cannot fetch {dying.url}/own/" in said.err
    whole, begun = kept(mirror, "sha256"), kept(mirror, "partial")
    assert SIZE // 4 <= begun < SIZE
    sent, dying.budget = dying.sent, 1 << 40
    with dying.alive():
        assert mirror.command("fetch", str(template)) == 0, capsys.readouterr().err
    assert dying.resumed == 1
    assert kept(mirror, "partial") == 0
    # Nothing that was whole came twice, and of what had begun the rest.
    assert dying.sent - sent == kept(mirror, "sha256") - whole - begun


def test_interrupt_in_the_middle_of_a_package(mirror: HostileMirror, template: Path) -> None:
    assert mirror.command("plan", str(template)) == 0
    mirror.server.stall, mirror.server.spared = True, MIB
    done = argv(mirror, template, "fetch")
    process = subprocess.Popen(done, env=environment(mirror), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while kept(mirror, "partial") < SIZE // 4 and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    known = family(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=5)
    assert (process.returncode, out, "Traceback" in err) == (130, "", False), err
    assert left_of(known, str(mirror.folder)) == []
    mirror.server.stall = False
    mirror.server.requests.clear()
    begun = kept(mirror, "partial")
    assert mirror.command("fetch", str(template)) == 0
    assert kept(mirror, "partial") == 0
    resumed = [int(said.removeprefix("bytes=").rstrip("-")) for _, said in mirror.server.requests if said]
    assert SIZE // 4 < sum(resumed) <= begun


@as_ordinary_user
def test_package_cache_that_is_full_until_there_is_room(mirror: HostileMirror, template: Path) -> None:
    assert mirror.command("plan", str(template)) == 0
    packages = mirror.cache / "packages"
    packages.mkdir(exist_ok=True)
    script = (
        f'"$@" && exit 9; find {packages}/sha256 -size +1000k | grep . && exit 8; '
        f'mount -o remount,size=64M {packages}; "$@"'
    )
    inside = container_argv([tmpfs(packages, 2)], ["sh", "-c", script, "sh", *argv(mirror, template, "fetch")])
    done = subprocess.run(inside, env=environment(mirror), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("error[") == 1
    assert "error[cache-full]" in done.stderr
    assert "hint: free some space there" in done.stderr
    assert done.stdout.endswith(f"in {packages}\n")


@as_ordinary_user
@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_metadata_cache_that_takes_nothing(mirror: HostileMirror, template: Path, fault: str) -> None:
    metadata = mirror.cache / "metadata"
    metadata.mkdir(parents=True)
    spoilt: list[object] = ["sh", "-c", f"head -c 2M /dev/zero > {metadata}/fill || true"]
    if fault == "read-only":
        spoilt = ["mount", "-o", "remount,ro", metadata]
    inside = container_argv([tmpfs(metadata, 1), spoilt], argv(mirror, template, "fetch"))
    done = subprocess.run(inside, env=environment(mirror), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout
    assert f"error[{'cache-full' if fault == 'full' else 'cache-not-writable'}]" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert str(metadata) in done.stderr
    assert mirror.command("fetch", str(template)) == 0
