"""`lock`, `fetch`, `--locked`, `--offline`: what is written, what is kept, what is refused; for both families."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from os_image_composer.cli import main
from os_image_composer.ospackage.bundle import unpack_bundle
from os_image_composer.ospackage.lock import Lock
from os_image_composer.ospackage.lock_file import read_lock
from os_image_composer.ospackage.lock_text import text_of
from support.deb_repository import SigningKey
from support.small_archive import SmallArchive, small_archive
from support.small_data import Described

Composer = Callable[..., subprocess.CompletedProcess[str]]
DAY = 86400.0
BODY = "systemConfig:\n  packages: [web, tool]\n"
PACKAGES = (
    Described("web", "1.0", depends=("lib",)),
    Described("tool", "1.0", depends=("helper",)),
    Described("lib", "1.0"),
    Described("helper", "1.0"),
)
NEWER = (
    Described("web", "2.0", depends=("lib",)),
    Described("tool", "2.0", depends=("helper",)),
    Described("lib", "2.0"),
    Described("helper", "2.0"),
)


class Shop:
    """A repository that moves on, a template, and the command."""

    def __init__(self, composer: Composer, archive: SmallArchive, body: str = BODY) -> None:
        self.composer, self.archive = composer, archive
        self.template = archive.template(body)
        self.file = self.template.with_name(f"{self.template.name}.lock")

    def run(self, verb: str, *words: object) -> subprocess.CompletedProcess[str]:
        return self.composer("--config", self.archive.settings, verb, *words)

    def done(self, verb: str, *words: object) -> str:
        done = self.run(verb, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, reference: str, verb: str, *words: object) -> str:
        done = self.run(verb, *words)
        assert done.returncode in (1, 2)
        assert f"error[{reference}]" in done.stderr, done.stderr
        return done.stderr

    @property
    def lock(self) -> Lock:
        return read_lock(self.file).lock

    def versions(self) -> dict[str, str]:
        """The versions of the template's own packages and of what they need."""
        found = {p.name: p.version.removesuffix("-1") for p in self.lock.sets["image"].packages()}
        return {package.name: found[package.name] for package in PACKAGES if package.name in found}

    def moves_on(self, *packages: Described, both: bool = False) -> None:
        """The repository has these versions now, with `both` beside the old ones."""
        data = self.archive.data
        names = {package.name for package in packages}
        if not both:
            data.repository.packages[:] = [p for p in data.repository.packages if _name(p) not in names]  # type: ignore[misc]
        data.repository.date += int(DAY)
        data.repository.add(*map(data.made, packages))  # type: ignore[arg-type]
        data.repository.write()


def _name(package: Any) -> str:
    return str(getattr(package, "name", None) or package.fields["Package"])


