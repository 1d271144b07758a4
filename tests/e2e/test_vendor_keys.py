"""A vendor who signs less than all, or with more than one key: what is refused, what the refusal tells to do, and that
it helps. With the data of Edge Microvisor Toolkit 3: of its vendor we know neither the second key nor whether metadata
are signed."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from os_image_composer.config.spec import Target
from support.deb_repository import SigningKey
from support.hostile_mirror import HostileMirror, hostile_mirror
from support.rpm_package import MadeRpm

EMT3 = Target("edge-microvisor-toolkit", "emt3", "x86_64", "raw")


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[HostileMirror]:
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    with hostile_mirror(tmp_path, "rpm", EMT3) as running:
        yield running
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture
def fetch(mirror: HostileMirror, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What the command says of its failure, nothing where all packages were brought and checked."""

    def run() -> str:
        code = mirror.command("fetch", "--refresh", str(mirror.data.template))
        said = capsys.readouterr()
        assert (code == 0) == said.out.endswith(f"in {mirror.cache / 'packages'}\n"), said.err
        return "" if code == 0 else said.err[said.err.index("error[") :]

    return run


def pin(mirror: HostileMirror, *keys: SigningKey, certificates: tuple[SigningKey, ...]) -> None:
    """As the user writes it into the settings, once the vendor has told the fingerprints."""
    keyring = mirror.folder / "pinned.pgp"
    keyring.write_bytes(b"".join(bytes(key.certificate) for key in certificates))
    fingerprints = ", ".join(key.fingerprint.upper() for key in keys)
    settings = mirror.folder / "settings.yml"
    mirror.use(mirror.server.url)
    said = f"repositories: {{own: {{fingerprints: [{fingerprints}], keyring: {keyring}}}}}\n"
    settings.write_text(settings.read_text() + said)


def test_metadata_that_the_vendor_does_not_sign_are_had_by_a_mirror_that_signs_them(
    mirror: HostileMirror, fetch: Callable[[], str]
) -> None:
    repository, vendor, own = mirror.repository, mirror.repository.key, SigningKey("Mirror's own")
    repository.signature.unlink()
    said = fetch()
    assert said.startswith("error[not-signed]: own repomd.xml is not signed")
    assert "one of your own signs what it serves: see docs/rpm.md, From a mirror" in said
    assert [name for name in mirror.kept() if "packages" in name] == []
    # The packages stay as the vendor signed them.
    repository.signature.write_bytes(own.detached(repository.repomd.read_bytes()))
    pin(mirror, own, certificates=(own, vendor))
    assert "error[unknown-signer]" in fetch()
    pin(mirror, own, vendor, certificates=(own, vendor))
    assert fetch() == ""


def test_packages_that_a_second_key_signed_are_had_once_it_is_pinned_and_its_certificate_there(
    mirror: HostileMirror, fetch: Callable[[], str]
) -> None:
    first, second = mirror.repository.key, SigningKey("Second")
    mirror.repository.package_key = second
    mirror.repository.write()
    said = fetch()
    assert re.match(r"error\[unknown-signer\]: [a-z-]+ 1\.0-1 is not signed by a pinned key\n", said), said
    assert f"pinned: {first.fingerprint}\n" in said
    assert "`repositories: {own: {fingerprints: […, …], keyring: FILE}}`" in said
    pin(mirror, first, second, certificates=(first,))
    assert f"; no usable certificate was found of {second.fingerprint}\n" in fetch()
    pin(mirror, first, second, certificates=(first, second))
    assert fetch() == ""


def unsigned(mirror: HostileMirror, made: MadeRpm) -> bytes:
    return made.data()


def signed_by_nobody_known(mirror: HostileMirror, made: MadeRpm) -> bytes:
    return made.signed(SigningKey("Nobody known"))


def payload_changed(mirror: HostileMirror, made: MadeRpm) -> bytes:
    return made.data(payload=made.payload()[::-1])


def header_changed(mirror: HostileMirror, made: MadeRpm) -> bytes:
    return made.signed(mirror.repository.key).replace(b"linux", b"Linux", 1)


@pytest.mark.parametrize(
    ("replaced", "always"),
    [
        (unsigned, None),
        (signed_by_nobody_known, None),
        (payload_changed, "payload-changed"),
        (header_changed, "header-changed"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_repository_whose_data_say_that_packages_are_not_signed_needs_signed_metadata_and_whole_packages(
    mirror: HostileMirror,
    fetch: Callable[[], str],
    replaced: Callable[[HostileMirror, MadeRpm], bytes],
    always: str | None,
) -> None:
    (made,) = [p for p in mirror.repository.packages if p.name == "rpm"]
    mirror.repository.replaced["rpm"] = replaced(mirror, made)
    mirror.repository.write()
    assert fetch().startswith("error[")
    data = mirror.data.data / "osv" / EMT3.os / EMT3.dist / "providerconfigs" / "x86_64_repo.yml"
    data.write_text(data.read_text().replace("{name: own,", "{name: own, signedPackages: false,"))
    assert fetch().partition("]")[0] == (f"error[{always}" if always else "")
    mirror.repository.sign(mirror.repository.repomd.read_bytes().replace(b"<revision>", b"<revision>1"))
    mirror.repository.signature.write_bytes(SigningKey("Mallory").detached(mirror.repository.repomd.read_bytes()))
    assert fetch().startswith("error[unknown-signer]: own repomd.xml is not signed by a pinned key")
