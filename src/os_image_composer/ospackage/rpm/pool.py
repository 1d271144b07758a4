"""The packages of all repositories in a libsolv pool, which knows rpm's versions and relations.

libsolv reads primary.xml itself, a hundred times as fast as Python could; only what is asked for is looked at here.
File lists are large and seldom needed, so they are read only when something reachable depends on a file that
primary.xml does not list (createrepo_c lists /etc/*, *bin/* and /usr/lib/sendmail there).
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import solv

from os_image_composer.errors import MetadataError, TrustError
from os_image_composer.ospackage.lock import LockedPackage
from os_image_composer.ospackage.rpm.package import source_of
from os_image_composer.ospackage.rpm.repository import ReadRepository

DEFAULT_PRIORITY = 500
_PATH = re.compile(r"(?:^|(?<=[( ]))/[^ ()]*")
_IN_PRIMARY = re.compile(r"/etc/.*|.*bin/.*|/usr/lib/sendmail")
_SAFE_PATH = re.compile(r"(?!/)(?!.*(?:^|/)\.\.(?:/|$))[\x21-\x7e]+")
# These become file names and arguments, so nothing else may be in them.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+.-]*")
_EVR = re.compile(r"(?:[0-9]+:)?[A-Za-z0-9_.+~^]+-[A-Za-z0-9_.+~^]+")
_ARCH = re.compile(r"[a-z][a-z0-9_]*")
_NEVER = ("src", "nosrc")


class PackagePool:
    """What the repositories offer for `arch`, and for other architectures only as far as `allow` is called. What was
    built after a repository's `as_of` is not offered."""

    def __init__(self, repositories: Sequence[ReadRepository], arch: str) -> None:
        self.repositories = tuple(repositories)
        self.arch = arch
        self.pool = solv.Pool()
        self.pool.setdisttype(solv.Pool.DISTTYPE_RPM)  # the wheel's default is its build host's
        self.pool.setarch(arch)
        # As dnf's libsolv is compiled: the 32-bit and the 64-bit package of one name do not replace each other.
        self.pool.set_flag(solv.Pool.POOL_FLAG_IMPLICITOBSOLETEUSESCOLORS, 1)
        self.pool.set_flag(solv.Pool.POOL_FLAG_OBSOLETEUSESCOLORS, 1)
        self._repos = {}
        for repository in self.repositories:
            repo = self.pool.add_repo(repository.locked.name)
            repo.priority = (repository.priority or DEFAULT_PRIORITY) - DEFAULT_PRIORITY
            self._repos[repository.locked.name] = repo
            self._add(repository, "primary", None, 0)
        self._file_lists = False
        self._arches = {arch, "noarch"}
        self._later = frozenset(self._built_later())
        self._not_kept: frozenset[int] = frozenset()
        self._prepare()

    def allow(self, arches: Iterable[str]) -> None:
        """Offer packages of these architectures from now on, and of no others beside the pool's own."""
        wanted = {self.arch, "noarch", *arches}
        if wanted != self._arches:
            self._arches = wanted
            self._consider()

    def keep(self, versions: Mapping[str, str]) -> None:
        """Offer of each of these names only the packages of that version, as far as there are any, or only the newest
        where the version is empty; of all other names everything again."""
        hidden: set[int] = set()
        self._not_kept = frozenset()
        for name, version in versions.items():
            there = self.named(name)
            if there and not version:
                version = version_of(max(there, key=functools.cmp_to_key(_by_version)))
            if any(version_of(s) == version for s in there):
                hidden.update(s.id for s in there if version_of(s) != version)
        self._not_kept = frozenset(hidden)
        self._consider()

    def built_later(self, name: str) -> list[solv.XSolvable]:
        """The packages of this name that are not offered because they were built too late."""
        found = self.pool.select(name, solv.Selection.SELECTION_NAME)
        return [s for s in found.solvables() if s.id in self._later]

    def names(self) -> set[str]:
        return {solvable.name for solvable in self.offered()}

    def offered(self) -> Iterator[solv.XSolvable]:
        return (s for s in self.pool.solvables if self._offers(s))

    def named(self, name: str) -> list[solv.XSolvable]:
        """Every package of this name, of the offered architectures."""
        found = self.pool.select(name, solv.Selection.SELECTION_NAME)
        return [s for s in found.solvables() if self._offers(s)]

    def providing(self, name: str) -> list[solv.XSolvable]:
        """Every package that has the name or path among its Provides, or among the files of primary.xml."""
        return [s for s in self.pool.whatprovides(self.pool.Dep(name)) if self._offers(s)]

    def holding(self, path: str) -> list[solv.XSolvable]:
        """Every package with a file of this absolute path."""
        if not _IN_PRIMARY.fullmatch(path):
            self.read_file_lists()
        found = self.pool.select(path, solv.Selection.SELECTION_FILELIST)
        return [s for s in found.solvables() if self._offers(s)]

    def like_file(self, path: str) -> Iterator[str]:
        """Absolute paths of files that may be meant by one that nobody has: in any folder under the same name, then all
        of the same folder; of what is not in primary.xml only where file lists were read."""
        folder, slash, name = path.rpartition("/")
        ends, begins, whole = (getattr(solv.Dataiterator, f"SEARCH_{k}") for k in ("STRINGEND", "STRINGSTART", "FILES"))
        for text, how in ((f"/{name}", ends), (f"{folder}{slash}", begins)):
            for found in self.pool.Dataiterator(solv.SOLVABLE_FILELIST, text, how | whole):
                if self._offers(found.solvable):
                    yield str(found.str)

    def obsoleting(self, packages: Sequence[solv.XSolvable]) -> list[solv.XSolvable]:
        """Every package with an Obsoletes on one of these, by its name: rpm does not look at Provides there."""
        found = {}
        for package in packages:
            for other in self.pool.whatmatchessolvable(solv.SOLVABLE_OBSOLETES, package):
                relations = other.lookup_deparray(solv.SOLVABLE_OBSOLETES)
                if self._offers(other) and any(package.matchesdep(solv.SOLVABLE_NAME, r) for r in relations):
                    found[other.id] = other
        return list(found.values())

    def read_file_lists(self) -> bool:
        """Whether there was something left to read."""
        if self._file_lists:
            return False
        self._file_lists = True
        for repository in self.repositories:
            self._add(repository, "filelists", "FL", solv.Repo.REPO_EXTEND_SOLVABLES)
        self._prepare()
        return True

    def lacks_file_lists(self, start: Iterable[solv.XSolvable]) -> bool:
        """Whether anything that could come with these packages depends on a file that only file lists tell of."""
        if self._file_lists:
            return False
        seen_relations: set[int] = set()
        seen = {s.id for s in start}
        queue = list(seen)
        while queue:
            solvable = self.pool.id2solvable(queue.pop())
            for kind in (solv.SOLVABLE_REQUIRES, solv.SOLVABLE_CONFLICTS):
                for relation in solvable.lookup_deparray(kind):
                    if relation.id in seen_relations:
                        continue
                    seen_relations.add(relation.id)
                    if any(not _IN_PRIMARY.fullmatch(path) for path in _PATH.findall(str(relation))):
                        return True
                    if kind == solv.SOLVABLE_REQUIRES:
                        fresh = [s.id for s in self.pool.whatprovides(relation) if s.id not in seen]
                        seen.update(fresh)
                        queue += fresh
        return False

    def locked(self, chosen: Sequence[int]) -> Callable[[int], LockedPackage]:
        """What makes locked packages of the solvables with these ids. Raises MetadataError `bad-index`, TrustError
        `weak-digest` for an entry that cannot be one."""
        names = {number: self.pool.id2solvable(number).name for number in chosen}

        def depends(solvable: solv.XSolvable) -> tuple[str, ...]:
            found = set()
            for relation in solvable.lookup_deparray(solv.SOLVABLE_REQUIRES):
                meeting = sorted(names[s.id] for s in self.pool.whatprovides(relation) if s.id in names)
                found.update(meeting[:1])
            return tuple(sorted(found - {solvable.name}))

        def one(number: int) -> LockedPackage:
            solvable = self.pool.id2solvable(number)
            return _locked(solvable, depends(solvable))

        return one

    def _add(self, repository: ReadRepository, kind: str, language: str | None, flags: int) -> None:
        text = repository.primary if kind == "primary" else repository.index(kind)
        descriptor = os.memfd_create(f"{kind}.xml", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "w+b") as file:
            file.write(text)
            file.seek(0)
            opened = solv.xfopen_fd(f"{kind}.xml", os.dup(file.fileno()))
            name = repository.locked.name
            good = self._repos[name].add_rpmmd(opened, language, flags)
            opened.close()
        if not good:
            raise MetadataError(
                "bad-index", f"{name} {kind} cannot be read", cause=self.pool.errstr or "it is not repository metadata"
            )

    def _prepare(self) -> None:
        self.pool.addfileprovides()
        self.pool.createwhatprovides()
        self._consider()

    def _consider(self) -> None:
        self.pool.set_considered_list([s.id for s in self.pool.solvables if self._offers(s)])

    def _offers(self, solvable: solv.XSolvable) -> bool:
        return solvable.arch in self._arches and solvable.id not in self._later and solvable.id not in self._not_kept

    def _built_later(self) -> Iterator[int]:
        for repository in self.repositories:
            if repository.as_of is not None:
                for solvable in self._repos[repository.locked.name].solvables_iter():
                    # 0: the metadata does not say, and what is not known to be old is not taken for it.
                    if not 0 < solvable.lookup_num(solv.SOLVABLE_BUILDTIME) <= repository.as_of:
                        yield solvable.id


