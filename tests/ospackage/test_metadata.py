"""What is refused when repository metadata is read, and that nothing of it stays."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from os_image_composer.errors import ComposerError, FetchError, MetadataError, TrustError
from os_image_composer.ospackage.openpgp import Keyring, load_keyring, verify_cleartext, verify_detached
from support.deb_repository import NOW, DebRepository, Server, SigningKey, deb, with_signatures

from .conftest import Resolve

DAY = 86400


def files_below(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file()] if folder.exists() else []


def refused(resolve: Resolve, reference: str, kind: type[ComposerError], metadata: Path) -> ComposerError:
    with pytest.raises(kind) as caught:
        resolve("hello")
    assert caught.value.reference == reference
    assert files_below(metadata) == []
    return caught.value


def test_signed_repository_gives_packages_with_url_digest_and_signer(
    repository: DebRepository, resolve: Resolve
) -> None:
    package = deb("hello", depends="libhello (>= 1)")
    repository.add(package, deb("libhello"), deb("other")).write()
    found = resolve("hello")
    hello, library = found.sets["image"].packages()
    assert (hello.name, hello.depends, library.name) == ("hello", ("libhello",), "libhello")
    assert hello.sha256 == hashlib.sha256(package.data).hexdigest()
    assert found.repositories[0].signers == (repository.key.fingerprint,)
    assert found.repositories[0].date == found.source_date_epoch == int(NOW)
    assert found.repositories[0].name == hello.repository == "test/stable"


def older_form(repository: DebRepository, key: SigningKey) -> bytes:
    """The suite with Release and Release.gpg, signed by `key`, in place of InRelease; gives the signed text."""
    signed = repository.inrelease.read_bytes()
    text = verify_cleartext(signed, "it", Keyring((repository.key.certificate,), (repository.key.fingerprint,))).text
    (repository.directory / "Release").write_bytes(text)
    (repository.directory / "Release.gpg").write_bytes(key.detached(text))
    repository.inrelease.unlink()
    return text


def test_suite_without_inrelease_is_read_by_its_release_and_detached_signature(
    repository: DebRepository, resolve: Resolve
) -> None:
    repository.add(deb("hello")).write()
    text = older_form(repository, repository.key)
    (locked,) = resolve("hello").repositories
    assert locked.signers == (repository.key.fingerprint,)
    assert locked.metadata_sha256 == hashlib.sha256(text).hexdigest()


def test_detached_signature_of_another_key_or_over_another_text_is_refused(
    repository: DebRepository, resolve: Resolve, metadata: Path
) -> None:
    repository.add(deb("hello")).write()
    text = older_form(repository, SigningKey("Another"))
    refused(resolve, "unknown-signer", TrustError, metadata)
    (repository.directory / "Release.gpg").write_bytes(repository.key.detached(text + b"x"))
    refused(resolve, "bad-signature", TrustError, metadata)
    (repository.directory / "Release.gpg").unlink()
    refused(resolve, "not-found", FetchError, metadata)


def test_changed_byte_in_inrelease_is_refused(repository: DebRepository, resolve: Resolve, metadata: Path) -> None:
    repository.add(deb("hello")).write()
    repository.inrelease.write_bytes(repository.inrelease.read_bytes().replace(b"Origin: Test", b"Origin: Tesu"))
    refused(resolve, "bad-signature", TrustError, metadata)


def test_unsigned_inrelease_is_refused(repository: DebRepository, resolve: Resolve, metadata: Path) -> None:
    repository.add(deb("hello")).write()
    repository.inrelease.write_text("Suite: stable\n")
    refused(resolve, "not-signed", TrustError, metadata)


def test_text_outside_the_signature_is_refused(repository: DebRepository, resolve: Resolve, metadata: Path) -> None:
    repository.add(deb("hello")).write()
    good = repository.inrelease.read_bytes()
    for wrong in (b"Suite: other\n" + good, good + b"\nSuite: other\n", good + good):
        repository.inrelease.write_bytes(wrong)
        with pytest.raises(TrustError):
            resolve("hello")
    assert files_below(metadata) == []


def test_key_in_the_keyring_that_is_not_pinned_is_not_trusted(
    repository: DebRepository, resolve: Resolve, metadata: Path
) -> None:
    repository.add(deb("hello")).write()
    pinned, signing = SigningKey("Pinned"), repository.key
    repository.keyring.write_bytes(bytes(pinned.certificate) + bytes(signing.certificate))
    described = repository.described(repository.root.as_uri(), fingerprints=(pinned.fingerprint,))
    with pytest.raises(TrustError) as caught:
        resolve("hello", described=described)
    assert caught.value.reference == "unknown-signer"
    assert pinned.fingerprint in str(caught.value.cause)
    assert files_below(metadata) == []


def test_missing_key_names_the_setting_that_gives_one(
    repository: DebRepository, resolve: Resolve, metadata: Path
) -> None:
    repository.add(deb("hello")).write()
    repository.keyring.unlink()
    error = refused(resolve, "key-not-found", TrustError, metadata)
    assert "repositories: {test: {keyring: FILE}}" in str(error.hint)


def test_key_is_fetched_from_its_address_once_and_counts_only_when_it_is_pinned(
    repository: DebRepository, resolve: Resolve, server: Server, metadata: Path
) -> None:
    repository.add(deb("hello")).write()
    address = f"{server.url}/keyring.pgp"
    described = replace(repository.described(server.url), keyrings=(), key_url=address)
    assert resolve("hello", described=described).repositories[0].signers == (repository.key.fingerprint,)
    resolve("hello", described=described)
    assert [path for path, _ in server.requests].count("/keyring.pgp") == 1
    other = replace(described, fingerprints=(SigningKey().fingerprint.upper(),))
    with pytest.raises(TrustError) as caught:
        resolve("hello", described=other)
    assert caught.value.reference == "key-not-found"


def test_key_s_address_that_gives_nothing_is_told_with_the_setting_that_does_without_it(
    repository: DebRepository, resolve: Resolve, server: Server
) -> None:
    """Another mirror, which the refusal of a transport names, would not help."""
    repository.add(deb("hello")).write()
    described = replace(repository.described(server.url), keyrings=(), key_url=f"{server.url}/gone.asc")
    with pytest.raises(FetchError) as caught:
        resolve("hello", described=described)
    assert "gone.asc" in caught.value.message
    assert f"a file with the key {repository.key.fingerprint.upper()} does as well" in str(caught.value.hint)
    assert "`repositories: {test: {keyring: FILE}}`" in str(caught.value.hint)


def test_armoured_key_at_an_address_is_read(repository: DebRepository, resolve: Resolve, server: Server) -> None:
    repository.add(deb("hello")).write()
    (repository.root / "key.asc").write_text(str(repository.key.certificate))
    described = replace(repository.described(server.url), keyrings=(), key_url=f"{server.url}/key.asc")
    assert resolve("hello", described=described).repositories[0].signers == (repository.key.fingerprint,)


def test_repository_whose_fingerprint_nobody_pinned_is_refused_with_the_setting(
    repository: DebRepository, resolve: Resolve, server: Server, metadata: Path
) -> None:
    repository.add(deb("hello")).write()
    described = replace(repository.described(server.url), fingerprints=(), key_url=f"{server.url}/keyring.pgp")
    with pytest.raises(TrustError) as caught:
        resolve("hello", described=described)
    assert caught.value.reference == "no-pinned-key"
    assert "repositories: {test: {fingerprints:" in str(caught.value.hint)
    assert server.requests == []
    assert files_below(metadata) == []


def test_expired_key_is_refused(repository: DebRepository, resolve: Resolve) -> None:
    key = SigningKey(validity_seconds=DAY)
    repository.key = key
    repository.add(deb("hello")).write()
    assert key.certificate.expiration is not None
    later = key.certificate.expiration.timestamp() + 1
    with pytest.raises(TrustError) as caught:
        resolve("hello", now=later)
    assert caught.value.reference == "key-expired"


def test_revoked_key_is_refused(repository: DebRepository, resolve: Resolve, metadata: Path) -> None:
    repository.add(deb("hello")).write()
    certificate, secret = repository.key.certificate, repository.key.secret
    revocation = certificate.revoke(secret.certifier())
    repository.keyring.write_bytes(bytes(certificate) + bytes(revocation))
    refused(resolve, "key-revoked", TrustError, metadata)


def test_further_unknown_signers_are_recorded_and_no_error(tmp_path: Path) -> None:
    text, ours, theirs = b"Suite: stable\n", SigningKey("Ours"), SigningKey("Theirs")
    document = with_signatures(theirs.cleartext(text), ours.cleartext(text))
    keyring = _keyring(tmp_path, ours)
    signed = verify_cleartext(document, "test", keyring)
    assert signed.text == text
    assert signed.signers[0] == ours.fingerprint
    assert len(signed.signers) == 2


def _keyring(folder: Path, *keys: SigningKey) -> Keyring:
    file = folder / "keys.pgp"
    file.write_bytes(b"".join(bytes(k.certificate) for k in keys))
    return load_keyring("test", [k.fingerprint for k in keys], [file], NOW)


def test_detached_signature_covers_every_byte(tmp_path: Path) -> None:
    key = SigningKey()
    data = b"<repomd/>"
    signature = key.detached(data)
    assert verify_detached(data, signature, "repomd", _keyring(tmp_path, key)).signers == (key.fingerprint,)
    with pytest.raises(TrustError) as caught:
        verify_detached(data + b" ", signature, "repomd", _keyring(tmp_path, key))
    assert caught.value.reference == "bad-signature"
    with pytest.raises(TrustError) as caught:
        verify_detached(data, signature, "repomd", _keyring(tmp_path, SigningKey()))
    assert caught.value.reference == "unknown-signer"


@pytest.mark.parametrize("by_hash", [True, False])
def test_changed_byte_in_the_index_is_refused(
    repository: DebRepository, resolve: Resolve, metadata: Path, by_hash: bool
) -> None:
    repository.by_hash = by_hash
    repository.add(deb("hello")).write()
    for file in repository.directory.rglob("*"):
        if file.is_file() and file != repository.inrelease:
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(bytes(data))
    refused(resolve, "wrong-bytes", TrustError, metadata)


def test_index_that_is_not_offered_by_hash_is_read_by_its_name(repository: DebRepository, resolve: Resolve) -> None:
    repository.add(deb("hello")).write()
    for file in repository.directory.rglob("by-hash/SHA256/*"):
        file.unlink()
    assert [p.name for p in resolve("hello").sets["image"].packages()] == ["hello"]


@pytest.mark.parametrize("form", ["", ".gz", ".xz"])
def test_index_is_read_in_each_form(repository: DebRepository, resolve: Resolve, form: str) -> None:
    repository.forms = (form,)  # type: ignore[assignment]
    repository.add(deb("hello")).write()
    assert [p.name for p in resolve("hello").sets["image"].packages()] == ["hello"]


def test_expired_metadata_is_refused(repository: DebRepository, resolve: Resolve, metadata: Path) -> None:
    repository.valid_until = NOW + 30
    repository.add(deb("hello")).write()
    refused(resolve, "metadata-expired", MetadataError, metadata)


def test_metadata_of_the_future_is_refused(repository: DebRepository, resolve: Resolve, metadata: Path) -> None:
    repository.date = NOW + DAY
    repository.add(deb("hello")).write()
    refused(resolve, "metadata-not-yet-valid", MetadataError, metadata)


def test_metadata_older_than_what_was_seen_is_refused(repository: DebRepository, resolve: Resolve) -> None:
    repository.add(deb("hello")).write()
    resolve("hello")
    repository.date = NOW - DAY
    repository.write()
    with pytest.raises(MetadataError) as caught:
        resolve("hello")
    assert caught.value.reference == "metadata-rollback"


def test_refused_metadata_does_not_move_the_newest_date(repository: DebRepository, resolve: Resolve) -> None:
    repository.add(deb("hello")).write()
    repository.date = NOW + 30
    repository.release = {"Suite": "another"}
    repository.write()
    with pytest.raises(MetadataError):
        resolve("hello")
    repository.date, repository.release = NOW, {}
    repository.write()
    assert resolve("hello").source_date_epoch == int(NOW)


def test_another_suite_than_was_asked_for_is_refused(
    repository: DebRepository, resolve: Resolve, metadata: Path
) -> None:
    repository.release = {"Suite": "unstable"}
    repository.add(deb("hello")).write()
    refused(resolve, "wrong-suite", MetadataError, metadata)


def test_suite_may_be_asked_for_by_codename(repository: DebRepository, resolve: Resolve) -> None:
    repository.release = {"Suite": "other", "Codename": "stable"}
    repository.add(deb("hello")).write()
    assert resolve("hello").repositories[0].suite == "stable"


def test_index_that_expands_beyond_its_size_is_refused(
    repository: DebRepository, resolve: Resolve, metadata: Path
) -> None:
    repository.add(deb("hello")).write()
    packed_index = repository.index.read_bytes()
    relative = "main/binary-amd64/Packages"
    repository.write_release(
        {
            relative: (10, hashlib.sha256(b"x" * 10).hexdigest()),
            f"{relative}.xz": (len(packed_index), hashlib.sha256(packed_index).hexdigest()),
        }
    )
    refused(resolve, "over-expanding-index", MetadataError, metadata)


def test_index_larger_than_any_real_one_is_refused_unread(
    repository: DebRepository, resolve: Resolve, metadata: Path, server: Server
) -> None:
    repository.add(deb("hello")).write()
    relative = "main/binary-amd64/Packages"
    digest = hashlib.sha256(b"").hexdigest()
    repository.write_release({relative: (1 << 40, digest), f"{relative}.xz": (1 << 20, digest)})
    refused(resolve, "oversized-index", MetadataError, metadata)
    assert [path for path, _ in server.requests if "Packages" in path or "by-hash" in path] == []


def test_oversized_inrelease_is_refused(
    repository: DebRepository, resolve: Resolve, metadata: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.add(deb("hello")).write()
    monkeypatch.setattr("os_image_composer.ospackage.deb.suite.MAX_RELEASE", 100)
    refused(resolve, "too-large", FetchError, metadata)


def test_component_that_does_not_exist_names_those_that_do(
    repository: DebRepository, resolve: Resolve, metadata: Path
) -> None:
    repository.add(deb("hello")).write()
    repository.component = "contrib"
    error = refused(resolve, "no-such-index", MetadataError, metadata)
    assert "main" in str(error.cause)


def test_damaged_kept_index_is_made_again(
    repository: DebRepository, resolve: Resolve, metadata: Path, server: Server
) -> None:
    repository.add(deb("hello")).write()
    first = resolve("hello")

    def fetched() -> int:
        return len([path for path, _ in server.requests if "by-hash" in path])

    def damage(folder: str) -> None:
        (file,) = (path for path in files_below(metadata / folder) if path.suffix in ("", ".zst"))
        file.chmod(0o644)
        file.write_bytes(file.read_bytes()[:-1] + b"\0")

    damage("indexes")
    assert resolve("hello") == first
    assert fetched() == 1  # from the packed file, which is still good
    damage("indexes")
    damage("sha256")
    assert resolve("hello") == first
    assert fetched() == 2
    assert resolve("hello") == first
    assert fetched() == 2


def test_entry_that_leads_out_of_the_repository_is_refused(repository: DebRepository, resolve: Resolve) -> None:
    repository.add(deb("hello")).write()
    repository.write_index(repository.index_text().replace(b"pool/", b"pool/../../"))
    with pytest.raises(MetadataError) as caught:
        resolve("hello")
    assert caught.value.reference == "bad-index"