@pytest.fixture
def composer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Composer]:
    """The command in this process, where no file of the user counts: these tests call it often."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main.run([str(word) for word in words])
        return subprocess.CompletedProcess(list(map(str, words)), code, out.getvalue(), err.getvalue())

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(params=["deb", "rpm"])
def shop(request: pytest.FixtureRequest, composer: Composer, tmp_path: Path) -> Shop:
    return Shop(composer, small_archive(tmp_path / "archive", *PACKAGES, family=request.param))


def test_lock_is_written_beside_the_template_and_says_what_it_was_made_for(shop: Shop) -> None:
    said = shop.done("lock", shop.template)
    assert str(shop.file) in said
    image = shop.lock.sets["image"]
    assert {text: name for group in image.asked for text, name in group.packages.items()}["web"] == "web"
    package = next(p for p in image.packages() if p.name == "web")
    assert package.depends == ("lib",)
    assert re.fullmatch("[0-9a-f]{64}", package.sha256)
    (repository,) = [r for r in shop.lock.repositories if r.name == package.repository]
    assert repository.signers == (shop.archive.data.repository.key.fingerprint.lower(),)
    assert repository.family == shop.archive.data.family
    text = shop.file.read_text()
    assert '"date": "20' in text and '"sourceDateEpoch": ' in text


def test_lock_that_fits_is_taken_though_the_repository_moved_on(shop: Shop) -> None:
    shop.done("lock", shop.template)
    before = shop.file.read_text()
    shop.moves_on(*NEWER)
    plan = json.loads(shop.done("plan", "--json", "--locked", shop.template))
    (added,) = [s for s in plan["steps"] if s["name"] == "packages:template"]
    assert {p["version"].removesuffix("-1") for p in added["options"]["packages"]} == {"1.0"}
    assert "is as it was" in shop.done("lock", shop.template)
    assert shop.file.read_text() == before


def test_update_takes_the_newest_and_tells_what_changed(shop: Shop) -> None:
    shop.done("lock", shop.template)
    seed = shop.lock.seed
    shop.moves_on(*NEWER)
    said = shop.done("lock", "--update", shop.template)
    assert set(shop.versions().values()) == {"2.0"}
    assert shop.lock.seed == seed
    assert "image: 4 upgraded" in said


def test_update_without_newer_packages_leaves_the_lock_and_its_dates(shop: Shop) -> None:
    shop.done("lock", shop.template)
    before = shop.file.read_text()
    shop.moves_on()
    assert "is as it was" in shop.done("lock", "--update", shop.template)
    assert shop.file.read_text() == before


def test_update_of_one_package_keeps_the_rest_where_the_old_versions_are_there(shop: Shop) -> None:
    shop.done("lock", shop.template)
    shop.moves_on(*NEWER, both=True)
    shop.done("lock", "--update-package", "web", shop.template)
    assert shop.versions() == {"web": "2.0", "tool": "1.0", "lib": "1.0", "helper": "1.0"}


def test_update_of_one_package_brings_what_it_needs_newer(shop: Shop) -> None:
    newer = "lib (>= 2.0)" if shop.archive.data.family == "deb" else "lib >= 2.0"
    shop.done("lock", shop.template)
    shop.moves_on(Described("web", "2.0", depends=(newer,)), *NEWER[1:], both=True)
    shop.done("lock", "--update-package", "web", shop.template)
    assert shop.versions() == {"web": "2.0", "tool": "1.0", "lib": "2.0", "helper": "1.0"}


def test_update_of_one_package_brings_what_needs_it_in_just_that_version(composer: Composer, tmp_path: Path) -> None:
    packages = (Described("web", depends=("lib (= 1.0)",)), *PACKAGES[1:])
    shop = Shop(composer, small_archive(tmp_path / "archive", *packages))
    shop.done("lock", shop.template)
    shop.moves_on(Described("web", "2.0", depends=("lib (= 2.0)",)), *NEWER[1:], both=True)
    shop.done("lock", "--update-package", "lib", shop.template)
    assert shop.versions() == {"web": "2.0", "tool": "1.0", "lib": "2.0", "helper": "1.0"}


def test_update_of_several_packages(shop: Shop) -> None:
    shop.done("lock", shop.template)
    shop.moves_on(*NEWER, both=True)
    shop.done("lock", "--update-package", "web", "--update-package", "helper", shop.template)
    assert shop.versions() == {"web": "2.0", "tool": "1.0", "lib": "1.0", "helper": "2.0"}
    assert "of web there is nothing newer" in shop.done("lock", "--update-package", "web", shop.template)


def test_lock_of_another_pinned_key_fits_again_after_an_update(shop: Shop) -> None:
    shop.done("lock", shop.template)
    repository: Any = shop.archive.data.repository
    repository.key = SigningKey("successor")
    pinned = f"repositories: {{own: {{fingerprints: [{repository.key.fingerprint.upper()}]}}}}\n"
    shop.archive.settings.write_text(shop.archive.settings.read_text() + pinned)
    shop.moves_on()
    shop.refused("lock-signer", "plan", "--locked", shop.template)
    shop.done("lock", "--update", shop.template)
    assert shop.lock.repositories[0].signers == (repository.key.fingerprint.lower(),)
    shop.done("plan", "--locked", shop.template)


def test_template_that_gives_a_suite_another_priority_is_locked_anew(composer: Composer, tmp_path: Path) -> None:
    shop = Shop(composer, small_archive(tmp_path / "archive", *PACKAGES))
    shop.done("lock", shop.template)
    shop.archive.template(f"packageRepositories: [{{codename: stable, priority: 700}}]\n{BODY}")
    shop.refused("lock-differs", "plan", "--locked", shop.template)
    shop.done("lock", shop.template)
    shop.done("plan", "--locked", shop.template)


def test_update_of_a_package_that_the_lock_does_not_have_is_refused_with_a_near_name(shop: Shop) -> None:
    shop.done("lock", shop.template)
    assert "helper" in shop.refused("not-in-lock", "lock", "--update-package", "helpr", shop.template)


def test_template_that_asks_for_more_says_so_with_its_line_and_lock_adds_just_that(shop: Shop) -> None:
    shop.archive.template("systemConfig:\n  packages: [web]\n")
    shop.done("lock", shop.template)
    shop.moves_on(*NEWER, both=True)
    shop.archive.template(BODY)
    said = shop.refused("lock-differs", "plan", "--locked", shop.template)
    assert f"{shop.template}:4:19: the template asks for tool, the lock was made without it" in said
    done = shop.run("plan", shop.template)
    assert (done.returncode, "the template asks for tool" in done.stderr) == (0, True)
    shop.done("lock", shop.template)
    assert shop.versions() == {"web": "1.0", "lib": "1.0", "tool": "2.0", "helper": "2.0"}


def test_template_that_asks_for_less_says_so_with_the_line_of_the_lock(shop: Shop) -> None:
    shop.done("lock", shop.template)
    shop.archive.template("systemConfig:\n  packages: [web]\n")
    said = shop.refused("lock-differs", "plan", "--locked", shop.template)
    line = next(n for n, text in enumerate(shop.file.read_text().split("\n"), 1) if '"tool": "tool"' in text)
    assert f"{shop.file}:{line}:1: the lock was made for tool as well" in said


def test_locked_without_a_lock_and_refresh_with_one_are_refused(shop: Shop) -> None:
    shop.refused("no-lock", "plan", "--locked", shop.template)
    shop.done("lock", shop.template)
    shop.refused("locked-and-refresh", "plan", "--refresh", shop.template)


def test_lock_whose_metadata_an_unpinned_key_signed_is_refused_with_its_line(shop: Shop) -> None:
    shop.done("lock", shop.template)
    pinned = shop.archive.data.repository.key.fingerprint.lower()
    edit(shop, lambda data: data["repositories"][0].update(signers=["ab" * 20]))
    said = shop.refused("lock-signer", "plan", shop.template)
    assert pinned in said
    line = next(n for n, text in enumerate(shop.file.read_text().split("\n"), 1) if '"signers"' in text)
    assert f"{shop.file}:{line}:1" in said


@pytest.mark.parametrize(
    ("key", "value", "reference"),
    [("sha256", "ab" * 32, "wrong-bytes"), ("path", "elsewhere/web", "not-found"), ("size", 1, "too-large")],
)
def test_package_that_is_not_what_an_edited_lock_says_is_refused_with_its_line(
    shop: Shop, key: str, value: object, reference: str
) -> None:
    """Whoever made the seals fit again as well is met when the package comes."""
    shop.done("lock", shop.template)
    edit(shop, lambda data: _entry(data, "web").update({key: value}))
    said = shop.refused(reference, "fetch", "--locked", shop.template)
    text = shop.file.read_text().split("\n")
    (place,) = re.findall(rf"--> {re.escape(str(shop.file))}:(\d+):1", said)
    assert '"sha256"' in text[int(place) - 1]
    assert any('"name": "web"' in line for line in text[int(place) - 10 : int(place)])


def edit(shop: Shop, change: Callable[[dict[str, Any]], object]) -> None:
    """By somebody who knows how seals are made."""
    from ospackage.test_lock_file import resealed

    data = json.loads(shop.file.read_text())
    change(data)
    shop.file.write_text(text_of(resealed(data)))


def _entry(data: dict[str, Any], name: str) -> dict[str, Any]:
    for transaction in data["sets"]["image"]["transactions"]:
        for package in transaction["packages"]:
            if package["name"] == name:
                found: dict[str, Any] = package
                return found
    raise KeyError(name)


def test_fetch_brings_all_that_a_plan_names_and_offline_needs_no_mirror_then(shop: Shop) -> None:
    shop.done("lock", shop.template)
    said = shop.done("fetch", "--locked", shop.template)
    packages = {p.sha256 for found in shop.lock.sets.values() for p in found.packages()}
    assert said.startswith(f"{len(packages)} packages, ")
    kept = {path.name for path in (shop.archive.cache / "packages" / "sha256").glob("*/*")}
    assert kept == packages
    for path in [p for p in shop.archive.data.root.rglob("*") if p.is_file() and p.suffix != ".pgp"]:
        path.unlink()
    assert shop.done("fetch", "--locked", shop.template) == said


def test_offline_opens_no_connection_and_says_how_to_get_along(shop: Shop) -> None:
    settings = shop.archive.settings
    settings.write_text(re.sub("file://[^']*/mirror", "http://127.0.0.1:9", settings.read_text()))
    said = shop.refused("offline", "plan", "--offline", shop.template)
    assert "os-image-composer fetch TEMPLATE" in said


def test_offline_where_no_mirror_is_known_says_so(shop: Shop) -> None:
    settings = shop.archive.settings
    settings.write_text(re.sub("mirrors: .*\n", "", settings.read_text()))
    assert "no mirror of it is known" in shop.refused("offline", "plan", "--offline", shop.template)
    shop.refused("no-mirror", "plan", shop.template)


def test_lock_does_without_a_mirror(shop: Shop) -> None:
    shop.done("lock", shop.template)
    settings = shop.archive.settings
    settings.write_text(re.sub("mirrors: .*\n", "", settings.read_text()))
    shop.done("plan", "--locked", shop.template)
    shop.done("fetch", "--locked", shop.template)


def test_lock_is_a_file_like_others_of_the_user(shop: Shop) -> None:
    shop.done("lock", shop.template)
    umask = os.umask(0)
    os.umask(umask)
    assert shop.file.stat().st_mode & 0o777 == 0o666 & ~umask
    other = shop.file.with_name("shared.lock")
    shop.file.rename(other)
    other.chmod(0o664)
    shop.file.symlink_to(other.name)
    shop.moves_on(*NEWER)
    shop.done("lock", "--update", shop.template)
    assert shop.file.is_symlink() and other.stat().st_mode & 0o777 == 0o664
    assert set(shop.versions().values()) == {"2.0"}


def test_offline_takes_an_old_lock_of_the_last_build(shop: Shop) -> None:
    shop.archive.settings.write_text(shop.archive.settings.read_text() + "metadata_max_age: 0\n")
    first = shop.done("plan", "--json", shop.template)
    shutil.rmtree(shop.archive.data.root)
    done = shop.run("plan", "--json", "--offline", shop.template)
    assert (done.returncode, done.stdout, "mirror answers" in done.stderr) == (0, first, False)


def test_bundle_serves_a_host_that_knows_no_mirror_and_no_key(shop: Shop, tmp_path: Path) -> None:
    shop.done("lock", shop.template)
    bundle = tmp_path / "small.bundle"
    packages = {p.sha256 for found in shop.lock.sets.values() for p in found.packages()}
    assert shop.done("bundle", "--locked", shop.template, bundle).startswith(f"{bundle}: {len(packages)} packages, ")
    shutil.rmtree(shop.archive.data.root)
    shutil.rmtree(shop.archive.cache)
    unpack_bundle(bundle, shop.archive.cache)
    said = shop.done("fetch", "--locked", shop.template)  # every package checked, signatures too, by bundled keys
    assert said.startswith(f"{len(packages)} packages, ")
    # Another lock beside the template is not the bundle's.
    shop.file.write_text(shop.file.read_text() + "\n")
    shop.refused("bundle-differs", "build", "--bundle", bundle, shop.template)
    shop.file.unlink()
    shop.archive.template("systemConfig:\n  packages: [web]\n")
    said = shop.refused("lock-differs", "build", "--bundle", bundle, shop.template)
    assert f"the bundle {bundle} is to be written again" in said


def test_validate_and_plan_take_the_lock_without_asking_the_mirror(shop: Shop) -> None:
    shop.done("lock", shop.template)
    shutil.rmtree(shop.archive.data.root)
    shutil.rmtree(shop.archive.cache)
    assert "valid" in shop.done("validate", "--resolve", shop.template)
    shop.done("plan", shop.template)


def test_damaged_lock_is_refused_by_every_verb_and_made_again_by_update(shop: Shop) -> None:
    shop.done("lock", shop.template)
    shop.file.write_text(shop.file.read_text().replace('"version": "1.0', '"version": "1.1', 1))
    for words in (("plan",), ("lock",), ("fetch",), ("validate", "--resolve")):
        assert f"--> {shop.file}:" in shop.refused("bad-lock", *words, shop.template)
    shop.done("lock", "--update", shop.template)
    shop.done("plan", "--locked", shop.template)


def test_diff_says_what_happened_in_words_json_and_markdown(shop: Shop, tmp_path: Path) -> None:
    shop.done("lock", shop.template)
    old = tmp_path / "old.lock"
    shutil.copyfile(shop.file, old)
    shop.moves_on(
        Described("web", "2.0", depends=("lib",)), Described("tool", "0.9", depends=("extra",)), Described("extra")
    )
    shop.done("lock", "--update", shop.template)
    assert shop.run("lock", "diff", old, old).returncode == 0
    text = shop.run("lock", "diff", old, shop.file)
    assert text.returncode == 1
    words = {tuple(line.split()[:2]) for line in text.stdout.splitlines()}
    assert {("upgraded", "web"), ("downgraded", "tool"), ("added", "extra"), ("removed", "helper")} <= words
    value = json.loads(shop.run("lock", "diff", "--json", old, shop.file).stdout)
    assert value["equal"] is False
    web = next(change for change in value["packages"] if change["name"] == "web")
    assert (web["set"], web["kind"], web["before"][:3], web["after"][:3]) == ("image", "upgraded", "1.0", "2.0")
    table = shop.run("lock", "diff", "--markdown", old, shop.file).stdout
    assert re.search(r"^\| `web` \| upgraded \| `1\.0\S*` \| `2\.0\S*` \| [+-]\S+ \S+ \| [+-]\S+ \S+ \|$", table, re.M)
    assert shop.run("lock", "diff", old, tmp_path / "absent.lock").returncode == 2


# -- as of a date ------------------------------------------------------------------------------------------------


def test_as_of_takes_what_had_been_built_then(composer: Composer, tmp_path: Path) -> None:
    old = [replace(package, built=1_690_000_000) for package in PACKAGES]  # 2023-07-22
    shop = Shop(composer, small_archive(tmp_path / "archive", *old, family="rpm"))
    shop.moves_on(*(replace(package, built=1_699_000_000) for package in NEWER), both=True)  # 2023-11-03
    shop.done("lock", "--as-of", "2023-08-01", shop.template)
    assert set(shop.versions().values()) == {"1.0"}
    shop.done("lock", "--as-of", "2023-11-04T00:00:00Z", shop.template)
    assert set(shop.versions().values()) == {"2.0"}
    said = shop.refused("unknown-packages", "lock", "--as-of", "2020-01-01", shop.template)
    assert "no repository keeps a version of web from before the date" in said


def test_as_of_needs_an_archive_of_snapshots_where_metadata_tells_no_build_times(
    composer: Composer, tmp_path: Path
) -> None:
    shop = Shop(composer, small_archive(tmp_path / "archive", *PACKAGES))
    said = shop.refused("no-old-versions", "lock", "--as-of", "2023-11-14", shop.template)
    assert "snapshots: {own: https://" in said
    old = shop.archive.data.root / "snapshots" / "20231114T235959Z"
    shutil.copytree(shop.archive.data.root / "own", old)
    shop.moves_on(*NEWER)
    shop.done("plan", shop.template)  # the newest date is remembered, and does not stand in the way
    shop.archive.settings.write_text(
        shop.archive.settings.read_text() + f"snapshots: {{own: 'file://{old.parent}/{{date}}'}}\n"
    )
    shop.done("lock", "--as-of", "2023-11-14", shop.template)
    assert set(shop.versions().values()) == {"1.0"}
    assert shop.lock.repositories[0].url == f"file://{old}"
    shutil.copytree(shop.archive.data.root / "own", old.with_name("20231116T235959Z"))
    shop.done("lock", "--as-of", "2023-11-16", shop.template)
    assert shop.lock.repositories[0].url.endswith("20231116T235959Z")
    shop.done("lock", "--update", shop.template)
    assert set(shop.versions().values()) == {"2.0"}


def test_what_metadata_does_not_date_is_not_taken_for_old(composer: Composer, tmp_path: Path) -> None:
    old = [replace(package, built=1_690_000_000) for package in PACKAGES]
    shop = Shop(composer, small_archive(tmp_path / "archive", *old, family="rpm"))
    shop.moves_on(*(replace(package, built=0) for package in NEWER), both=True)
    shop.done("lock", "--as-of", "2023-08-01", shop.template)
    assert set(shop.versions().values()) == {"1.0"}


def test_flags_that_exclude_each_other_and_dates_to_come_are_refused(shop: Shop) -> None:
    for words in (("--update", "--as-of", "2023-01-01"), ("--update", "--update-package", "web")):
        shop.refused("wrong-usage", "lock", *words, shop.template)
    for date in ("2199-01-01", "9999-12-31"):
        shop.refused("wrong-value", "lock", "--as-of", date, shop.template)


def test_suite_that_no_package_is_from_makes_no_difference(shop: Shop) -> None:
    """As those of the distribution that the image tools are from, where that is another one than the image's."""
    shop.done("lock", shop.template)

    def further(data: dict[str, Any]) -> None:
        data["repositories"].append({**data["repositories"][-1], "name": "tools/further", "suite": "further"})

    edit(shop, further)
    shop.done("plan", "--locked", shop.template)


