"""One suite of a repository, read whole: its signed Release verified, policy applied, indexes checked and cut."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.clock import Clock
from os_image_composer.build.events import Listener, Note
from os_image_composer.errors import FetchError
from os_image_composer.ospackage.deb.candidates import pin_of
from os_image_composer.ospackage.deb.index import index_sources
from os_image_composer.ospackage.deb.index_table import kept_table
from os_image_composer.ospackage.deb.packages import SuiteIndex
from os_image_composer.ospackage.deb.release import Release, check_release, parse_release
from os_image_composer.ospackage.kept_index import indexes, read_index
from os_image_composer.ospackage.keys import keyring_of
from os_image_composer.ospackage.lock import LockedRepository
from os_image_composer.ospackage.openpgp import Keyring, Signed, verify_cleartext, verify_detached
from os_image_composer.ospackage.resolve import Repository
from os_image_composer.ospackage.retry import first_that_works, retried
from os_image_composer.ospackage.seen import NewestDates, memory_key
from os_image_composer.ospackage.transport import Transport

FAMILY = "deb"
MAX_RELEASE = 8 << 20  # bytes; Debian's have 150 kB


@dataclass(frozen=True)
class ReadSuite:
    """`memory` is what its date is remembered by; None: not at all."""

    locked: LockedRepository
    memory: str | None
    indexes: tuple[SuiteIndex, ...]


def read_suite(
    repository: Repository,
    suite: str,
    arch: str,
    root: Path,
    transport: Transport,
    clock: Clock,
    listener: Listener,
) -> ReadSuite:
    """From the first mirror that has it as it was signed, not expired and not older than what was seen. Raises
    TrustError, MetadataError, FetchError; nothing that was refused stays under `root`. The date is noted by the
    caller, once everything was accepted."""
    what = f"{repository.name}/{suite}"
    keyring = keyring_of(repository, what, root, transport, clock.now(), listener)
    # What a repository was at another time says nothing about what it is.
    memory = memory_key(repository, suite) if repository.as_of is None else None
    newest = NewestDates(root).of(memory) if memory is not None else None
    now = clock.now() if repository.as_of is None else float(repository.as_of)

    def read(url: str, attempts: int) -> ReadSuite:
        directory = f"{url}/dists/{suite}"
        document, signed, name = _signed_release(directory, what, keyring, transport, listener, attempts)
        release = parse_release(signed.text, name)
        check_release(release, suite, name, now, None if repository.accept_older_metadata else newest)
        if newest is not None and release.date < newest:
            listener(Note("warning", f"{what}: {url} went back to older metadata, as the settings allow"))
        return ReadSuite(
            LockedRepository(
                name=what,
                url=url,
                suite=suite,
                date=release.date,
                valid_until=release.valid_until,
                metadata_sha256=hashlib.sha256(document).hexdigest(),
                signers=signed.signers,
                family=FAMILY,
                components=repository.components,
                priority=repository.priority,
            ),
            memory,
            _indexes(release, directory, repository, arch, what, root, transport, listener),
        )

    return first_that_works(repository.urls, read, what, listener)


def _indexes(
    release: Release,
    directory: str,
    repository: Repository,
    arch: str,
    what: str,
    root: Path,
    transport: Transport,
    listener: Listener,
) -> tuple[SuiteIndex, ...]:
    sources = index_sources(release, directory, repository.components, arch, what)
    pin = pin_of(release, repository.priority)
    with ThreadPoolExecutor(max_workers=max(1, min(4, len(sources)))) as pool:
        texts = list(pool.map(lambda source: read_index(source, root, transport, listener), sources))
    return tuple(
        SuiteIndex(text, what, pin, source.what, kept_table(text, source, indexes(root)))
        for text, source in zip(texts, sources, strict=True)
    )


def _signed_release(
    directory: str, what: str, keyring: Keyring, transport: Transport, listener: Listener, attempts: int
) -> tuple[bytes, Signed, str]:
    """The Release as it was fetched, what of it is signed, and its name: InRelease, or where the suite has none the
    older form, Release with its signature in Release.gpg."""
    try:
        document = _fetch(f"{directory}/InRelease", transport, listener, attempts)
    except FetchError as error:
        if error.reference != "not-found":
            raise
        error.hint = "check the mirror's URL and the suite's name"
        try:
            document = _fetch(f"{directory}/Release", transport, listener, attempts)
        except FetchError:
            raise error from None
        signature = _fetch(f"{directory}/Release.gpg", transport, listener, attempts)
        return document, verify_detached(document, signature, f"{what} Release", keyring), f"{what} Release"
    return document, verify_cleartext(document, f"{what} InRelease", keyring), f"{what} InRelease"


def _fetch(url: str, transport: Transport, listener: Listener, attempts: int) -> bytes:
    def once() -> bytes:
        with transport.open(url, limit=MAX_RELEASE) as reply:
            return b"".join(reply.chunks)

    return retried(once, url, listener, attempts=attempts)
