"""The provider: Init loads data, PreProcess gives lock and plan, BuildImage executes, PostProcess publishes.

One class serves every distribution; what differs is data, and the package family that the data names.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
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
from os_image_composer.errors import UsageError
from os_image_composer.image import block_map
from os_image_composer.image.accounts import Account
from os_image_composer.image.layout import lay_out
from os_image_composer.image.room import installed_size, usable
from os_image_composer.ospackage.lock import Lock
from os_image_composer.ospackage.transport import Transport
from os_image_composer.provider.bill import bill_files
from os_image_composer.provider.boot_keys import (
    boot_certificates,
    boot_signers,
    development_keys,
    development_warning,
)
from os_image_composer.provider.enrolled import copy_enrolment, remove_enrolment
from os_image_composer.provider.host_files import host_file_digests
from os_image_composer.provider.interface import Preparation, Published, PublishedFile, Resolved
from os_image_composer.provider.lock_choice import ANY_LOCK, LockChoice
from os_image_composer.provider.locking import Locking
from os_image_composer.provider.manifest import dump_manifest, manifest
from os_image_composer.provider.pack_steps import (
    BLOCK_MAP,
    PackedFile,
    block_map_name,
    file_names,
    goals,
    packed_files,
)
from os_image_composer.provider.placed import placed_in_template
from os_image_composer.provider.publish import checksums, own_folder, publish, staging
from os_image_composer.provider.secrets import PasswordHashes, hash_passwords
from os_image_composer.provider.services import Services
from os_image_composer.provider.sign_files import file_signers, sign_files, signature_names
from os_image_composer.provider.steps import BILL, ENROLMENT, Extras, image_steps
from os_image_composer.provider.verify import DifferentStep, Verdict, differing, note_in_manifest, side
from os_image_composer.signing.detached import FileSigner
from os_image_composer.signing.signer import Signer


class Provider:
    """Builds images of one target. Call `init` first; the other operations in the brief's order."""

    def __init__(self, target: Target, services: Services) -> None:
        self.target = target
        self.services = services
        self.settings = services.settings
        self._opened: Mapping[str, Signer] | None = None
        self._file_signers: tuple[FileSigner, ...] | None = None

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
        files, carried, host_files = host_file_digests(spec)
        accounts = tuple(self._account(user, passwords) for user in spec.users)
        certificates = placed_in_template(spec, lambda: boot_certificates(spec))
        for name in development_keys(certificates):
            self._warn_of_development_key(name)
        steps = image_steps(spec, lock, self.distribution, Extras(accounts, files, certificates, carried))
        plan = make_plan(self._plan_name(spec), steps, f"sandbox {SANDBOX_VERSION}", goals(spec))
        output = output or self._output(spec)
        return Preparation(spec, chosen, plan, output, passwords, host_files, certificates, carried)

    def _warn_of_development_key(self, name: str) -> None:
        self.services.listener(Note("warning", development_warning(name)))

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
        """What the packages of `spec` come to; raises what `lock` raises, and what the plan has to say of packages that
        its steps need. No secret and no file of the build host is read for that."""
        lock = self.locking.choose(spec, choice).lock
        image_steps(spec, lock, self.distribution, Extras((), ()))
        room = usable(lay_out(spec, lock.seed).root.size) if spec.disk.partitions else None
        return Resolved(len(tuple(lock.sets["image"].packages())), installed_size(spec, lock), room)

    def forecast(self, preparation: Preparation) -> tuple[Forecast, ...]:
        """What `build_image` would reuse and run, and why."""
        store = self._store(NoTrees(), preparation.lock)
        return forecast(preparation.plan, store, self._shelf(preparation, preparation.output))

    def build_image(self, preparation: Preparation) -> Published:
        """Run the plan and publish what it gives. Raises ComposerError; then nothing is published."""
        self._check_machine()
        # Before anything runs: what is wrong with a key is said at once.
        self._signers(preparation)
        self._signers_of_files()
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
                wanted=(BILL, *((ENROLMENT,) if preparation.boot_certificates else ())),
            )
            return placed_in_template(preparation.spec, execution.run)

    def verify(self, published: Published) -> Verdict:
        """Build the same once more from an empty store, of which nothing stays, and note in the manifest's section of
        the one build whether the bits are the same. Raises what `build_image` raises."""
        preparation, listener, clock = published.preparation, self.services.listener, self.services.clock
        plan = preparation.plan
        started, name = clock.elapsed(), secrets.token_hex(8)
        _, first = self.workplace(preparation.lock)
        listener(PhaseStarted("verify"))
        with first.scratch.folder() as folder:
            sandbox = Sandbox(IdMap.for_caller(self.settings.root_id_range), folder / "tmp" / name)
            store = Store(folder / "store", sandbox, preparation.lock.source_date_epoch, folder / "tmp")
            (folder / "image").mkdir()
            names = file_names(preparation.spec)
            shelf = Shelf(folder / "published.json", folder / "image", folder / "out", names)
            with store.scratch.folder(name):
                outcome = self._execute(preparation, sandbox, store, shelf)
                steps: tuple[DifferentStep, ...] = ()
                if any(outcome.results[goal].digest != published.outcome.results[goal].digest for goal in plan.goals):
                    here = {file.step: file.path for file in published.artifacts}
                    one = side(first, plan, published.outcome.results, here, self.settings.cache_dir)
                    other = side(store, plan, outcome.results, outcome.files, folder)
                    steps = differing(plan, one, other, sandbox)
        verdict = Verdict(steps, clock.elapsed() - started)
        listener(PhaseFinished("verify", verdict.seconds, "the same bits" if verdict.equal else "other bits"))
        note_in_manifest(published.manifest, verdict)
        record = published.manifest
        self._sign({record.name: (record, sha256_file(record))}, record.parent)
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
        """Put artifacts, bills of materials and manifest into the output folder, all or none."""
        spec, output, folder = preparation.spec, preparation.output, shelf.staging
        stem = f"{spec.name}-{spec.version}"
        artifacts = tuple(_published(file, outcome, output) for file in packed_files(spec))
        for file in artifacts:
            if outcome.files[file.step] not in (shelf.wanted(file.step), shelf.staged(file.step)):
                copy_sparse(outcome.files[file.step], shelf.staged(file.step))
        layer = outcome.results[BILL].content
        assert layer is not None
        bills = _copied(dict(bill_files(layer, spec.name, spec.version)), folder)
        maps = _copied(_block_maps(spec, outcome), folder)
        enrolled = copy_enrolment(outcome, folder, stem)
        tools = (*self.tools.packages, *self.tools.format_packages)
        signers = self._signers_of_files()
        value = manifest(preparation, outcome, artifacts, maps, tools, bills, enrolled, signers, seconds)
        record, sums = output / f"{stem}.manifest.json", output / f"{stem}.sha256sums"
        (folder / record.name).write_text(dump_manifest(value))
        digests = {file.path.name: file.sha256 for file in artifacts} | maps | bills
        (folder / sums.name).write_text(checksums(digests | enrolled))
        there = {
            file.path.name: outcome.files[file.step] for file in artifacts if file.path == outcome.files[file.step]
        }
        files = {name: (there.get(name, folder / name), digest) for name, digest in digests.items()}
        files |= {path.name: (folder / path.name, sha256_file(folder / path.name)) for path in (sums, record)}
        signatures = self._sign(files, folder)
        # A signature of an earlier build is about other bytes.
        for name in (own for file in files for own in signature_names(file)):
            (output / name).unlink(missing_ok=True)
        if not enrolled:  # those of an earlier build start another image than this
            remove_enrolment(output, stem)
        publish(folder, output, (*digests, sums.name, *enrolled, *signatures, record.name))
        for file in artifacts:
            shelf.note(file.path, file.sha256)
        paths = tuple(output / name for name in bills)
        bmap = next((output / name for name in maps), None)
        return Published(artifacts, record, sums, bmap, paths, outcome, preparation, seconds)

    def _plan_name(self, spec: ImageSpec) -> str:
        return f"{self.target.os}-{self.target.dist}-{self.target.arch}-{spec.name}"

    # -- places ----------------------------------------------------------------------------------------------

    def _output(self, spec: ImageSpec) -> Path:
        target = self.target
        folder = f"{target.os}-{target.dist}-{target.arch}"
        return self.settings.work_dir / folder / "imagebuild" / spec.config_name

    def _shelf(self, preparation: Preparation, staging_folder: Path) -> Shelf:
        names = file_names(preparation.spec)
        return Shelf(self.settings.cache_dir / "published.json", staging_folder, preparation.output, names)

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
        certificates = preparation.boot_certificates
        return StepServices(
            sandbox=sandbox,
            packages=packages,
            password_hashes=hashes,
            host_files=files,
            clock=self.services.clock,
            signers=self._signers(preparation),
            certificates={c.sha256: c.der for c in certificates.all()} if certificates else {},
        )

    def _signers(self, preparation: Preparation) -> Mapping[str, Signer]:
        """The keys that the template names, opened once; a passphrase is asked for once."""
        if self._opened is None:
            spec, passphrases = preparation.spec, self.services.passphrases
            self._opened = placed_in_template(spec, lambda: boot_signers(spec, passphrases))
        return self._opened

    def _signers_of_files(self) -> tuple[FileSigner, ...]:
        if self._file_signers is None:
            self._file_signers = file_signers(self.settings.signing, self.services.passphrases)
            for signer in self._file_signers:
                if signer.development:
                    self._warn_of_development_key(signer.name)
        return self._file_signers

    def _sign(self, files: Mapping[str, tuple[Path, str]], folder: Path) -> tuple[str, ...]:
        """Signatures of `files` into `folder`, as `sign_files`; nothing where nobody is to sign."""
        signers, clock = self._signers_of_files(), self.services.clock
        if not signers:
            return ()
        started = clock.elapsed()
        self.services.listener(PhaseStarted("sign"))
        names = sign_files(files, signers, folder)
        self.services.listener(PhaseFinished("sign", clock.elapsed() - started, f"{len(names)} signatures"))
        return names


def _published(file: PackedFile, outcome: Outcome, output: Path) -> PublishedFile:
    result = outcome.results[file.step]
    return PublishedFile(output / file.name, file.artifact, file.step, result.size, result.digest)


def _block_maps(spec: ImageSpec, outcome: Outcome) -> dict[str, Path]:
    name = block_map_name(spec)
    content = outcome.results[BLOCK_MAP].content if name else None
    return {name: content / block_map.FILE} if name and content else {}


def _copied(files: Mapping[str, Path], folder: Path) -> dict[str, str]:
    """Copy files of the store to their names in `folder`; the SHA-256 of each."""
    for name, source in files.items():
        shutil.copyfile(source, folder / name)
    return {name: sha256_file(folder / name) for name in files}
