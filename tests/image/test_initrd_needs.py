"""What the initrd of a sealed root needs of the image's packages, in small trees with a generator of the test's own.
Whole initrds, and their boots, are in tests/e2e: test_immutable_boot.py (disks), test_live_iso_signed.py."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

import pytest

from os_image_composer.build.clock import SystemClock
from os_image_composer.build.step import Kind, Result, Work
from os_image_composer.chroot.job import Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.chroot.services import Packages, Services
from os_image_composer.config.distribution import PackagedFile
from os_image_composer.config.distribution_data import load_distribution
from os_image_composer.errors import StepError
from os_image_composer.image.initrd import InitrdFile, MakeInitrd
from os_image_composer.image.kernel import KernelChoice

DATA = Path(__file__).parents[2] / "config"
KERNEL = {"/boot/vmlinuz-6.12": b"k", "/usr/lib/modules/6.12/modules.dep": b""}
# It leaves what it was told, and what it found of the file that only it sees.
GENERATOR = b'#!/bin/sh\nread -r line < /usr/lib/own.sh\necho "$1: $line" > "$2"\n'


def needed() -> tuple[PackagedFile, ...]:
    """By the initrd of a sealed disk, as the data of Debian 13 have it."""
    data = load_distribution("debian", "debian13", "x86_64", DATA).initrd.read_only_root
    assert data is not None
    return (*data.needs, *data.verity_needs)


NEEDS = needed()


def shell() -> dict[str, bytes]:
    """The host's, with the libraries that it is linked to."""
    listed = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout
    return {path: Path(path).read_bytes() for path in ("/bin/sh", *re.findall(r"(/\S+) \(0x", listed))}


@pytest.fixture
def made(sandbox: Sandbox, place: Path) -> Callable[[Iterable[PackagedFile]], bytes]:
    """Runs the step on an image that has only these of the files that it needs; the initrd that it leaves."""

    def run(there: Iterable[PackagedFile]) -> bytes:
        lower, output, scratch = place / "lower", place / "output", place / "work"
        for path in (output, scratch):
            path.mkdir()
        sandbox.new_layer(lower)
        files = {**KERNEL, **{f"/{need.path.replace('*', '90')}": b"" for need in there}}
        programs = {**shell(), "/usr/bin/generate": GENERATOR}
        sandbox.edit(
            Tree(upper=lower),
            [
                *(WriteFile(path, content) for path, content in files.items()),
                *(WriteFile(path, content, 0o755) for path, content in programs.items()),
            ],
        )
        action = MakeInitrd(
            argv=("/usr/bin/generate", "{kernel}", "{output}"),
            environment=(),
            kernels=KernelChoice("boot/vmlinuz-*", "usr/lib/modules", None),
            source_date_epoch=1_700_000_000,
            files=(InitrdFile("usr/lib/own.sh", "seen\n"),),
            needs=NEEDS,
        )
        services = Services(sandbox, cast(Packages, None), {}, {}, SystemClock())
        action.run(Work(services, (("lower", Result("", Kind.TREE, "", lower)),), output, scratch, lambda line: None))
        (initrd,) = output.iterdir()
        assert initrd.name == "initrd-6.12.img"
        return initrd.read_bytes()

    return run


Made = Callable[[Iterable[PackagedFile]], bytes]


def test_generator_runs_where_nothing_is_missing(made: Made) -> None:
    assert made(NEEDS) == b"6.12: seen\n"


@pytest.mark.parametrize("missing", NEEDS, ids=lambda need: Path(need.path).name)
def test_missing_file_fails_the_build_and_its_package_is_named(made: Made, missing: PackagedFile) -> None:
    with pytest.raises(StepError) as caught:
        made(need for need in NEEDS if need != missing)
    error = caught.value
    assert error.reference == "initrd-incomplete"
    assert f"/{missing.path}," in error.message
    assert error.hint == f"add to systemConfig.packages: {missing.package}"


def test_all_missing_packages_are_named_at_once_each_of_them_once(made: Made) -> None:
    with pytest.raises(StepError) as caught:
        made(())
    packages = "dracut, e2fsprogs, fdisk, util-linux, systemd-cryptsetup, dmsetup"
    assert caught.value.hint == f"add to systemConfig.packages: {packages}"
