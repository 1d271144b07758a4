"""What the settings file may hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from os_image_composer.config.network import TIMEOUT, no_proxy_problem, proxy_problem
from os_image_composer.config.rules import choice, pattern, wrong
from os_image_composer.config.settings import MOST_WORKERS, TOOLS_RESOLVED, mirror_problem

__all__ = ["NetworkSection", "SettingsFile"]

SMALLEST_RANGE = 65536  # images use ids 0 to 65535
# Ids above 2^31 are negative to some programs; the last 16-bit and 32-bit values mean "no id" (setreuid(2)).
LARGEST_ID = 2**31 - 1


def _between(least: int, most: int) -> AfterValidator:
    def rule(value: int) -> int:
        if not least <= value <= most:
            raise wrong("wrong-value", f"cannot be {value}", f"{least} to {most}")
        return value

    return AfterValidator(rule)


def _without(problem_of: Callable[[str], str | None], hint: str | None = None) -> AfterValidator:
    """Refuses what `problem_of` finds a problem in."""

    def rule(value: str) -> str:
        problem = problem_of(value)
        if problem:
            raise wrong("wrong-value", problem, hint)
        return value

    return AfterValidator(rule)


def _proxy(value: str) -> str | None:
    return proxy_problem(value) if value else None  # an empty one undoes the environment's


def _fingerprint(value: str) -> str:
    digits = "".join(value.split()).upper()
    if len(digits) != 40 or set(digits) - set("0123456789ABCDEF"):
        raise wrong("wrong-value", "is not a fingerprint", "the 40 hex digits of the primary key, not a key id")
    return digits


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _not_empty(value: list[str]) -> list[str]:
    if not value:
        raise wrong("wrong-value", "names no URL")
    return value


def _path(value: str) -> str:
    if not value or "\0" in value:
        raise wrong("wrong-value", "is not a path")
    if value.startswith("~") and value != "~" and not value.startswith("~/"):
        raise wrong("wrong-value", "names another user's home", "write the path in full")
    return value


def _log_level(value: str) -> str:
    return choice(("debug", "info", "warning", "error"))("warning" if value == "warn" else value)


_CREDENTIALS_HINT = "name a netrc file with `network: {credentials: FILE}`"
Mirrors = Annotated[
    list[Annotated[str, _without(mirror_problem, _CREDENTIALS_HINT)]],
    BeforeValidator(_one_or_more),
    AfterValidator(_not_empty),
]
PathText = Annotated[str, AfterValidator(_path)]


def _snapshots(value: str) -> str | None:
    if value.count("{date}") != 1:
        return "must have {date} in it once"
    return mirror_problem(value.replace("{date}", "20260131T235959Z"))


Snapshots = Annotated[str, _without(_snapshots, "such as https://archive.example.org/debian/{date}")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class LoggingSection(_Section):
    level: Annotated[str, AfterValidator(_log_level)] = "info"
    file: PathText | None = None


class IdRangeSection(_Section):
    start: Annotated[int, _between(SMALLEST_RANGE, LARGEST_ID - SMALLEST_RANGE + 1)]
    count: Annotated[int, _between(SMALLEST_RANGE, 2**20)] = SMALLEST_RANGE


class RepositorySection(_Section):
    """Trust in one repository, or in all of one distribution."""

    fingerprints: list[Annotated[str, AfterValidator(_fingerprint)]] = Field(
        default=[],
        description="Fingerprints of the primary keys that may sign, in place of the distribution data's.",
    )
    keyring: PathText | None = Field(
        default=None,
        description="File with the keys, in place of the host's files and the repository's key address.",
    )
    accept_older_metadata: bool = Field(
        default=False,
        description="Accept signed metadata that is older than what was seen before.",
    )


class ClientCertificateSection(_Section):
    certificate: PathText
    key: PathText


class NetworkSection(_Section):
    http_proxy: Annotated[str, _without(_proxy, _CREDENTIALS_HINT)] | None = Field(
        default=None, description="Proxy for http URLs; empty for none, also where the environment has one."
    )
    https_proxy: Annotated[str, _without(_proxy, _CREDENTIALS_HINT)] | None = Field(
        default=None, description="Proxy for https URLs, which only passes on what is encrypted."
    )
    no_proxy: list[Annotated[str, _without(no_proxy_problem)]] | None = Field(
        default=None, description="Hosts, domains, addresses and address ranges that are reached without a proxy."
    )
    ca_bundle: PathText | None = Field(default=None, description="PEM file with the certificate authorities to trust.")
    credentials: PathText | None = Field(default=None, description="netrc file (mode 0600): user names and passwords.")
    client_certificate: ClientCertificateSection | None = Field(
        default=None, description="PEM files to identify with where a mirror demands it."
    )
    timeout: Annotated[int, _between(1, 3600)] = Field(
        default=TIMEOUT, description="Seconds to wait for a connection and for further bytes."
    )


class ToolsArchiveSection(_Section):
    """The image tools' packages in one file."""

    archive: PathText = Field(description="The file that `env export` wrote.")
    sha256: Annotated[str, AfterValidator(pattern(r"[0-9a-f]{64}", "64 hex digits in lower case"))] = Field(
        description="The SHA-256 that the file must have."
    )


class SigningSection(_Section):
    """The keys that sign image, bills of materials and manifest."""

    openpgp_key: PathText | None = Field(default=None, description="File with an OpenPGP key (mode 0600).")
    openpgp_passphrase_file: PathText | None = Field(
        default=None, description="File (mode 0600) with the OpenPGP key's passphrase in its first line."
    )
    x509_key: PathText | None = Field(default=None, description="File with an RSA or EC key (mode 0600), PEM or DER.")
    x509_certificate: PathText | None = Field(default=None, description="Its X.509 certificate, PEM or DER.")
    x509_passphrase_file: PathText | None = Field(
        default=None, description="File (mode 0600) with the key's passphrase in its first line."
    )

    @model_validator(mode="after")
    def key_and_certificate(self) -> SigningSection:
        if (self.x509_key is None) != (self.x509_certificate is None):
            missing = "x509_certificate" if self.x509_key else "x509_key"
            raise wrong("missing-key", f"is missing: x509_key and x509_certificate go together: {missing}")
        return self


def _tools_source(value: object) -> object:
    """A word in place of the section: the source that counts without one."""
    if not isinstance(value, str):
        return value
    choice((TOOLS_RESOLVED,), ("target", "host"))(value)
    return None


class SettingsFile(_Section):
    workers: Annotated[int, _between(1, MOST_WORKERS)] | None = None
    config_dir: PathText | None = None
    cache_dir: PathText | None = None
    work_dir: PathText | None = None
    temp_dir: PathText | None = None
    logging: LoggingSection = LoggingSection()
    mirrors: dict[str, Mirrors] = {}
    repositories: dict[str, RepositorySection] = {}
    snapshots: dict[str, Snapshots] = {}
    network: NetworkSection = NetworkSection()
    metadata_max_age: Annotated[int, _between(0, 24 * 365)] = 24
    root_id_range: IdRangeSection | None = None
    signing: SigningSection = SigningSection()
    image_tools: Annotated[ToolsArchiveSection | None, BeforeValidator(_tools_source)] = None
