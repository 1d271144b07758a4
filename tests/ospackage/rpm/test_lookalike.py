"""The look-alikes of the vendors' repositories: real metadata and real packages, read by the product."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from os_image_composer.build.clock import SystemClock
from os_image_composer.build.events import silent
from os_image_composer.config.distribution_data import default_template_path, load_distribution
from os_image_composer.config.load import load_image_spec
from os_image_composer.config.network import Network
from os_image_composer.config.spec import PackageGroup, Target
from os_image_composer.errors import SolveError
from os_image_composer.ospackage.keys import keyring_of
from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.ospackage.resolve import Repository, SetRequest
from os_image_composer.ospackage.rpm.package import check_package, read_package
from os_image_composer.ospackage.rpm.payload import open_payload_tar, packaged_files
from os_image_composer.ospackage.rpm.resolver import RpmResolver
from os_image_composer.ospackage.transport import HttpTransport
from support.dnf import Dnf
from support.lookalike.made import AZL3, EMT3, PROBES, Lookalikes

pytestmark = pytest.mark.build
DATA = Path(__file__).parents[3] / "config"


def asked(sample: str) -> str:
    """The names that a sample asks for with the OS default template below it."""
    spec = load_image_spec(DATA.parent / "image-templates" / f"{sample}-raw.yml", DATA)
    return " ".join(dict.fromkeys(name for group in spec.package_groups for name in group.packages))


SHIPPED = {name: asked(name) for name in ("azl3-x86_64-minimal", "azl3-x86_64-edge", "emt3-x86_64-minimal")}
AZL3_NAMES, EMT3_NAMES = SHIPPED["azl3-x86_64-edge"], SHIPPED["emt3-x86_64-minimal"]
EMT3_AARCH64 = " ".join(
    name
    for group in load_image_spec(
        default_template_path(DATA, Target("edge-microvisor-toolkit", "emt3", "aarch64", "raw")), DATA
    ).package_groups
    for name in group.packages
)
CHROOT_NAMES = " ".join(load_distribution("azure-linux", "azl3", "x86_64", DATA).chroot_packages)
# The judge is asked for each of these beside the templates' lists.
FURTHER = (
    *("bash", "kernel", "systemd", "openssh-server", "dracut", "rpm", "sudo", "dbus", "iproute2", "cryptsetup-bin"),
    *("systemd-boot shim", "less logrotate zstd", "/usr/bin/ssh", "/usr/sbin/sshd", "kernel-uname-r", "openssh"),
    *("probe-tool", "probe-tool-1.0", "probe-tool-1.1", "probe-tool-1.1~rc1", "probe-tool-1.0-1.azl3.noarch"),
    *("probe-epoch", "probe-epoch-5.0", "probe-client", "probe-old", "probe-rich", "probe-rich probe-client"),
    *("probe-alt-a", "probe-alt", "probe-multi", "probe-multi.i686", "probe-multi-devel.i686", "probe-scripts"),
    *("probe-was-directory", "probe-api", "/usr/share/probe-data/data.txt", "probe-unsolvable", "probe-clash"),
)


@pytest.fixture(scope="module")
def transport() -> Iterator[HttpTransport]:
    with HttpTransport(Network()) as door:
        yield door


class Solver:
    """Resolves from some of the look-alikes."""

    def __init__(self, lookalikes: Lookalikes, transport: HttpTransport, folder: Path) -> None:
        self._lookalikes, self._transport, self._folder = lookalikes, transport, folder

    def repositories(self, *paths: str) -> list[Repository]:
        return [self._lookalikes.described(path, self._lookalikes.root.as_uri()) for path in paths]

    def __call__(self, names: str, *paths: str) -> list[LockedPackage]:
        resolver = RpmResolver(self._transport, self._folder, SystemClock(), silent)
        request = SetRequest("image", (PackageGroup("g", tuple(names.split())),), essential=True)
        return list(resolver.resolve(self.repositories(*paths), "x86_64", [request]).sets["image"].packages())


@pytest.fixture(scope="module")
def solver(lookalikes: Lookalikes, transport: HttpTransport, tmp_path_factory: pytest.TempPathFactory) -> Solver:
    return Solver(lookalikes, transport, tmp_path_factory.mktemp("metadata"))


@pytest.mark.parametrize(
    ("names", "path"),
    [(AZL3_NAMES, AZL3), (EMT3_NAMES, EMT3), (CHROOT_NAMES, AZL3), (CHROOT_NAMES, EMT3)],
    ids=["azl3", "emt3", "azl3-chroot", "emt3-chroot"],
)
def test_every_name_that_a_shipped_template_asks_for_is_there(solver: Solver, names: str, path: str) -> None:
    chosen = {p.name for p in solver(names, path)}
    assert set(names.split()) <= chosen
    assert len(chosen) > 60


def test_names_that_only_the_aarch64_templates_ask_for_are_there_too(solver: Solver) -> None:
    """Images for that machine are not built on this one, so of its programs there are only the names."""
    assert set(EMT3_AARCH64.split()) <= {p.name for p in solver(EMT3_AARCH64, EMT3)}
    assert {"in-band-manageability", "moby-engine", "tpm2-initramfs-tool"} <= set(EMT3_AARCH64.split())


def test_packages_of_both_vendors_carry_the_signature_of_their_own_key(
    solver: Solver, lookalikes: Lookalikes, transport: HttpTransport, tmp_path: Path
) -> None:
    for path, other in ((AZL3, EMT3), (EMT3, AZL3)):
        keyrings = [
            keyring_of(r, r.name, tmp_path, transport, SystemClock().now(), silent)
            for r in solver.repositories(path, other)
        ]
        packages = solver(AZL3_NAMES if path == AZL3 else EMT3_NAMES, path)
        for package in packages:
            signed = check_package(lookalikes.root / path / package.path, package, keyrings[0])
            assert signed is not None
            assert signed.signers == (lookalikes.keys[path].fingerprint,)
        with pytest.raises(Exception, match="unknown-signer"):
            check_package(lookalikes.root / path / packages[0].path, packages[0], keyrings[1])


def test_payload_of_every_package_is_what_its_header_lists(lookalikes: Lookalikes) -> None:
    files = 0
    for rpm in sorted((lookalikes.root / AZL3 / "Packages").rglob("*.rpm")):
        listed = {f.path.rstrip("/") or "/" for f in packaged_files(read_package(rpm)) if not f.ghost}
        with open_payload_tar(rpm) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            found = {"/" + m.name.removeprefix(".").strip("/") for m in archive}
        assert found == listed, rpm.name
        files += len(found)
    assert files > 5000


def test_rpm_accepts_the_signatures_that_were_made(lookalikes: Lookalikes, tmp_path: Path) -> None:
    repository = lookalikes.root / AZL3
    database = ["--dbpath", str(tmp_path / "db")]
    subprocess.run(["rpm", *database, "--import", repository / "RPM-GPG-KEY"], check=True, timeout=60)
    rpms = sorted(repository.rglob("*.rpm"))
    done = subprocess.run(["rpm", *database, "-K", *rpms], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("digests signatures OK") == len(rpms)


# -- dnf's choice -----------------------------------------------------------------------------------------------------


@pytest.mark.matrix
@pytest.mark.parametrize("names", [*SHIPPED.values(), CHROOT_NAMES, *FURTHER], ids=[*SHIPPED, "chroot", *FURTHER])
def test_package_set_is_that_of_dnf(solver: Solver, lookalikes: Lookalikes, dnf: Dnf, names: str) -> None:
    paths = (EMT3,) if names == EMT3_NAMES else (AZL3, PROBES)
    try:
        own = {f"{p.name}-{p.version}.{p.arch}" for p in solver(names, *paths)}
    except SolveError:
        own = None
    assert own == dnf.chooses([lookalikes.root / path for path in paths], names)
