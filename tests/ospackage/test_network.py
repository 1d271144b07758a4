"""How mirrors are reached: TLS, proxies, credentials, each against a real server on loopback."""

from __future__ import annotations

import os
import ssl
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from os_image_composer.config.network import ClientCertificate, Network
from os_image_composer.errors import FetchError, UsageError
from os_image_composer.ospackage.credentials import read_credentials
from os_image_composer.ospackage.transport import HttpTransport, TransientFetchError
from support.deb_repository import Server, served
from support.proxy import Proxy, forwarding
from support.tls import Authority, Identity, only_old_tls

USER = ("builder", "correct horse")


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def identity(authority: Authority) -> Identity:
    return authority.identity("server")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "www").mkdir()
    (tmp_path / "www/file").write_bytes(b"content")
    return tmp_path / "www"


@pytest.fixture
def secure(root: Path, authority: Authority, identity: Identity) -> Iterator[Server]:
    with served(root, authority.server_context(identity)) as server:
        yield server


@pytest.fixture
def plain(root: Path) -> Iterator[Server]:
    with served(root) as server:
        yield server


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with forwarding() as running:
        yield running


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """A netrc file with a password for 127.0.0.1."""
    return netrc(tmp_path, f'# mirrors\nmachine 127.0.0.1 login {USER[0]} password "{USER[1]}"\n')


