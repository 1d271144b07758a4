"""Scriptlets and triggers of the rpm family, run by the rpm of a look-alike on top of an image's own layer: what fails
is named with its package and its scriptlet; what a distribution's packages do there, works."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import cast

import pytest

from os_image_composer.build.clock import SystemClock
from os_image_composer.build.step import Kind, Result, Work
from os_image_composer.chroot.install_rpm_packages import InstallTransaction
from os_image_composer.chroot.installer import Surroundings
from os_image_composer.chroot.job import Tree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.chroot.services import PackageFile, Packages, Services
from os_image_composer.errors import StepError
from support.lookalike.made import cache_folder
from support.lookalike.recipe import Kitchen, Recipe
from support.workshop import CHECKOUT, Workshop

pytestmark = pytest.mark.build

# In the shared workshop, where another test builds it in every run.
TEMPLATE = CHECKOUT / "image-templates" / "emt3-x86_64-minimal-raw.yml"


@dataclass(frozen=True)
class Given:
    """`chroot.services.Packages` of files that are there."""

    paths: Mapping[str, Path]

    def files(self, packages: Sequence[PackageFile]) -> Mapping[str, Path]:
        return {package.sha256: self.paths[package.sha256] for package in packages}


@dataclass(frozen=True)
class Installed:
    """`said` is what the step told; `layer` lies on `below`."""

    said: list[str]
    below: Path
    layer: Path
    sandbox: Sandbox

    @property
    def added(self) -> set[str]:
        """Paths that are in the new layer, the package database left out."""
        found = self.sandbox.glob(Tree((self.layer,)), "**")
        return {path for path in found if not path.startswith("var/lib/rpm")}

    def read(self, path: str) -> str:
        return self.sandbox.read(Tree((self.below, self.layer)), [path])[path].decode()


class Rpm:
    """Installs recipes on the layer of a built image, as the next layer, with the distribution's data."""

    def __init__(self, workshop: Workshop, settings: Path) -> None:
        provider, preparation = workshop.provider(TEMPLATE, settings)
        data = provider.distribution
        epoch = preparation.lock.source_date_epoch
        environment = tuple(data.environment.items())
        self.surroundings = Surroundings(data.package_arch, data.held_back, environment, data.leftovers, epoch)
        results = workshop.results(TEMPLATE, settings)
        self.inputs = (("chroot", results["chroot-environment"]), ("lower", results["packages:default"]))
        self.sandbox = workshop.bare_sandbox()
        self.folder = workshop.cache / "tmp" / "tests"
        self.kitchen = Kitchen(cache_folder() / "rpms")
        self.numbers = itertools.count()
        self.made: list[Path] = []

    def install(self, *recipes: Recipe, on: Installed | None = None) -> Installed:
        files, paths = [], {}
        for recipe in recipes:
            path = self.kitchen.build(recipe, self.kitchen.key(recipe))
            digest = sha256(path.read_bytes()).hexdigest()
            files.append(PackageFile(recipe.name, f"{recipe.version}-{recipe.release}", recipe.arch, digest))
            paths[digest] = path
        services = Services(self.sandbox, cast("Packages", Given(paths)), {}, {}, SystemClock())
        layer, scratch = (self.folder / f"scriptlets-{next(self.numbers)}" for _ in range(2))
        self.made += [layer, scratch]
        self.sandbox.new_layer(layer)
        scratch.mkdir()
        further = (("lower", Result("", Kind.TREE, "", on.layer)),) if on else ()
        said: list[str] = []
        work = Work(services, (*self.inputs, *further), layer, scratch, said.append)
        InstallTransaction(tuple(files), self.surroundings).run(work)
        below = self.inputs[1][1].content
        assert below is not None
        return Installed(said, below, layer, self.sandbox)


@pytest.fixture(scope="module")
def rpm(workshop: Workshop, rpm_settings: Path) -> Iterator[Rpm]:
    done = workshop.run("--config", str(rpm_settings), "build", str(TEMPLATE))
    assert done.returncode == 0, done.stdout + done.stderr
    made = Rpm(workshop, rpm_settings)
    yield made
    made.sandbox.remove(made.made)


def faulty(header: str, body: str, name: str = "faulty") -> Recipe:
    recipe = Recipe(name).add("Requires", "/bin/sh").add("Requires(pre)", "/bin/sh")
    return recipe.script(header, body).file(f"/usr/share/{name}/file", "x")


