"""The provider: Init loads data, PreProcess gives lock and plan, BuildImage executes, PostProcess publishes.

One class serves every distribution; what differs is data, and the package family that the data names.
"""

from __future__ import annotations

import functools
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from os_image_composer.build.canonical import canonical_json, sha256_file, sha256_text
from os_image_composer.build.events import Note, PhaseFinished, PhaseStarted
from os_image_composer.build.execute import Execution, Forecast, Outcome, forecast
from os_image_composer.build.plan import make_plan
from os_image_composer.build.shelf import Shelf, copy_sparse
from os_image_composer.build.store import NoTrees, Store, Trees
from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.sandbox import SANDBOX_VERSION, Sandbox
from os_image_composer.chroot.services import PackageFile
from os_image_composer.chroot.services import Services as StepServices
from os_image_composer.config import remarks
from os_image_composer.config.distribution import Distribution, ImageTools
from os_image_composer.config.distribution_data import known_targets, load_distribution, load_image_tools
from os_image_composer.config.spec import ImageSpec, PackageGroup, RequestedSuite, Target, User
from os_image_composer.errors import FetchError, TemplateError, UsageError
from os_image_composer.image.accounts import Account
from os_image_composer.image.identifiers import derived_uuid
from os_image_composer.image.layout import lay_out
from os_image_composer.image.placed_files import PlacedFile
from os_image_composer.image.room import check_room, installed_size, usable
from os_image_composer.ospackage.cache import PackageCache
from os_image_composer.ospackage.family import family_for
from os_image_composer.ospackage.keys import keyring_of
from os_image_composer.ospackage.lock import Lock, LockedRepository, PackageSet
from os_image_composer.ospackage.mirrors import repositories_for
from os_image_composer.ospackage.openpgp import Keyring
from os_image_composer.ospackage.resolve import Repository, SetRequest
from os_image_composer.ospackage.tools_archive import (
    TOOLS,
    ToolsArchive,
    check_free,
    unmarked,
    write_tools_archive,
)
from os_image_composer.ospackage.tools_index import ToolsIndex
from os_image_composer.ospackage.transport import HttpTransport, Transport
from os_image_composer.provider.bill import bill_files
from os_image_composer.provider.image_tools import archive_digest, archive_source, open_archive, tools_request
from os_image_composer.provider.implicit_lock import ImplicitLock
from os_image_composer.provider.interface import Preparation, Published, Resolved
from os_image_composer.provider.manifest import dump_manifest, manifest
from os_image_composer.provider.packages import LockedPackages, Source
from os_image_composer.provider.placed import placed_in_template
from os_image_composer.provider.publish import own_folder, publish, staging
from os_image_composer.provider.secrets import PasswordHashes, hash_passwords
from os_image_composer.provider.services import Services
from os_image_composer.provider.steps import BILL, Extras, raw_image_steps

# Namespace of the seeds of implicit locks: a random UUID, fixed for ever.
_SEEDS = "8f8a2f51-54d1-4cf5-9ec5-6c8f6a0c3f0e"


@dataclass(frozen=True)
class _Demand:
    """Package sets that are resolved from one distribution's repositories."""

    distribution: Distribution
    repositories: tuple[Repository, ...]
    requests: tuple[SetRequest, ...]


