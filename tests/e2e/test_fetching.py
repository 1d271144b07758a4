"""Settings of the network through the command: an own authority, a password, a proxy, a list of mirrors."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.deb_repository import served
from support.hostile_mirror import hostile_mirror
from support.proxy import forwarding
from support.tls import Authority

WORD = "hunter2-and-more"


def test_mirror_behind_a_proxy_with_an_own_authority_and_passwords_that_nobody_sees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    authority = Authority(tmp_path / "tls")
    context = authority.server_context(authority.identity("server"))
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login me password {WORD}\n")
    netrc.chmod(0o600)
    with hostile_mirror(tmp_path) as mirror, served(mirror.data.root, context) as secure, forwarding() as proxy:
        secure.user = proxy.user = ("me", WORD)
        settings = tmp_path / "settings.yml"
        text = settings.read_text().split("mirrors:")[0]
        settings.write_text(
            f"{text}mirrors: {{own: [{mirror.server.url}/gone, {secure.url}/own]}}\n"
            f"network: {{https_proxy: '{proxy.url}', ca_bundle: {authority.bundle}, credentials: {netrc}}}\n"
            "logging: {level: debug}\n"
        )
        assert mirror.command("plan", "--json", str(mirror.data.template)) == 0
        said = capsys.readouterr()
        assert f"the next mirror is asked, {secure.url}/own" in said.err
        assert set(proxy.asked) == {secure.url.removeprefix("https://")}
        assert any(secure.url in lock.read_text() for lock in (mirror.cache / "locks").glob("*.lock"))
        secure.user = ("me", "another")
        assert mirror.command("plan", "--refresh", str(mirror.data.template)) == 1
        told = capsys.readouterr()
    assert f"{secure.url}/own: " in told.err
    assert "401" in told.err
    written = [p.read_bytes() for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert written
    for output in (said.out, said.err, told.out, told.err):
        assert WORD not in output
    assert not any(WORD.encode() in data for data in written)
