"""One repository, read: repomd.xml verified by its detached signature, indexes fetched and checked when asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.build.clock import Clock
from os_image_composer.build.events import Listener, Note
from os_image_composer.errors import FetchError, TrustError
from os_image_composer.ospackage.kept_index import IndexSource, read_index
from os_image_composer.ospackage.keys import keyring_of
from os_image_composer.ospackage.lock import LockedRepository
from os_image_composer.ospackage.openpgp import verify_detached
from os_image_composer.ospackage.resolve import Repository
from os_image_composer.ospackage.retry import first_that_works, retried
from os_image_composer.ospackage.rpm.repomd import MAX_REPOMD, Repomd, check_date, parse_repomd
from os_image_composer.ospackage.rpm.xml import refuse_document_type
from os_image_composer.ospackage.seen import NewestDates, memory_key
from os_image_composer.ospackage.transport import Transport

FAMILY = "rpm"
MAX_SIGNATURE = 1 << 20  # bytes


@dataclass(frozen=True)
class ReadRepository:
    """A repository whose repomd.xml was verified; `primary` is the plain text of that index, `memory` is what the
    date is remembered by; of packages built after `as_of` (seconds since the epoch) nothing is to be taken."""

    locked: LockedRepository
    priority: int | None
    as_of: int | None
    memory: str
    urls: tuple[str, ...]
    primary: bytes
    _repomd: Repomd
    _root: Path
    _transport: Transport
    _listener: Listener

    def index(self, kind: str) -> bytes:
        """The plain text of a further index, such as `filelists`. Raises MetadataError, TrustError, FetchError."""
        source = self._repomd.source(kind, self.urls, self.locked.name)
        return _read(source, self._root, self._transport, self._listener)


def read_repository(
    repository: Repository, root: Path, transport: Transport, clock: Clock, listener: Listener
) -> ReadRepository:
    """From the first mirror that has it as it was signed and not older than what was seen. Raises TrustError,
    MetadataError, FetchError; `root` is the metadata cache. The date is noted by the caller, once everything was
    accepted."""
    name = repository.name
    what = f"{name} repomd.xml"
    keyring = keyring_of(repository, name, root, transport, clock.now(), listener)
    memory = memory_key(repository, "")
    newest = NewestDates(root).of(memory)

    def read(url: str, attempts: int) -> ReadRepository:
        document = _fetch(f"{url}/repodata/repomd.xml", MAX_REPOMD, transport, listener, attempts)
        signature = _fetch_signature(f"{url}/repodata/repomd.xml.asc", what, transport, listener, attempts)
        signed = verify_detached(document, signature, what, keyring)
        repomd = parse_repomd(signed.text, what)
        check_date(repomd, what, clock.now(), None if repository.accept_older_metadata else newest)
        if newest is not None and repomd.date < newest:
            listener(Note("warning", f"{what}: {url} went back to older metadata, as the settings allow"))
        locked = LockedRepository(
            name=name,
            url=url,
            suite="",
            date=repomd.date,
            valid_until=None,
            metadata_sha256=hashlib.sha256(document).hexdigest(),
            signers=signed.signers,
            family=FAMILY,
            priority=repository.priority,
        )
        primary = _read(repomd.source("primary", (url,), name), root, transport, listener)
        urls = (url, *(other for other in repository.urls if other != url))
        return ReadRepository(
            locked, repository.priority, repository.as_of, memory, urls, primary, repomd, root, transport, listener
        )

    return first_that_works(repository.urls, read, what, listener)


def _read(source: IndexSource, root: Path, transport: Transport, listener: Listener) -> bytes:
    text = read_index(source, root, transport, listener)
    refuse_document_type(text, source.what)
    return text


def _fetch_signature(url: str, what: str, transport: Transport, listener: Listener, attempts: int) -> bytes:
    try:
        return _fetch(url, MAX_SIGNATURE, transport, listener, attempts)
    except FetchError as error:
        if error.reference != "not-found":
            raise
        raise TrustError(
            "not-signed",
            f"{what} is not signed",
            cause=f"{url} does not exist",
            hint="a mirror must hold repomd.xml.asc beside repomd.xml; where the vendor makes none, one of your own "
            "signs what it serves: see docs/rpm.md, From a mirror",
        ) from error


def _fetch(url: str, limit: int, transport: Transport, listener: Listener, attempts: int) -> bytes:
    def once() -> bytes:
        with transport.open(url, limit=limit) as reply:
            return b"".join(reply.chunks)

    try:
        return retried(once, url, listener, attempts=attempts)
    except FetchError as error:
        if error.reference == "not-found":
            error.hint = "check the mirror's URL: it must lead to the folder that holds repodata"
        raise