class Provider:
    """Builds images of one target. Call `init` first; the other operations in the brief's order."""

    def __init__(self, target: Target, services: Services) -> None:
        self.target = target
        self.services = services
        self.settings = services.settings

    def init(self) -> None:
        """Load what is known about the distribution. Raises UsageError for a target without data."""
        data = self.settings.config_dir
        own_folder(self.settings.cache_dir)
        self.distribution = load_distribution(self.target.os, self.target.dist, self.target.arch, data)
        self.tools: ImageTools = load_image_tools(data)
        same = (self.tools.os, self.tools.dist) == (self.target.os, self.target.dist)
        self.tools_distribution = (
            self.distribution if same else load_distribution(self.tools.os, self.tools.dist, self.target.arch, data)
        )
        self.tools_archive: Callable[[], ToolsArchive | None] = functools.cache(
            lambda: open_archive(self.settings, self.tools, self.tools_distribution)
        )
        self._name_main_mirror()
        self._check_names(data)

    def _name_main_mirror(self) -> None:
        """A mirror that was given without a name is the one of the distribution's first repository."""
        mirrors = dict(self.settings.mirrors)
        urls = mirrors.pop("", ())
        if urls and self.distribution.repositories:
            mirrors[self.distribution.repositories[0].mirror] = urls
            self.settings = replace(self.settings, mirrors=mirrors)

    def _check_names(self, data: Path) -> None:
        """Raises UsageError for a mirror or a repository in the settings that no distribution has a use for: a slip
        of the pen would else be a silent change to another mirror, or to other keys."""

        def names(distribution: Distribution) -> tuple[set[str], set[str]]:
            own = distribution.repositories
            return {r.mirror for r in own}, {distribution.dist, *(r.name for r in own)}

        mirrors, repositories = map(set[str].union, names(self.distribution), names(self.tools_distribution))
        unknown = set(self.settings.mirrors) - mirrors, set(self.settings.repositories) - repositories
        if any(unknown):
            for target in known_targets(data):
                more = names(load_distribution(target.os, target.dist, target.arch, data))
                mirrors, repositories = mirrors | more[0], repositories | more[1]
        for kind, said, known in (("mirror", unknown[0], mirrors), ("repository", unknown[1], repositories)):
            for name in sorted(said - known):
                raise UsageError(
                    f"unknown-{kind}",
                    f"no distribution has a {kind} named {name}",
                    hint=f"there is {', '.join(sorted(known))}",
                )

    def pre_process(self, spec: ImageSpec, *, refresh: bool = False, output: Path | None = None) -> Preparation:
        """The lock, from the last one or from the mirror, and the plan that follows from it."""
        for remark in remarks.remarks(spec):
            self.services.listener(Note("warning", str(remark)))
        lock = self.lock(spec, refresh=refresh)
        passwords = hash_passwords(spec.users, self.settings.cache_dir / "locks" / f"{self._plan_name(spec)}.secrets")
        files, host_files = _placed_files(spec)
        accounts = tuple(self._account(user, passwords) for user in spec.users)
        steps = raw_image_steps(spec, lock, self.distribution, Extras(accounts, files))
        plan = make_plan(self._plan_name(spec), steps, f"sandbox {SANDBOX_VERSION}")
        return Preparation(spec, lock, plan, output or self._output(spec), passwords, host_files)

    def _account(self, user: User, passwords: PasswordHashes) -> Account:
        sudo = (self.distribution.sudo_group,) if user.sudo else ()
        return Account(
            name=user.name,
            password=passwords.digest_of.get(user.name),
            max_age=user.password_max_age,
            keys=user.ssh_authorized_keys,
            uid=user.uid,
            groups=tuple(dict.fromkeys((*user.groups, *sudo))),
            home=user.home,
            shell=user.shell,
            sudo=user.sudo,
        )

    def lock(self, spec: ImageSpec, *, refresh: bool = False) -> Lock:
        """The packages of the image and of its environments, from the last lock or from the mirror. Raises SolveError
        for packages that cannot be had, TemplateError when they do not fit their partition."""
        demands = self._demands(spec)
        key = _request_key(spec, demands, archive_digest(self.settings))
        implicit = ImplicitLock(self.settings.cache_dir / "locks", key, self.services.clock)
        lock = None if refresh else implicit.read(self.settings.metadata_max_age * 3600)
        if lock is None:
            if implicit.damage:
                damaged = f"the lock of the last build, {implicit.path}, is damaged ({implicit.damage})"
                self.services.listener(Note("warning", f"{damaged}: the mirror is asked which packages to take"))
            try:
                lock = implicit.renew(placed_in_template(spec, lambda: self._resolve(spec, demands)))
            except FetchError as error:
                lock = None if refresh else implicit.read(None)
                if lock is None:
                    raise
                self.services.listener(
                    Note("warning", f"no mirror answers ({error.message}); the packages of the last build are taken")
                )
        check_room(spec, lock)
        return lock

    def resolved(self, spec: ImageSpec, *, refresh: bool = False) -> Resolved:
        """What the packages of `spec` come to; raises what `lock` raises."""
        lock = self.lock(spec, refresh=refresh)
        room = usable(lay_out(spec, lock.seed).root.size)
        return Resolved(len(tuple(lock.sets["image"].packages())), installed_size(spec, lock), room)

    def forecast(self, preparation: Preparation) -> tuple[Forecast, ...]:
        """What `build_image` would reuse and run, and why."""
        store = self._store(NoTrees(), preparation.lock)
        return forecast(preparation.plan, store, self._shelf(preparation, preparation.output))

    def build_image(self, preparation: Preparation) -> Published:
        """Run the plan and publish what it gives. Raises ComposerError; then nothing is published."""
        self._check_machine()
        started = self.services.clock.elapsed()
        name = secrets.token_hex(8)
        sandbox, store = self.workplace(preparation.lock, name)
        with (
            staging(preparation.output, self.settings.cache_dir / "outputs", self.services.listener) as folder,
            store.scratch.folder(name),
        ):
            shelf = self._shelf(preparation, folder)
            with HttpTransport(self.settings.network) as transport:
                execution = Execution(
                    preparation.plan,
                    store,
                    self._step_services(preparation, sandbox, transport),
                    shelf,
                    listener=self.services.listener,
                    clock=self.services.clock,
                    workers=self.settings.workers,
                    stop=sandbox.stop,
                    wanted=(BILL,),
                )
                outcome = placed_in_template(preparation.spec, execution.run)
            return self.post_process(preparation, outcome, shelf, self.services.clock.elapsed() - started)

    def _check_machine(self) -> None:
        """Raises UsageError for an architecture whose programs this machine does not run."""
        machine = os.uname().machine
        if self.target.arch != machine:
            raise UsageError(
                "not-built-yet",
                f"images for {self.target.arch} are not built on {machine} yet",
                cause="programs of the image's packages run during the build",
            )

    def post_process(self, preparation: Preparation, outcome: Outcome, shelf: Shelf, seconds: float) -> Published:
        """Put image, bills of materials and manifest into the output folder, all or none."""
        spec, output, folder = preparation.spec, preparation.output, shelf.staging
        image, record = output / shelf.wanted.name, output / f"{shelf.wanted.stem}.manifest.json"
        if outcome.image not in (shelf.wanted, shelf.staged):
            copy_sparse(outcome.image, shelf.staged)
        layer = outcome.wanted[BILL].content
        assert layer is not None
        bills = dict(bill_files(layer, spec.name, spec.version))
        for name, source in bills.items():
            shutil.copyfile(source, folder / name)
        digests = {name: sha256_file(folder / name) for name in bills}
        value = manifest(preparation, outcome, image.name, self.tools.packages, digests, seconds)
        (folder / record.name).write_text(dump_manifest(value))
        publish(folder, output, (image.name, *bills, record.name))
        shelf.note(image, outcome.final.digest)
        paths = tuple(output / name for name in bills)
        final = outcome.final
        return Published(image, record, paths, final.size, final.digest, outcome, preparation, seconds)

    # -- resolution ------------------------------------------------------------------------------------------

    def _demands(self, spec: ImageSpec) -> tuple[_Demand, ...]:
        image = SetRequest("image", spec.package_groups, True, spec.weak_dependencies)
        chroot = SetRequest("chroot", (PackageGroup("chroot", self.distribution.chroot_packages),), essential=True)
        own = self._demand(self.distribution, (image, chroot), spec.suites)
        if archive_digest(self.settings):
            return (own,)
        if self.tools_distribution == self.distribution:
            return (replace(own, requests=(image, chroot, tools_request(self.tools))),)
        return (own, *self._tools_demands())

    def _tools_demands(self) -> tuple[_Demand, ...]:
        """None where the settings name an archive: then no repository is needed for the image tools."""
        if archive_digest(self.settings):
            return ()
        return (self._demand(self.tools_distribution, (tools_request(self.tools),)),)

    def _demand(
        self, distribution: Distribution, requests: tuple[SetRequest, ...], suites: tuple[RequestedSuite, ...] = ()
    ) -> _Demand:
        host = family_for(distribution.family).host_mirrors(Path("/etc"))
        repositories = repositories_for(distribution, self.settings.mirrors, host, self.settings.repositories, suites)
        return _Demand(distribution, repositories, requests)

    def _resolve(self, spec: ImageSpec, demands: tuple[_Demand, ...]) -> Lock:
        seed = str(derived_uuid(_SEEDS, self.target.os, self.target.dist, self.target.arch, spec.name))
        return self._resolve_sets(demands, seed)

    def _resolve_sets(self, demands: tuple[_Demand, ...], seed: str) -> Lock:
        clock, listener = self.services.clock, self.services.listener
        started = clock.elapsed()
        listener(PhaseStarted("resolve"))
        archive = self.tools_archive()  # before any repository is asked, because that takes longer
        for repository in dict.fromkeys(r for demand in demands for r in demand.repositories):
            listener(Note("info", f"{repository.name}: {', '.join(repository.urls)}"))
        sets: dict[str, PackageSet] = {}
        repositories: list[LockedRepository] = []
        epoch = 0
        with HttpTransport(self.settings.network) as transport:
            for demand in demands:
                family = family_for(demand.distribution.family)
                cache = self.settings.cache_dir / "metadata"
                resolver = family.resolver(transport, cache, clock, listener)
                found = resolver.resolve(demand.repositories, demand.distribution.package_arch, demand.requests)
                sets |= found.sets
                repositories += [r for r in found.repositories if r not in repositories]
                epoch = epoch or found.source_date_epoch
        if archive is not None:
            listener(Note("info", f"image tools: {archive.path}"))
            more, sets[TOOLS] = archive.locked()
            repositories += more
        target = self.target
        lock = Lock(target.os, target.dist, target.arch, seed, epoch, tuple(repositories), sets)
        asked, name = ("image", "image") if "image" in sets else (TOOLS, "image tools")
        count = len(list(sets[asked].packages()))
        listener(PhaseFinished("resolve", clock.elapsed() - started, f"{count} packages in the {name}"))
        return lock

    def export_tools(self, file: Path, spec: ImageSpec | None = None, *, refresh: bool = False) -> ToolsArchive:
        """Write the image tools of the lock of `spec`, or those that there are now, to `file`, which must not be there;
        the archive that the settings name is where they come from, if there is one. Raises what `lock` and fetching
        raise, and UsageError `file-exists`."""
        check_free(file)
        if spec is None:
            demands = self._tools_demands()
            lock = self._resolve_sets(demands, str(derived_uuid(_SEEDS, TOOLS)))
        else:
            demands = self._demands(spec)
            lock = self.lock(spec, refresh=refresh)
        packages = tuple(lock.sets[TOOLS].packages())
        with HttpTransport(self.settings.network) as transport:
            files = self._packages(lock, demands, transport).files([PackageFile.of(p) for p in packages])
        tools = self.tools
        index = ToolsIndex.of(tools.os, tools.dist, self.target.arch, *unmarked(lock.repositories, packages))
        return write_tools_archive(file, index, files)

    def _plan_name(self, spec: ImageSpec) -> str:
        return f"{self.target.os}-{self.target.dist}-{self.target.arch}-{spec.name}"

    # -- places ----------------------------------------------------------------------------------------------

    def _output(self, spec: ImageSpec) -> Path:
        target = self.target
        folder = f"{target.os}-{target.dist}-{target.arch}"
        return self.settings.work_dir / folder / "imagebuild" / spec.config_name

    def _shelf(self, preparation: Preparation, staging_folder: Path) -> Shelf:
        spec = preparation.spec
        wanted = preparation.output / f"{spec.name}-{spec.version}.raw"
        return Shelf(self.settings.cache_dir / "published.json", staging_folder, wanted)

    def workplace(self, lock: Lock, scratch: str = "unused") -> tuple[Sandbox, Store]:
        """The sandbox and the store of a build. Jobs need the folder `store.scratch.folder(scratch)`."""
        settings = self.settings
        ids = IdMap.for_caller(settings.root_id_range)
        sandbox = Sandbox(ids, settings.temp_dir / scratch)
        return sandbox, self._store(sandbox, lock)

    def _store(self, trees: Trees, lock: Lock) -> Store:
        settings = self.settings
        return Store(settings.cache_dir / "store", trees, lock.source_date_epoch, settings.temp_dir)

    def _step_services(self, preparation: Preparation, sandbox: Sandbox, transport: Transport) -> StepServices:
        packages = self._packages(preparation.lock, self._demands(preparation.spec), transport)
        return StepServices(sandbox, packages, preparation.passwords.hashes, preparation.host_files)

    def _packages(self, lock: Lock, demands: tuple[_Demand, ...], transport: Transport) -> LockedPackages:
        cache = PackageCache(self.settings.cache_dir / "packages")
        workers, listener = self.settings.workers, self.services.listener
        sources = self._sources(demands, transport)
        return LockedPackages(lock, sources, cache, transport, listener, workers, self.tools_archive)

    def _sources(self, demands: tuple[_Demand, ...], transport: Transport) -> dict[str, Source]:
        def source(family: str, repository: Repository) -> Source:
            metadata, listener = self.settings.cache_dir / "metadata", self.services.listener

            @functools.cache
            def keyring() -> Keyring:
                now = self.services.clock.now()
                return keyring_of(repository, repository.name, metadata, transport, now, listener)

            return Source(family_for(family), repository, keyring)

        found = {r.name: source(d.distribution.family, r) for d in demands for r in d.repositories}
        return found | {TOOLS: archive_source(self.tools_distribution.family)}


