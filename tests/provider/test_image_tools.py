"""What follows from an archive of image tools in the settings: the same plan, and no mirror for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from os_image_composer.build.clock import FixedClock
from os_image_composer.build.events import silent
from os_image_composer.config.load import load_image_spec
from os_image_composer.config.settings import Settings, ToolsArchiveSetting, load_settings
from os_image_composer.config.spec import ImageSpec
from os_image_composer.errors import ComposerError, UsageError
from os_image_composer.ospackage.tools_archive import ToolsArchive
from os_image_composer.provider.image_tools import tools_target
from os_image_composer.provider.interface import Preparation
from os_image_composer.provider.provider import Provider
from os_image_composer.provider.services import Services
from support.deb_repository import NOW, Server, served
from support.small_archive import SmallArchive, small_archive

BODY = "systemConfig: {packages: [openssh-server]}\n"
PACKED = "disk: {artifacts: [{type: qcow2}]}\n" + BODY  # needs all tools that there are
CLOSED = "http://127.0.0.1:9"  # the discard port, on which nobody listens


@pytest.fixture(scope="module", params=["deb", "rpm"])
def archive(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SmallArchive:
    return small_archive(tmp_path_factory.mktemp("archive"), family=request.param)


@pytest.fixture(scope="module")
def rpm_archive(tmp_path_factory: pytest.TempPathFactory) -> SmallArchive:
    """An archive of a distribution whose image tools are from other repositories than its own packages."""
    return small_archive(tmp_path_factory.mktemp("rpm-archive"), family="rpm")


@pytest.fixture
def server(archive: SmallArchive) -> Iterator[Server]:
    with served(archive.data.root) as running:
        yield running


def settings(archive: SmallArchive, folder: Path, mirrors: str = "") -> Settings:
    """Settings with a cache of their own."""
    folder.mkdir()
    file = folder / "settings.yml"
    mirrors = mirrors or archive.data.mirrors(f"file://{archive.data.root}")
    file.write_text(f"config_dir: {archive.data.data}\ncache_dir: {folder}/cache\nwork_dir: {folder}/work\n{mirrors}")
    return load_settings(file, {}, folder)


def from_archive(used: Settings, tools: ToolsArchive) -> Settings:
    return replace(used, image_tools=ToolsArchiveSetting(tools.path, tools.sha256))


def provider(used: Settings, spec: ImageSpec | None = None) -> Provider:
    target = spec.target if spec else tools_target(used)
    made = Provider(target, Services(used, FixedClock(NOW + 60), silent))
    made.init()
    return made


def exported(used: Settings, file: Path, template: Path | None = None) -> ToolsArchive:
    spec = load_image_spec(template, used.config_dir) if template else None
    return provider(used, spec).locking.export_tools(file, spec)


def prepared(used: Settings, archive: SmallArchive) -> Preparation:
    spec = load_image_spec(archive.template(BODY), used.config_dir)
    return provider(used, spec).pre_process(spec)


def test_same_packages_are_the_same_bytes_from_any_mirror_for_any_template_and_without_one(
    archive: SmallArchive, server: Server, tmp_path: Path
) -> None:
    one = exported(settings(archive, tmp_path / "one"), tmp_path / "one.tar")
    other = settings(archive, tmp_path / "other", archive.data.mirrors(server.url))
    two = exported(other, tmp_path / "two.tar", archive.template(PACKED))
    assert two.path.read_bytes() == one.path.read_bytes()


def test_archive_is_exported_again_as_it_is_without_any_mirror(archive: SmallArchive, tmp_path: Path) -> None:
    one = exported(settings(archive, tmp_path / "one"), tmp_path / "one.tar")
    other = settings(archive, tmp_path / "other", archive.data.mirrors(CLOSED))
    two = exported(from_archive(other, one), tmp_path / "two.tar")
    assert two.path.read_bytes() == one.path.read_bytes()


def test_every_step_has_the_id_that_it_has_with_the_same_packages_from_the_mirror(
    archive: SmallArchive, tmp_path: Path
) -> None:
    from_mirror = settings(archive, tmp_path / "plain")
    tools = exported(from_mirror, tmp_path / "tools.tar")
    plain = prepared(from_mirror, archive)
    moved = prepared(from_archive(settings(archive, tmp_path / "moved"), tools), archive)
    assert {s.name: s.id for s in moved.plan} == {s.name: s.id for s in plain.plan}
    assert [p.sha256 for p in moved.lock.sets["image-tools"].packages()] == [
        p.sha256 for p in plain.lock.sets["image-tools"].packages()
    ]


def test_no_repository_of_the_image_tools_is_asked_or_known(rpm_archive: SmallArchive, tmp_path: Path) -> None:
    tools = exported(settings(rpm_archive, tmp_path / "one"), tmp_path / "tools.tar")
    with served(rpm_archive.data.root) as server:
        own = f"own: '{server.url}/own'"
        closed = settings(rpm_archive, tmp_path / "closed", f"mirrors: {{{own}, tools: '{CLOSED}/tools'}}\n")
        lock = prepared(from_archive(closed, tools), rpm_archive).lock
        # Nor does one have to be known: the data name none, and neither do these settings.
        prepared(from_archive(settings(rpm_archive, tmp_path / "unknown", f"mirrors: {{{own}}}\n"), tools), rpm_archive)
    assert {p.name for p in lock.sets["image-tools"].packages()} >= {"e2fsprogs", "mtools"}
    assert {path.split("/")[1] for path, _ in server.requests} == {"own"}
    with pytest.raises(UsageError) as caught:
        prepared(settings(rpm_archive, tmp_path / "without", f"mirrors: {{{own}}}\n"), rpm_archive)
    assert caught.value.reference == "no-mirror"


def test_lock_keeps_who_signed_the_packages_of_an_archive_and_when(archive: SmallArchive, tmp_path: Path) -> None:
    tools = exported(settings(archive, tmp_path / "one"), tmp_path / "tools.tar")
    lock = prepared(from_archive(settings(archive, tmp_path / "other"), tools), archive).lock
    (found,) = (r for r in lock.repositories if r.name.startswith("image-tools/"))
    mirror = "own" if archive.data.family == "deb" else "tools"
    assert found.name == f"image-tools/{mirror}/stable"
    assert found.signers == (archive.data.tools.key.fingerprint.lower(),)
    assert (found.date, found.url) == (archive.data.tools.date, tools.path.as_uri())


def test_another_archive_is_another_lock(archive: SmallArchive, tmp_path: Path) -> None:
    tools = exported(settings(archive, tmp_path / "one"), tmp_path / "tools.tar")
    again = small_archive(tmp_path / "again", family=archive.data.family)  # signed by another key
    others = exported(settings(again, tmp_path / "two"), tmp_path / "others.tar")
    used = settings(archive, tmp_path / "used")
    first, second = (prepared(from_archive(used, which), archive).lock for which in (tools, others))
    assert first.sets == second.sets
    (of_first,), (of_second,) = (
        [r.signers for r in lock.repositories if r.name.startswith("image-tools/")] for lock in (first, second)
    )
    assert of_first != of_second


def refused(used: Settings, archive: SmallArchive) -> ComposerError:
    with pytest.raises(ComposerError) as caught:
        prepared(used, archive)
    return caught.value


def test_archive_that_is_not_there_or_not_the_pinned_one_ends_the_resolution(
    archive: SmallArchive, tmp_path: Path
) -> None:
    tools = exported(settings(archive, tmp_path / "one"), tmp_path / "tools.tar")
    used = from_archive(settings(archive, tmp_path / "other"), tools)
    tools.path.write_bytes(tools.path.read_bytes()[:-100])
    assert refused(used, archive).reference == "wrong-tools-archive"
    tools.path.unlink()
    assert refused(used, archive).reference == "no-tools-archive"
    assert not (tmp_path / "other" / "cache" / "metadata").exists()  # no repository was asked before


def test_archive_without_a_package_that_is_needed_now_is_refused(tmp_path: Path) -> None:
    archive = small_archive(tmp_path / "archive")
    tools = exported(settings(archive, tmp_path / "one"), tmp_path / "tools.tar")
    data = archive.data.data / "osv" / "image-tools.yml"
    data.write_text(data.read_text().replace("packages:\n", "packages:\n  - bash\n"))
    error = refused(from_archive(settings(archive, tmp_path / "other"), tools), archive)
    assert (error.reference, error.cause) == ("tools-archive-incomplete", "there is no package bash in it")


def test_archive_of_another_distribution_is_refused(tmp_path: Path) -> None:
    archive = small_archive(tmp_path / "archive")
    tools = exported(settings(archive, tmp_path / "one"), tmp_path / "tools.tar")
    data = archive.data.data / "osv" / "image-tools.yml"
    data.write_text(data.read_text().replace("dist: debian13", "dist: debian12"))
    error = refused(from_archive(settings(archive, tmp_path / "other"), tools), archive)
    assert error.reference == "tools-archive-target"
    assert error.cause == "debian debian13 x86_64 instead of debian debian12 x86_64"
