"""Whether a lock is one for a template: what it was made for against what is asked for now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from os_image_composer.config.spec import ImageSpec, package_key
from os_image_composer.errors import Finding, TrustError
from os_image_composer.ospackage.lock_file import LockFile
from os_image_composer.ospackage.resolve import Repository, SetRequest
from os_image_composer.ospackage.tools_archive import FORMAT_TOOLS, TOOLS


@dataclass(frozen=True)
class Asked:
    """What a lock is to answer: `repositories` are those of the image, `others` those of its image tools alone."""

    requests: tuple[SetRequest, ...]
    repositories: tuple[Repository, ...]
    others: tuple[Repository, ...]


def differences(file: LockFile, spec: ImageSpec, asked: Asked) -> tuple[Finding, ...]:
    """What the lock was made for and the template does not ask for, and the other way round, each with its place in
    the lock or in the template. Where packages come from (mirrors) is no difference; which repositories and suites
    they are chosen from is."""
    packages = (finding for request in asked.requests for finding in _packages(file, spec, request))
    return (*_target(file, spec), *packages, *_repositories(file, asked.repositories))


def check_signers(file: LockFile, asked: Asked) -> None:
    """Raises TrustError `no-pinned-key`, and `lock-signer` for a repository whose metadata, as the lock has it, was
    signed by no key that is pinned for it now."""
    pinned = {name: repository for repository in (*asked.repositories, *asked.others) for name in _rows(repository)}
    for locked in file.lock.repositories:
        repository = pinned.get(locked.name)
        if repository is None:
            continue
        if not repository.fingerprints:
            raise TrustError(
                "no-pinned-key",
                f"no key is pinned for {locked.name}",
                cause=f"the lock has it signed by {', '.join(locked.signers) or 'nobody'}",
                hint="ask the vendor for the fingerprint by another way than the network, and write it into the "
                f"settings file: `repositories: {{{repository.name}: {{fingerprints: [40 hex digits]}}}}`",
                origin=file.repository_origin(locked.name, "signers"),
            )
        if not {f.lower() for f in repository.fingerprints} & set(locked.signers):
            raise TrustError(
                "lock-signer",
                f"{locked.name} in the lock was signed by no key that is pinned for it",
                cause=f"signed by {', '.join(locked.signers) or 'nobody'}, "
                f"pinned is {', '.join(f.lower() for f in repository.fingerprints)}",
                hint="see in the history of the lock who changed it; after a change of keys make it anew: "
                "os-image-composer lock --update TEMPLATE",
                origin=file.repository_origin(locked.name, "signers"),
            )


def _target(file: LockFile, spec: ImageSpec) -> Iterator[Finding]:
    target = spec.target
    for key, ours, its in (
        ("os", target.os, file.lock.os),
        ("dist", target.dist, file.lock.dist),
        ("arch", target.arch, file.lock.arch),
    ):
        if ours != its:
            message = f"the lock is for {key} {its}, the template for {ours}"
            yield Finding("other-target", message, file.origin(key))


def _packages(file: LockFile, spec: ImageSpec, request: SetRequest) -> Iterator[Finding]:
    locked = file.lock.sets.get(request.name)
    if locked is None:
        yield Finding("not-locked", f"the lock has no packages for {request.name}", file.origin("sets"))
        return
    place = f"sets.{request.name}"
    wanted = {text: group.label for group in request.groups for text in group.packages}
    for text, label in wanted.items():
        its = next((group.label for group in locked.asked if text in group.packages), None)
        origin = spec.origin(package_key(text)) if request.name == "image" else file.origin(f"{place}.asked")
        if its is None:
            yield Finding("not-locked", f"{_who(request)} asks for {text}, the lock was made without it", origin)
        elif its != label:
            message = f"{text} is asked for by {label}, when the lock was made it was by {its}"
            yield Finding("locked-otherwise", message, origin)
    for number, group in enumerate(locked.asked):
        for text in group.packages:
            if text not in wanted:
                where = file.origin(("sets", request.name, "asked", number, "packages", text))
                message = f"the lock was made for {text} as well, which {_who(request)} does not ask for"
                yield Finding("locked-too-much", message, where)
    if locked.weak_dependencies != request.weak_dependencies:
        how = "with" if locked.weak_dependencies else "without"
        message = f"the lock was made {how} what packages only recommend, the template says otherwise"
        yield Finding("locked-otherwise", message, file.origin(f"{place}.weakDependencies"))


def _who(request: SetRequest) -> str:
    return "the template" if request.name == "image" else f"the distribution's data for {request.name}"


def _repositories(file: LockFile, repositories: Sequence[Repository]) -> Iterator[Finding]:
    """Where the image tools come from is no question here: an archive or a bundle may bring the very same packages."""
    users = {r.name: set[str]() for r in file.lock.repositories}
    for name, packages in file.lock.sets.items():
        for package in packages.packages():
            users[package.repository].add(name)
    wanted = {name: repository for repository in repositories for name in _rows(repository)}
    locked = {repository.name: repository for repository in file.lock.repositories}
    for name, repository in wanted.items():
        its = locked.get(name)
        if its is None:
            message = f"packages are chosen from {name} too, which the lock was made without"
            yield Finding("not-locked", message, file.origin("repositories"))
        elif (its.priority, its.components) != (repository.priority, repository.components):
            message = f"{name} has other components or another priority than when the lock was made"
            yield Finding("locked-otherwise", message, file.repository_origin(name))
    for name in locked:
        # A suite that no package is from makes no difference, nor where the image tools are from.
        if name not in wanted and users[name] - {TOOLS, FORMAT_TOOLS}:
            message = f"the lock was made with {name}, from which no packages are chosen now"
            yield Finding("locked-too-much", message, file.repository_origin(name))


def _rows(repository: Repository) -> tuple[str, ...]:
    """The names under which a lock has the repository: each suite is one."""
    return tuple(f"{repository.name}/{suite}" for suite in repository.suites) or (repository.name,)