def _request_key(spec: ImageSpec, demands: tuple[_Demand, ...], archive: str | None) -> str:
    """What resolution depends on, hashed: the target, what is asked for, and where; `archive` is the digest of the one
    that the image tools are taken from."""
    asked = [
        {
            "requests": d.requests,
            "repositories": [
                replace(r, keyrings=(), key_url=None, accept_older_metadata=False) for r in d.repositories
            ],
        }
        for d in demands
    ]
    tools = {"imageTools": archive} if archive else {}
    text = canonical_json({"name": spec.name, "target": spec.target, "asked": asked, **tools})
    return f"{spec.name}-{sha256_text(text)[:16]}"


def _placed_files(spec: ImageSpec) -> tuple[tuple[PlacedFile, ...], dict[str, Path]]:
    placed: list[PlacedFile] = []
    paths: dict[str, Path] = {}
    for file in spec.additional_files:
        try:
            digest = sha256_file(file.local)
        except OSError as error:
            raise TemplateError(
                "unreadable-file",
                f"{file.local} cannot be read",
                cause=error.strerror,
                origin=spec.origin(f"systemConfig.additionalFiles[{len(placed)}].local"),
            ) from error
        usual = 0o755 if file.local.stat().st_mode & 0o100 else 0o644
        mode = usual if file.mode is None else file.mode
        placed.append(PlacedFile(file.final, digest, mode, file.owner, file.group, file.folder))
        paths[digest] = file.local
    return tuple(placed), paths
