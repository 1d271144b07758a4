"""Which Packages files of a suite are read, and where they are."""

from __future__ import annotations

from collections.abc import Sequence

from os_image_composer.errors import MetadataError
from os_image_composer.ospackage.deb.release import Release
from os_image_composer.ospackage.kept_index import IndexSource

_FORMS = (".xz", ".gz", "")  # best first


def index_sources(
    release: Release, directory: str, components: Sequence[str], arch: str, what: str
) -> tuple[IndexSource, ...]:
    """The Packages files of the components for `arch`, and of `all` where they stand apart; `directory` is the URL of
    dists/<suite>, without a slash at its end. Raises MetadataError `no-such-index`."""
    sources = []
    for component in components:
        for one in (arch,) if release.all_in_each else (arch, "all"):
            path = f"{component}/binary-{one}/Packages"
            plain = release.files.get(path)
            packed = next((release.files[path + f] for f in _FORMS if path + f in release.files), None)
            if plain is None or packed is None:
                if one == "all":
                    continue
                raise MetadataError(
                    "no-such-index",
                    f"{what} has no component {component} for {arch}",
                    cause=f"components {' '.join(release.components)}, architectures {' '.join(release.architectures)}",
                )
            urls = [f"{directory}/{packed.path}"]
            if release.acquire_by_hash:
                urls.insert(0, f"{directory}/{packed.path.rsplit('/', 1)[0]}/by-hash/SHA256/{packed.sha256}")
            sources.append(
                IndexSource(
                    what=f"{what} {path}",
                    urls=tuple(urls),
                    form=packed.path.removeprefix(path),
                    packed_sha256=packed.sha256,
                    packed_size=packed.size,
                    plain_sha256=plain.sha256,
                    plain_size=plain.size,
                    signed_by="Release",
                )
            )
    return tuple(sources)
