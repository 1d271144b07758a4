"""Which URL a distribution's repository is read from: the settings' mirror, its own, or the build host's.

Trust does not depend on it: what counts is the pinned key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from os_image_composer.config.distribution import Distribution, RepositoryData
from os_image_composer.config.settings import RepositorySettings
from os_image_composer.errors import UsageError
from os_image_composer.ospackage.resolve import Repository


def repositories_for(
    distribution: Distribution,
    mirrors: Mapping[str, Sequence[str]],
    host: Mapping[str, str],
    trust: Mapping[str, RepositorySettings] | None = None,
) -> tuple[Repository, ...]:
    """The distribution's repositories with their URLs. `mirrors` are the settings' by name, `host` those that the
    build host uses itself; `trust` is what the settings say by the name of a repository, or of the distribution.
    Raises UsageError `no-mirror`."""
    found = []
    for data in distribution.repositories:
        said = (trust or {}).get(data.name) or (trust or {}).get(distribution.dist) or RepositorySettings()
        found.append(
            Repository(
                name=data.name,
                urls=_urls(data, distribution, mirrors, host),
                suites=data.suites,
                components=data.components,
                fingerprints=said.fingerprints or data.fingerprints,
                keyrings=(said.keyring,) if said.keyring else data.keyrings,
                priority=data.priority,
                key_url=None if said.keyring else data.key_url,
                accept_older_metadata=said.accept_older_metadata,
                signed_packages=data.signed_packages,
            )
        )
    return tuple(found)


def _urls(
    data: RepositoryData, distribution: Distribution, mirrors: Mapping[str, Sequence[str]], host: Mapping[str, str]
) -> tuple[str, ...]:
    own = data.url or host.get(data.mirror)
    urls = tuple(mirrors.get(data.mirror, ())) or ((own,) if own else ())
    if not urls:
        raise UsageError(
            "no-mirror",
            f"no mirror is known for the repository {data.name} of {distribution.os} {distribution.dist}",
            cause="neither the settings nor this host's own package sources name one",
            hint=f"write `mirrors: {{{data.mirror}: URL}}` in the settings file, or give --mirror {data.mirror}=URL",
        )
    return tuple(url.rstrip("/") for url in urls)