def test_diff_of_a_request_names_that_one_and_dates_are_those_of_the_lock(shop: Shop, tmp_path: Path) -> None:
    shop.done("lock", shop.template)
    before = tmp_path / "before.lock"
    shutil.copyfile(shop.file, before)

    def change(data: dict[str, Any]) -> None:
        data["sets"]["image"]["asked"][-1]["packages"].update(other="web")
        data["repositories"][0].update(date="2026-10-31T12:00:00Z", validUntil="2026-11-07T12:00:00Z")

    edit(shop, change)
    value = json.loads(shop.run("lock", "diff", "--json", before, shop.file).stdout)
    changes = {change["field"]: (change["before"], change["after"]) for change in value["others"]}
    assert changes["asked"] == ("", "template:other=web")
    assert (changes["date"][1], changes["valid-until"][1]) == ("2026-10-31T12:00:00Z", "2026-11-07T12:00:00Z")
    assert "image: asked: nothing -> template:other=web" in shop.run("lock", "diff", before, shop.file).stdout
    compared = json.loads(shop.run("compare", "--json", before, shop.file).stdout)["differences"]
    assert [(d["a"], d["b"]) for d in compared if d["kind"] == "asked"] == [(None, "template:other=web")]


def test_diff_sees_all_that_a_lock_says(shop: Shop, tmp_path: Path) -> None:
    shop.done("lock", shop.template)
    before = tmp_path / "before.lock"
    shutil.copyfile(shop.file, before)
    for change in (
        lambda data: data["repositories"][0].update(priority=7),
        lambda data: data["sets"]["image"].update(weakDependencies=True),
        lambda data: data["sets"]["image"]["asked"][-1]["packages"].update(other="web"),
        lambda data: _entry(data, "web").update(path="elsewhere/web"),
        lambda data: _entry(data, "web").update(source="another 1"),
    ):
        shutil.copyfile(before, shop.file)
        edit(shop, change)
        for words in (("lock", "diff"), ("compare",)):
            done = shop.run(*words, before, shop.file)
            assert (done.returncode, len(done.stdout.splitlines()) > 0) == (1, True), done.stdout
        assert "are equal" not in shop.run("lock", "diff", before, shop.file).stdout


@pytest.mark.parametrize("date", ["yesterday", "2023-13-01", "2023-11-04T00:00:00", "", "20231104"])
def test_date_that_is_none_is_refused(composer: Composer, sample: Path, date: str) -> None:
    done = composer("lock", "--as-of", date, sample)
    assert (done.returncode, "error[wrong-value]" in done.stderr) == (2, True)