def netrc(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "netrc"
    path.write_text(text)
    path.chmod(mode)
    return path


def get(url: str, network: Network) -> bytes:
    with HttpTransport(network) as transport, transport.open(url, limit=1000) as reply:
        return b"".join(reply.chunks)


def refused(url: str, network: Network) -> FetchError:
    with pytest.raises(FetchError) as caught:
        get(url, network)
    return caught.value


# -- TLS -----------------------------------------------------------------------------------------------------


def test_server_of_an_own_authority_is_trusted_when_its_bundle_is_named(secure: Server, authority: Authority) -> None:
    assert get(f"{secure.url}/file", Network(ca_bundle=authority.bundle)) == b"content"


def test_server_of_an_unknown_authority_is_refused_without_trying_again(secure: Server) -> None:
    error = refused(f"{secure.url}/file", Network())
    assert error.reference == "certificate-not-trusted"
    assert not isinstance(error, TransientFetchError)
    assert "ca_bundle" in str(error.hint)
    assert secure.requests == []


def test_certificate_for_another_host_is_refused(root: Path, authority: Authority) -> None:
    other = authority.identity("other", "DNS:mirror.example")
    with served(root, authority.server_context(other)) as server:
        error = refused(f"{server.url}/file", Network(ca_bundle=authority.bundle))
    assert error.reference == "certificate-not-trusted"
    assert "127.0.0.1" in str(error.cause)


def test_server_that_only_knows_tls_1_1_is_refused(root: Path, authority: Authority, identity: Identity) -> None:
    with served(root, only_old_tls(authority.server_context(identity))) as server:
        error = refused(f"{server.url}/file", Network(ca_bundle=authority.bundle))
    assert error.reference == "tls-failed"
    assert "TLS 1.2" in str(error.hint)


def test_tls_1_2_is_enough(root: Path, authority: Authority, identity: Identity) -> None:
    context = authority.server_context(identity)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with served(root, context) as server:
        assert get(f"{server.url}/file", Network(ca_bundle=authority.bundle)) == b"content"


def test_client_certificate_is_shown_to_a_server_that_demands_one(
    root: Path, authority: Authority, identity: Identity
) -> None:
    own = authority.identity("client")
    with served(root, authority.server_context(identity, demand_client=True)) as server:
        url = f"{server.url}/file"
        named = Network(ca_bundle=authority.bundle, client_certificate=ClientCertificate(own.certificate, own.key))
        assert get(url, named) == b"content"
        error = refused(url, Network(ca_bundle=authority.bundle))
    assert error.reference == "tls-failed"
    assert "client_certificate" in str(error.hint)


def test_client_certificate_is_not_shown_where_a_redirect_leads(
    root: Path, authority: Authority, identity: Identity, secure: Server
) -> None:
    own = authority.identity("client")
    network = Network(ca_bundle=authority.bundle, client_certificate=ClientCertificate(own.certificate, own.key))
    with served(root, authority.server_context(identity, demand_client=True)) as curious:
        secure.redirect = f"{curious.url}/file"
        assert refused(f"{secure.url}/file", network).reference == "tls-failed"


@pytest.mark.parametrize("passphrase", ["", "secret"])
def test_client_key_that_cannot_be_used_is_named_and_nobody_is_asked(authority: Authority, passphrase: str) -> None:
    own = authority.identity(f"client{passphrase}", passphrase=passphrase)
    key = own.key if passphrase else authority.key
    with pytest.raises(UsageError) as caught:
        HttpTransport(Network(client_certificate=ClientCertificate(own.certificate, key)))
    assert caught.value.reference == "client-certificate-unreadable"
    assert "no passphrase" in str(caught.value.hint)


def test_bundle_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for path in (tmp_path / "absent.pem", tmp_path / "empty.pem"):
        with pytest.raises(UsageError) as caught:
            HttpTransport(Network(ca_bundle=path))
        assert caught.value.reference == "ca-bundle-unreadable"
        assert str(path) in caught.value.message


def test_redirect_from_https_to_http_is_refused(secure: Server, plain: Server, authority: Authority) -> None:
    secure.redirect = f"{plain.url}/file"
    error = refused(f"{secure.url}/file", Network(ca_bundle=authority.bundle))
    assert error.reference == "insecure-redirect"
    assert plain.requests == []


# -- credentials ---------------------------------------------------------------------------------------------


def test_password_is_sent_over_https_to_its_host(secure: Server, authority: Authority, credentials: Path) -> None:
    secure.user = USER
    assert get(f"{secure.url}/file", Network(ca_bundle=authority.bundle, credentials=credentials)) == b"content"


def test_password_is_not_sent_over_http(plain: Server, credentials: Path) -> None:
    plain.user = USER
    error = refused(f"{plain.url}/file", Network(credentials=credentials))
    assert plain.authorizations == []
    assert error.hint == "the password for this host is sent over https only"


def test_password_is_not_sent_to_where_a_redirect_leads(
    root: Path, secure: Server, authority: Authority, identity: Identity, credentials: Path
) -> None:
    network = Network(ca_bundle=authority.bundle, credentials=credentials)
    with served(root, authority.server_context(identity)) as other:
        secure.redirect = f"{other.url}/file"  # the same address, so that the file has a password for it
        assert get(f"{secure.url}/file", network) == b"content"
        assert other.authorizations == []
    assert len(secure.authorizations) == 1


def test_redirect_that_brings_a_password_along_is_refused(secure: Server, authority: Authority) -> None:
    secure.redirect = secure.url.replace("//", "//me:hunter2@") + "/file"
    error = refused(f"{secure.url}/file", Network(ca_bundle=authority.bundle))
    assert error.reference == "insecure-redirect"
    assert "hunter2" not in f"{error} {error.hint}"


def test_missing_or_wrong_password_names_the_setting_and_not_the_word(
    tmp_path: Path, secure: Server, authority: Authority
) -> None:
    secure.user = USER
    wrong = netrc(tmp_path, "machine 127.0.0.1 login builder password hunter2\n")
    for credentials in (None, wrong):
        error = refused(f"{secure.url}/file", Network(ca_bundle=authority.bundle, credentials=credentials))
        assert error.reference == "mirror-refused"
        assert "network.credentials" in str(error.hint)
        assert "hunter2" not in f"{error} {error.hint} {error.detail}"


def test_entry_with_a_port_comes_before_the_hosts(tmp_path: Path) -> None:
    path = netrc(tmp_path, "machine A.example:8443 login b password c machine a.example\n login d\n password e\n")
    found = read_credentials(path)
    assert found.of("https://a.example:8443/x") == ("b", "c")
    assert found.of("https://a.example/x") == ("d", "e")
    assert found.of("https://b.example/x") is None
    assert "c" not in repr(found).removeprefix("Credentials(").removesuffix("machines)")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_credentials_that_others_can_read_are_refused(tmp_path: Path, mode: int) -> None:
    path = netrc(tmp_path, "machine a login b password c\n", mode)
    with pytest.raises(UsageError) as caught:
        HttpTransport(Network(credentials=path))
    assert caught.value.reference == "credentials-readable-by-others"
    assert caught.value.hint == f"make it yours alone: chmod 600 {path}"
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize(
    "text",
    [
        "default login me password hunter2",
        "machine a login me pasword hunter2",
        "machine a login me",
        "machine a login me password",
        "login me password hunter2",
        "machine a login me password hunter2 password hunter2",
        "machine https://a/ login me password hunter2",
        "machine a login me account hunter2 password hunter2",
    ],
)
def test_malformed_credentials_are_refused_without_a_word_of_them(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_credentials(netrc(tmp_path, f"# hunter2\n{text}\n"))
    assert caught.value.reference == "bad-credentials"
    assert "line 2" in str(caught.value.cause)
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_credentials_that_are_absent_or_no_text_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(UsageError) as caught:
            read_credentials(path)
        assert caught.value.reference == "credentials-unreadable"
    binary = netrc(tmp_path, "")
    binary.write_bytes(b"machine \xff")
    with pytest.raises(UsageError):
        read_credentials(binary)


# -- proxies -------------------------------------------------------------------------------------------------


def test_https_goes_through_a_proxy_that_sees_the_host_only(
    secure: Server, proxy: Proxy, authority: Authority, credentials: Path
) -> None:
    secure.user = USER
    network = Network(https_proxy=proxy.url, ca_bundle=authority.bundle, credentials=credentials)
    proxy.user = USER  # its password, too, is in the file
    assert get(f"{secure.url}/file", network) == b"content"
    assert proxy.asked == [secure.url.removeprefix("https://")]
    assert [line for line in proxy.saw[0].splitlines() if line.lower().startswith("authorization")] == []


def test_http_goes_through_its_own_proxy(plain: Server, proxy: Proxy) -> None:
    url = f"{plain.url}/file"
    assert get(url, Network(http_proxy=proxy.url, https_proxy="http://127.0.0.1:1")) == b"content"
    assert proxy.asked == [url]


def test_host_of_no_proxy_is_asked_directly(plain: Server, proxy: Proxy) -> None:
    assert get(f"{plain.url}/file", Network(http_proxy=proxy.url, no_proxy=("127.0.0.0/8",))) == b"content"
    assert proxy.asked == []


def test_proxy_that_wants_a_password_says_where_it_belongs(
    secure: Server, plain: Server, proxy: Proxy, authority: Authority
) -> None:
    proxy.user = USER
    network = Network(http_proxy=proxy.url, https_proxy=proxy.url, ca_bundle=authority.bundle)
    for server in (secure, plain):
        error = refused(f"{server.url}/file", network)
        assert error.reference == "proxy-refused"
        assert "407" in str(error.cause)
        assert "network.credentials" in str(error.hint)


def test_proxy_that_is_not_there_is_named(secure: Server, authority: Authority) -> None:
    error = refused(f"{secure.url}/file", Network(https_proxy="http://127.0.0.1:1", ca_bundle=authority.bundle))
    assert isinstance(error, TransientFetchError)
    assert "http://127.0.0.1:1" in str(error.cause)


# -- patience ------------------------------------------------------------------------------------------------


def test_server_that_trickles_is_given_up(plain: Server, root: Path) -> None:
    (root / "file").write_bytes(b"x" * 900)
    plain.trickle = 0.02
    start = time.monotonic()
    error = refused(f"{plain.url}/file", Network(timeout=0.2))
    assert isinstance(error, TransientFetchError)
    assert "bytes in" in str(error.cause)
    assert time.monotonic() - start < 2


def test_endless_answer_is_cut_at_the_limit(plain: Server) -> None:
    plain.endless = True
    assert refused(f"{plain.url}/file", Network()).reference == "too-large"


def test_environment_does_not_reach_the_transport(plain: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setitem(os.environ, name, proxy.url)
    assert get(f"{plain.url}/file", Network()) == b"content"
    assert proxy.asked == []
