"""Certificate authorities, certificates and contexts, made anew for each run by openssl(1)."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """PEM files of one side."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a folder of its own; `bundle` is its certificate."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name = folder, name
        self.bundle = folder / f"{name}.pem"
        self.key = folder / f"{name}.key"
        extensions = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        self._request(self.key, self.bundle, name, "-x509", "-days", "2", *extensions)

    def identity(self, name: str, alternative: str = "IP:127.0.0.1", passphrase: str = "") -> Identity:
        """A certificate of this authority for the subject alternative name."""
        request, made = self.folder / f"{name}.csr", Identity(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        self._request(made.key, request, name, passphrase=passphrase)
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\nbasicConstraints=CA:FALSE\n")
        self._openssl(
            *("x509", "-req", "-in", request, "-CA", self.bundle, "-CAkey", self.key, "-CAcreateserial"),
            *("-days", "2", "-extfile", extensions, "-out", made.certificate),
        )
        return made

    def server_context(self, identity: Identity, *, demand_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity.certificate, identity.key)
        if demand_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.bundle)
        return context

    def _request(self, key: Path, out: Path, name: str, *more: str, passphrase: str = "") -> None:
        secret = ("-passout", f"pass:{passphrase}") if passphrase else ("-nodes",)
        algorithm = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        self._openssl("req", *algorithm, *secret, "-keyout", key, "-out", out, "-subj", f"/CN={name}", *more)

    def _openssl(self, *words: object) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, timeout=20)


def only_old_tls(context: ssl.SSLContext) -> ssl.SSLContext:
    """Offers nothing newer than TLS 1.1, which OpenSSL 3 does at its lowest security level only."""
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context
