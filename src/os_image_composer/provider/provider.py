"""The provider: Init loads data, PreProcess gives lock and plan, BuildImage executes, PostProcess publishes.

One class serves every distribution; what differs is data, and the package family that the data names.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import replace
from pathlib import Path

from os_image_composer.build.canonical import sha256_file
from os_image_composer.build.events import Note, PhaseFinished, PhaseStarted
from os_image_composer.build.execute import Execution, Forecast, Outcome, forecast
from os_image_composer.build.plan import make_plan
from os_image_composer.build.shelf import Shelf, copy_sparse
from os_image_composer.build.store import NoTrees, Store, Trees
from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.sandbox import SANDBOX_VERSION, Sandbox
from os_image_composer.chroot.services import Services as StepServices
from os_image_composer.config import remarks
from os_image_composer.config.distribution import Distribution, ImageTools
from os_image_composer.config.distribution_data import known_targets, load_distribution, load_image_tools
from os_image_composer.config.spec import ImageSpec, Target, User
from os_image_composer.errors import TemplateError, UsageError
from os_image_composer.image.accounts import Account
from os_image_composer.image.layout import lay_out
from os_image_composer.image.placed_files import PlacedFile
from os_image_composer.image.room import installed_size, usable
from os_image_composer.ospackage.lock import Lock
from os_image_composer.ospackage.transport import Transport
from os_image_composer.provider.bill import bill_files
from os_image_composer.provider.interface import Preparation, Published, Resolved
from os_image_composer.provider.lock_choice import ANY_LOCK, LockChoice
from os_image_composer.provider.locking import Locking
from os_image_composer.provider.manifest import dump_manifest, manifest
from os_image_composer.provider.placed import placed_in_template
from os_image_composer.provider.publish import own_folder, publish, staging
from os_image_composer.provider.secrets import PasswordHashes, hash_passwords
from os_image_composer.provider.services import Services
from os_image_composer.provider.steps import BILL, Extras, raw_image_steps
from os_image_composer.provider.verify import DifferentStep, Verdict, differing, note_in_manifest, side


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
        self._name_main_mirror()
        self._check_names(data)
        self.locking = Locking(
            self.target, self.distribution, self.tools, self.tools_distribution, self.settings, self.services
        )

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

    def pre_process(self, spec: ImageSpec, choice: LockChoice = ANY_LOCK, *, output: Path | None = None) -> Preparation:
        """The lock, from the last one or from the mirror, and the plan that follows from it."""
        for remark in remarks.remarks(spec):
            self.services.listener(Note("warning", str(remark)))
        chosen = self.locking.choose(spec, choice)
        lock = chosen.lock
        passwords = hash_passwords(spec.users, self.settings.cache_dir / "locks" / f"{self._plan_name(spec)}.secrets")
        files, host_files = _placed_files(spec)
        accounts = tuple(self._account(user, passwords) for user in spec.users)
        steps = raw_image_steps(spec, lock, self.distribution, Extras(accounts, files))
        plan = make_plan(self._plan_name(spec), steps, f"sandbox {SANDBOX_VERSION}")
        return Preparation(spec, chosen, plan, output or self._output(spec), passwords, host_files)

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

    def resolved(self, spec: ImageSpec, choice: LockChoice = ANY_LOCK) -> Resolved:
        """What the packages of `spec` come to; raises what `lock` raises."""
        lock = self.locking.choose(spec, choice).lock
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
            outcome = self._execute(preparation, sandbox, store, shelf)
            return self.post_process(preparation, outcome, shelf, self.services.clock.elapsed() - started)

    def _execute(self, preparation: Preparation, sandbox: Sandbox, store: Store, shelf: Shelf) -> Outcome:
        with self.locking.transport() as transport:
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
            return placed_in_template(preparation.spec, execution.run)

    def verify(self, published: Published) -> Verdict:
        """Build the same once more from an empty store, of which nothing stays, and note in the manifest's section of
        the one build whether the bits are the same. Raises what `build_image` raises."""
        preparation, listener, clock = published.preparation, self.services.listener, self.services.clock
        started, name = clock.elapsed(), secrets.token_hex(8)
        _, first = self.workplace(preparation.lock)
        listener(PhaseStarted("verify"))
        with first.scratch.folder() as folder:
            sandbox = Sandbox(IdMap.for_caller(self.settings.root_id_range), folder / "tmp" / name)
            store = Store(folder / "store", sandbox, preparation.lock.source_date_epoch, folder / "tmp")
            (folder / "image").mkdir()
            shelf = Shelf(folder / "published.json", folder / "image", folder / "out" / published.image.name)
            with store.scratch.folder(name):
                outcome = self._execute(preparation, sandbox, store, shelf)
                steps: tuple[DifferentStep, ...] = ()
                if outcome.final.digest != published.sha256:
                    plan, final = preparation.plan, published.outcome.final
                    one = side(first, plan, final, published.image, self.settings.cache_dir)
                    other = side(store, plan, outcome.final, outcome.image, folder)
                    steps = differing(plan, one, other, sandbox)
        verdict = Verdict(steps, clock.elapsed() - started)
        listener(PhaseFinished("verify", verdict.seconds, "the same bits" if verdict.equal else "other bits"))
        note_in_manifest(published.manifest, verdict)
        return verdict

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
        packages = self.locking.packages(preparation.spec, preparation.chosen, transport)
        hashes, files = preparation.passwords.hashes, preparation.host_files
        return StepServices(sandbox, packages, hashes, files, self.services.clock)


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