def _by_version(one: solv.XSolvable, other: solv.XSolvable) -> int:
    return int(one.evrcmp(other))


def version_of(solvable: solv.XSolvable) -> str:
    """`epoch:version-release`, without an epoch that is 0."""
    return str(solvable.evr).removeprefix("0:")


def _locked(solvable: solv.XSolvable, depends: tuple[str, ...]) -> LockedPackage:
    name, version, arch, repository = solvable.name, version_of(solvable), solvable.arch, solvable.repo.name
    path = (solvable.lookup_location() or ("",))[0] or ""
    cause = None
    if not _NAME.fullmatch(name) or not _EVR.fullmatch(version) or not _ARCH.fullmatch(arch) or arch in _NEVER:
        cause = "no usable name, version and architecture"
    elif not _SAFE_PATH.fullmatch(path) or solvable.lookup_str(solv.SOLVABLE_MEDIABASE):
        cause = f"its file is at {path[:80]!r}, which is not below the repository"
    elif not solvable.lookup_num(solv.SOLVABLE_DOWNLOADSIZE):
        cause = "it has no size"
    if cause:
        raise MetadataError("bad-index", f"{repository}: the entry of {name[:80]} is malformed", cause=cause)
    return LockedPackage(
        name=name,
        version=version,
        arch=arch,
        repository=repository,
        path=path,
        size=solvable.lookup_num(solv.SOLVABLE_DOWNLOADSIZE),
        sha256=_sha256(solvable),
        installed_size=solvable.lookup_num(solv.SOLVABLE_INSTALLSIZE),
        essential=False,
        source=source_of(solvable.lookup_sourcepkg() or ""),
        depends=depends,
    )


def _sha256(solvable: solv.XSolvable) -> str:
    checksum = solvable.lookup_checksum(solv.SOLVABLE_CHECKSUM)
    if checksum is None or checksum.typestr() != "sha256":
        raise TrustError(
            "weak-digest",
            f"{solvable.repo.name} gives no SHA-256 of {solvable.name}",
            cause=f"checksum of type {checksum.typestr() if checksum else '(none)'}",
            hint="createrepo_c --checksum sha256 makes one",
        )
    return str(checksum.hex())