@pytest.mark.parametrize(
    ("header", "body", "said"),
    [
        ("%pre", "echo going wrong; exit 3", "%prein of faulty-1.0-1.azl3.noarch failed: exit status 3"),
        ("%pre", "kill -9 $$", "%prein of faulty-1.0-1.azl3.noarch failed: signal 9"),
        (
            "%pretrans -p <lua>",
            'error("going wrong")',
            "%pretrans of faulty-1.0-1.azl3.noarch failed: line 1: going wrong",
        ),
        ("%pre -p <lua>", 'error("going wrong")', "%prein of faulty-1.0-1.azl3.noarch failed: line 1: going wrong"),
    ],
    ids=["status", "signal", "lua-pretrans", "lua-pre"],
)
def test_scriptlet_that_forbids_the_installation_stops_it_and_is_named_with_its_package(
    rpm: Rpm, header: str, body: str, said: str
) -> None:
    with pytest.raises(StepError) as caught:
        rpm.install(faulty(header, body), Recipe("innocent").file("/usr/share/innocent", "x"))
    assert caught.value.reference == "package-installation"
    assert said in caught.value.message
    assert "signal" in said or any("going wrong" in line for line in caught.value.detail)


def test_scriptlet_that_fails_when_its_package_is_there_is_a_warning_with_both_names(rpm: Rpm) -> None:
    failing = {
        "after": ("%post", "exit 3", "exit status 3"),
        "last": ("%posttrans", "exit 4", "exit status 4"),
        "trigger": ("%triggerin -- bash", "exit 5", "exit status 5"),
        "files": ("%transfiletriggerin -- /usr/share/files", "exit 6", "exit status 6"),
        "lua": ("%post -p <lua>", 'error("wrong")', "line 1: wrong"),
    }
    done = rpm.install(*(faulty(header, body, name) for name, (header, body, _) in failing.items()))
    for name, (header, _, how) in failing.items():
        wanted = f"warning: {header.split()[0]} of {name}-1.0-1.azl3.noarch failed: {how}; its package stays installed"
        assert [line for line in done.said if line.startswith(wanted)], done.said
        assert f"usr/share/{name}/file" in done.added


def test_lua_moves_a_directory_of_a_lower_layer_out_of_the_way_of_a_link(rpm: Rpm) -> None:
    """As vendors' packages do in %pretrans; rename(2) refuses to move it, and their own next try removes it."""
    below = rpm.install(Recipe("before").script("%post", "mkdir -p /usr/share/moves; echo old > /usr/share/moves/file"))
    assert "usr/share/moves/file" in below.added
    lua = 'local p = "/usr/share/moves"\nlocal s = posix.stat(p)\nif s and s.type == "directory" then\n'
    lua += '  local ok = os.rename(p, p .. ".rpmmoved")\n  if not ok then os.execute("rm -rf " .. p) end\nend'
    link = Recipe("link").script("%pretrans -p <lua>", lua)
    link.directory("/usr/share/moved").file("/usr/share/moved/new", "new\n").link("/usr/share/moves", "moved")
    done = rpm.install(link, on=below)
    tree = Tree((done.below, below.layer, done.layer))
    assert done.sandbox.read(tree, ["usr/share/moves/new"]) == {"usr/share/moves/new": b"new\n"}


def test_initrd_generator_is_held_back_in_posttrans_and_in_file_triggers_which_run_all_the_same(rpm: Rpm) -> None:
    """`initramfs`, in the layer below, has a file trigger on kernels that calls it, too."""
    note = "({0}) >> /var/log/notes; dracut --force --regenerate-all"
    kernel = Recipe("second-kernel").add("Requires", "/bin/sh")
    kernel.file("/usr/lib/modules/9.9/modules.builtin").file("/boot/vmlinuz-9.9", "no kernel")
    kernel.script("%posttrans", note.format("echo posttrans"))
    kernel.script("%transfiletriggerin -- /usr/lib/modules", note.format("echo trigger; cat"))
    done = rpm.install(kernel)
    notes = done.read("var/log/notes").splitlines()
    assert {"posttrans", "trigger", "/usr/lib/modules/9.9/modules.builtin"} <= set(notes)
    assert {path for path in done.added if path.startswith("boot/")} == {"boot/vmlinuz-9.9"}
    assert not [line for line in done.said if line.startswith("warning")]


def test_users_of_sysusers_are_made_by_scriptlets(rpm: Rpm) -> None:
    recipe = (
        Recipe("daemon").add("Requires(post)", "systemd").file("/usr/lib/sysusers.d/daemon.conf", 'u acme 777 "x"\n')
    )
    done = rpm.install(recipe.script("%post", "systemd-sysusers daemon.conf"))
    assert "acme:x:777:777:x:" in done.read("etc/passwd")
    assert "acme:" in done.read("etc/shadow")
    assert not {"etc/passwd-", "etc/shadow-", "etc/group-"} & done.added
