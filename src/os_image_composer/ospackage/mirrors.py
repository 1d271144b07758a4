"""Which URL a distribution's repository is read from: the settings' mirror, its own, or the build host's.

Trust does not depend on it: what counts is the pinned key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from os_image_composer.config.distribution import Distribution, RepositoryData
from os_image_composer.config.settings import RepositorySettings
from os_image_composer.config.spec import RequestedSuite
from os_image_composer.errors import UsageError
from os_image_composer.ospackage.resolve import Repository


def repositories_for(
    distribution: Distribution,
    mirrors: Mapping[str, Sequence[str]],
    host: Mapping[str, str],
    trust: Mapping[str, RepositorySettings] | None = None,
    suites: Sequence[RequestedSuite] = (),
    *,
    mirrors_needed: bool = True,
) -> tuple[Repository, ...]:
    """The distribution's repositories with their URLs. `mirrors` are the settings' by name, `host` those that the
    build host uses itself; `trust` is what the settings say by the name of a repository, or of the distribution;
    `suites` are what a template asks for beside those that are always read. Raises UsageError `no-mirror` for one that
    has none, where `mirrors_needed`."""
    found = []
    asked = {suite.codename: suite.priority for suite in suites}
    for data, priority, names in _chosen(distribution.repositories, asked):
        said = (trust or {}).get(data.name) or (trust or {}).get(distribution.dist) or RepositorySettings()
        found.append(
            Repository(
                name=data.name,
                urls=_urls(data, distribution, mirrors, host, mirrors_needed),
                suites=names,
                components=data.components,
                fingerprints=said.fingerprints or data.fingerprints,
                keyrings=(said.keyring,) if said.keyring else data.keyrings,
                priority=priority,
                key_url=None if said.keyring else data.key_url,
                accept_older_metadata=said.accept_older_metadata,
                signed_packages=data.signed_packages,
            )
        )
    return tuple(found)


def as_it_was(repository: Repository, as_of: int, snapshots: str | None, mirror: str, build_times: bool) -> Repository:
    """The repository at a time (seconds since the epoch): in an archive of snapshots, whose URL has `{date}` in it,
    where the settings name one for the mirror; else by the build times that its metadata gives. Raises UsageError
    `no-old-versions` where there is neither."""
    if snapshots is not None:
        date = datetime.fromtimestamp(as_of, UTC).strftime("%Y%m%dT%H%M%SZ")
        return replace(repository, urls=(snapshots.replace("{date}", date).rstrip("/"),), as_of=as_of)
    if build_times:
        return replace(repository, as_of=as_of)
    raise UsageError(
        "no-old-versions",
        f"{repository.name} does not keep old versions",
        cause="its metadata does not say when packages were built, and no archive of snapshots is known for it",
        hint=f"name one in the settings file: `snapshots: {{{mirror}: https://…/{{date}}}}`; the date is put in as "
        "20261031T235959Z",
    )


def _chosen(
    repositories: Sequence[RepositoryData], asked: Mapping[str, int | None]
) -> Iterator[tuple[RepositoryData, int | None, tuple[str, ...]]]:
    """The repositories in their order, each with its priority and those of its suites that are read: two entries for
    one of whose suites some got a priority of their own. One that has no suites is asked for by its own name."""
    for data in repositories:
        priorities: dict[int | None, list[str]] = {}
        for suite in data.suites or (data.name,):
            if data.enabled or suite in asked:
                own = asked.get(suite)
                priorities.setdefault(data.priority if own is None else own, []).append(suite)
        for priority, suites in priorities.items():
            yield data, priority, tuple(suites) if data.suites else ()


def _urls(
    data: RepositoryData,
    distribution: Distribution,
    mirrors: Mapping[str, Sequence[str]],
    host: Mapping[str, str],
    needed: bool,
) -> tuple[str, ...]:
    own = data.url or host.get(data.mirror)
    urls = tuple(mirrors.get(data.mirror, ())) or ((own,) if own else ())
    if not urls and needed:
        raise _no_mirror(data.name, data.mirror, distribution)
    return tuple(url.rstrip("/") for url in urls)


def check_mirrors(distribution: Distribution, repositories: Sequence[Repository]) -> None:
    """Raises UsageError `no-mirror` where one of the distribution's repositories has none."""
    mirrors = {data.name: data.mirror for data in distribution.repositories}
    for repository in repositories:
        if not repository.urls:
            raise _no_mirror(repository.name, mirrors[repository.name], distribution)


def _no_mirror(name: str, mirror: str, distribution: Distribution) -> UsageError:
    return UsageError(
        "no-mirror",
        f"no mirror is known for the repository {name} of {distribution.os} {distribution.dist}",
        cause="neither the settings nor this host's own package sources name one",
        hint=f"write `mirrors: {{{mirror}: URL}}` in the settings file, or give --mirror {mirror}=URL",
    )
