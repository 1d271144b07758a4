"""Which URL a distribution's repository is read from: the settings' mirror, its own, or the build host's.

Trust does not depend on it: what counts is the pinned key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from os_image_composer.config.distribution import Distribution, RepositoryData
from os_image_composer.errors import UsageError
from os_image_composer.ospackage.resolve import Repository


def repositories_for(
    distribution: Distribution,
    mirrors: Mapping[str, str],
    host: Mapping[str, str],
    keyrings: Sequence[Path] = (),
) -> tuple[Repository, ...]:
    """The distribution's repositories with their URLs. `mirrors` are the settings' by name, `host` those that the
    build host uses itself; `keyrings` of the settings replace the data's. Raises UsageError `no-mirror`."""
    return tuple(
        Repository(
            name=data.name,
            url=_url(data, distribution, mirrors, host).rstrip("/"),
            suites=data.suites,
            components=data.components,
            fingerprints=data.fingerprints,
            keyrings=tuple(keyrings) or data.keyrings,
            priority=data.priority,
        )
        for data in distribution.repositories
    )


def _url(data: RepositoryData, distribution: Distribution, mirrors: Mapping[str, str], host: Mapping[str, str]) -> str:
    url = mirrors.get(data.mirror) or data.url or host.get(data.mirror)
    if url is None:
        raise UsageError(
            "no-mirror",
            f"no mirror is known for the repository {data.name} of {distribution.os} {distribution.dist}",
            cause="neither the settings nor this host's own package sources name one",
            hint=f"write `mirrors: {{{data.mirror}: URL}}` in the settings file, or give --mirror {data.mirror}=URL",
        )
    return url
