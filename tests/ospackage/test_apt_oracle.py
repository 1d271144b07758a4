"""Sets are those of the host's apt, name by name and version by version, on the live archive: the long list. A short
one is held against the target's own apt in tests/e2e."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from os_image_composer.build.clock import SystemClock
from os_image_composer.build.events import silent
from os_image_composer.config.distribution_data import load_distribution
from os_image_composer.config.spec import PackageGroup
from os_image_composer.ospackage.deb.apt_sources import host_mirrors
from os_image_composer.ospackage.deb.resolver import DebResolver
from os_image_composer.ospackage.mirrors import repositories_for
from os_image_composer.ospackage.resolve import SetRequest
from os_image_composer.ospackage.transport import HttpTransport
from support.apt_oracle import apts_choice, host_apt

LISTS = (
    "systemd-sysv udev dbus systemd-boot-efi dracut zstd iproute2 login passwd apt ca-certificates linux-image-amd64 "
    "systemd-resolved systemd-timesyncd sudo openssh-server vim-tiny",
    "init e2fsprogs",
    "default-mta",
    "postfix mailutils",
    "sendmail bsd-mailx",
    "nginx",
    "python3-pip build-essential",
    "samba",
    "cups",
    "podman",
    "docker.io",
    "apache2 php",
    "texlive-base",
    "network-manager",
    "default-jre-headless",
    "mariadb-server",
    "gnome-core",
    "task-gnome-desktop",
    "kde-plasma-desktop",
    "lxqt",
    "xfce4 lightdm",
    "sysvinit-core",
    "qemu-system-x86 libvirt-daemon-system virt-manager",
    "postgresql libreoffice-writer",
    "r-base ruby-rails golang rustc cargo",
)

Both = Callable[[Sequence[str]], tuple[Mapping[str, str], Mapping[str, str]]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Our choice and apt's for a list of packages."""
    folder = tmp_path_factory.mktemp("oracle")
    known = load_distribution("debian", "debian13", "x86_64", Path(__file__).parents[2] / "config")
    repositories = repositories_for(known, {}, host_mirrors(Path("/etc")))
    run_apt = host_apt(folder / "apt", repositories, known.package_arch)
    requests = [SetRequest(text, (PackageGroup("all", tuple(text.split())),), True) for text in LISTS]
    with HttpTransport() as transport:
        resolver = DebResolver(transport, folder / "metadata", SystemClock(), silent)
        sets = resolver.resolve(repositories, known.package_arch, requests).sets

    def choose(names: Sequence[str]) -> tuple[Mapping[str, str], Mapping[str, str]]:
        ours = {p.name: p.version for p in sets[" ".join(names)].packages()}
        return ours, apts_choice(run_apt, names)

    return choose


@pytest.mark.build
@pytest.mark.matrix
@pytest.mark.parametrize("text", LISTS, ids=lambda text: text.split()[0])
def test_set_is_that_of_apt(both: Both, text: str) -> None:
    ours, apts = both(text.split())
    assert len(apts) > 60
    assert ours == apts
