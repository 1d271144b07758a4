"""The settings of this user on this machine: where things are kept, which mirrors are used.

The only reader of environment variables. A value comes from the command line, else the settings file, else an
environment variable that other programs share (XDG Base Directory Specification 0.8), else a default; which one
it was is kept, so that it can be shown.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from os_image_composer.config.findings import check, failure, where
from os_image_composer.config.id_range import ROOT_ID_RANGE, IdRange
from os_image_composer.config.network import ClientCertificate, Network, network_of_environment
from os_image_composer.config.yaml_source import MappingNode, read_yaml
from os_image_composer.errors import Finding, UsageError

if TYPE_CHECKING:
    from os_image_composer.config.settings_file import NetworkSection, SettingsFile

__all__ = [
    "IdRange",
    "Logging",
    "RepositorySettings",
    "Settings",
    "Signing",
    "ToolsArchiveSetting",
    "load_settings",
    "own_settings_file",
    "settings_file",
]

NAME = "os-image-composer"
CONFIG_VARIABLE = "OS_IMAGE_COMPOSER_CONFIG"
SYSTEM_FILE = Path("/etc") / NAME / "config.yml"
MOST_WORKERS = 64
BUILT_IN = "built in"
COMMAND_LINE = "command line"
TOOLS_RESOLVED = "debian"  # the value of image_tools without an archive


@dataclass(frozen=True)
class Logging:
    """`level` is debug, info, warning or error; `file` also gets what the terminal does."""

    level: str = "info"
    file: Path | None = None


@dataclass(frozen=True)
class RepositorySettings:
    """What this user trusts a repository for. `fingerprints` (primary keys, 40 upper-case hex digits) take the place
    of those in the distribution's data, `keyring` that of the files it names, where they are given;
    `accept_older_metadata` lets a mirror go back to an older state that is signed and has not expired."""

    fingerprints: tuple[str, ...] = ()
    keyring: Path | None = None
    accept_older_metadata: bool = False


@dataclass(frozen=True)
class ToolsArchiveSetting:
    """The file that holds the image tools' packages, and the SHA-256 that it must have."""

    archive: Path
    sha256: str


@dataclass(frozen=True)
class Signing:
    """The keys that sign the files of a build, by the files that they are in: an OpenPGP key, and an X.509 certificate
    with its key. A passphrase file holds a passphrase in its first line."""

    openpgp_key: Path | None = None
    openpgp_passphrase_file: Path | None = None
    x509_key: Path | None = None
    x509_certificate: Path | None = None
    x509_passphrase_file: Path | None = None


@dataclass(frozen=True)
class Settings:
    """Paths are absolute. `config_dir` holds `osv`; `mirrors` are the URLs of each mirror name in the order in which
    they are tried; `repositories` are by the name of a repository or of a distribution (all of its repositories);
    `snapshots` are URLs with `{date}` in them by mirror name; with `offline` no connection is opened;
    `metadata_max_age` is in hours; `image_tools` is where the image tools come from, a file or the word for the
    distribution that they are resolved from otherwise; `sources` tells for each key (`logging.level`) where its value
    came from; `file` is the settings file that was read."""

    workers: int
    config_dir: Path
    cache_dir: Path
    work_dir: Path
    temp_dir: Path
    logging: Logging = Logging()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    repositories: Mapping[str, RepositorySettings] = field(default_factory=dict)
    snapshots: Mapping[str, str] = field(default_factory=dict)
    network: Network = field(default_factory=Network)
    metadata_max_age: int = 24
    root_id_range: IdRange = ROOT_ID_RANGE
    image_tools: ToolsArchiveSetting | str = TOOLS_RESOLVED
    signing: Signing = Signing()
    file: Path | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    offline: bool = False

    def with_overrides(
        self,
        *,
        workers: int | None = None,
        config_dir: Path | None = None,
        cache_dir: Path | None = None,
        work_dir: Path | None = None,
        temp_dir: Path | None = None,
        log_level: str | None = None,
        log_file: Path | None = None,
        mirrors: Mapping[str, tuple[str, ...]] | None = None,
        metadata_max_age: int | None = None,
        openpgp_key: Path | None = None,
        x509_key: Path | None = None,
        x509_certificate: Path | None = None,
        offline: bool = False,
    ) -> Settings:
        """These settings with what the command line says in place of what it names; None is not said, and
        mirrors replace those of their names only. Relative paths begin at the current folder.

        Raises UsageError for a number of workers that is out of range, for a URL that cannot be a mirror, and for a key
        without its certificate or the other way round.
        """
        if workers is not None and not 1 <= workers <= MOST_WORKERS:
            raise UsageError("wrong-value", f"--workers cannot be {workers}", hint=f"1 to {MOST_WORKERS}")
        for name, urls in (mirrors or {}).items():
            for problem in filter(None, map(mirror_problem, urls)):
                raise UsageError(
                    "wrong-value", f"the mirror for '{name}' {problem}" if name else f"the mirror {problem}"
                )
        said = {
            "workers": workers,
            "config_dir": config_dir,
            "cache_dir": cache_dir,
            "work_dir": work_dir,
            "temp_dir": temp_dir,
            "logging.level": log_level,
            "logging.file": log_file,
            "mirrors": mirrors or None,
            "metadata_max_age": metadata_max_age,
            "signing.openpgp_key": openpgp_key,
            "signing.x509_key": x509_key,
            "signing.x509_certificate": x509_certificate,
        }
        sources = {**self.sources, **{key: COMMAND_LINE for key, value in said.items() if value is not None}}
        cache = (cache_dir or self.cache_dir).absolute()
        # The default follows the cache, so that a rename from one to the other stays on one file system.
        follows = cache_dir is not None and sources["temp_dir"] == BUILT_IN
        return replace(
            self,
            workers=workers or self.workers,
            config_dir=(config_dir or self.config_dir).absolute(),
            cache_dir=cache,
            work_dir=(work_dir or self.work_dir).absolute(),
            temp_dir=(temp_dir or (cache / "tmp" if follows else self.temp_dir)).absolute(),
            logging=Logging(log_level or self.logging.level, log_file.absolute() if log_file else self.logging.file),
            mirrors={**self.mirrors, **{name: _trimmed(urls) for name, urls in (mirrors or {}).items()}},
            metadata_max_age=self.metadata_max_age if metadata_max_age is None else metadata_max_age,
            signing=_signing(self.signing, openpgp_key, x509_key, x509_certificate),
            sources=sources,
            offline=offline or self.offline,
        )


def _signing(said: Signing, openpgp: Path | None, key: Path | None, certificate: Path | None) -> Signing:
    """`said` with the command line's keys over it; the passphrase file of another key opens nothing."""
    if (key is None) != (certificate is None):
        raise UsageError("wrong-usage", "--sign-x509 and --sign-certificate go together")
    if openpgp is not None:
        said = replace(said, openpgp_key=openpgp.absolute(), openpgp_passphrase_file=None)
    if key is not None and certificate is not None:
        said = replace(
            said, x509_key=key.absolute(), x509_certificate=certificate.absolute(), x509_passphrase_file=None
        )
    return said


def settings_file(explicit: Path | None, environment: Mapping[str, str], cwd: Path) -> Path | None:
    """The settings file that counts, None when there is none.

    Raises UsageError when the one that was asked for, by `explicit` or by variable, does not exist.
    """
    for path, by in ((explicit, "--config"), (environment.get(CONFIG_VARIABLE), f"${CONFIG_VARIABLE}")):
        if path:
            asked = _absolute(str(path), environment, cwd)
            if not asked.is_file():
                raise UsageError("no-such-file", f"the settings file '{asked}' does not exist", cause=f"{by} names it")
            return asked
    return next((path for path in (own_settings_file(environment), SYSTEM_FILE) if path.is_file()), None)


def own_settings_file(environment: Mapping[str, str]) -> Path:
    """Where this user's settings file is, or would be."""
    return _xdg("XDG_CONFIG_HOME", ".config", environment)[0] / NAME / "config.yml"


def load_settings(explicit: Path | None, environment: Mapping[str, str], cwd: Path) -> Settings:
    """The settings that count for a program started in `cwd` with `environment`; `explicit` is --config.

    Relative paths in the file begin at `cwd`, `~` is the user's home. Raises UsageError with every finding.
    """
    path = settings_file(explicit, environment, cwd)
    defaults = _defaults(environment, cwd)
    if path is None:
        return defaults
    # Here and not above: without a settings file the models are not needed, and a start costs less.
    from os_image_composer.config.settings_file import SettingsFile

    try:
        node = read_yaml(path, UsageError)
    except UsageError as error:
        if error.reference == "empty-file":  # every line is commented out, as in the file that `config init` writes
            return replace(defaults, file=path)
        raise
    model, findings = check(node, SettingsFile)
    if model is None:
        raise failure(UsageError, "invalid-settings", f"'{path}'", findings)
    return _over(defaults, model, node, environment, cwd, path)


def _over(
    defaults: Settings,
    model: SettingsFile,
    node: MappingNode,
    environment: Mapping[str, str],
    cwd: Path,
    path: Path,
) -> Settings:
    """`defaults` with what the file says in place of what it names."""

    def absolute(key: str) -> Path:
        text = getattr(model, key)
        try:
            return _absolute(text, environment, cwd) if text else getattr(defaults, key)
        except ValueError as error:
            finding = Finding("wrong-value", f"'{key}': {error}", where(node, (key,)))
            raise failure(UsageError, "invalid-settings", f"'{path}'", (finding,)) from error

    sources = dict(defaults.sources)
    for entry in node.entries:
        if entry.key in ("logging", "network", "signing") and isinstance(entry.node, MappingNode):
            sources.update({f"{entry.key}.{inner.key}": str(inner.origin) for inner in entry.node.entries})
        else:
            sources[entry.key] = str(entry.origin)
    cache = absolute("cache_dir")
    log = model.logging
    ids = model.root_id_range
    tools = model.image_tools
    return Settings(
        workers=model.workers or defaults.workers,
        config_dir=absolute("config_dir"),
        cache_dir=cache,
        work_dir=absolute("work_dir"),
        temp_dir=absolute("temp_dir") if model.temp_dir else cache / "tmp",
        logging=Logging(log.level, _absolute(log.file, environment, cwd) if log.file else None),
        mirrors={name: _trimmed(urls) for name, urls in model.mirrors.items()},
        repositories={
            name: RepositorySettings(
                tuple(said.fingerprints),
                _absolute(said.keyring, environment, cwd) if said.keyring else None,
                said.accept_older_metadata,
            )
            for name, said in model.repositories.items()
        },
        snapshots={name: url.rstrip("/") for name, url in model.snapshots.items()},
        network=_network(defaults.network, model.network, environment, cwd),
        metadata_max_age=model.metadata_max_age,
        root_id_range=IdRange(ids.start, ids.count) if ids else ROOT_ID_RANGE,
        image_tools=ToolsArchiveSetting(_absolute(tools.archive, environment, cwd), tools.sha256)
        if tools
        else TOOLS_RESOLVED,
        signing=Signing(
            **{one.name: _given(getattr(model.signing, one.name), environment, cwd) for one in fields(Signing)}
        ),
        file=path,
        sources=sources,
    )


def _given(text: str | None, environment: Mapping[str, str], cwd: Path) -> Path | None:
    return _absolute(text, environment, cwd) if text else None


def _network(default: Network, said: NetworkSection, environment: Mapping[str, str], cwd: Path) -> Network:
    identity = said.client_certificate
    return Network(
        http_proxy=default.http_proxy if said.http_proxy is None else said.http_proxy or None,
        https_proxy=default.https_proxy if said.https_proxy is None else said.https_proxy or None,
        no_proxy=default.no_proxy if said.no_proxy is None else tuple(said.no_proxy),
        ca_bundle=_given(said.ca_bundle, environment, cwd),
        credentials=_given(said.credentials, environment, cwd),
        client_certificate=ClientCertificate(
            _absolute(identity.certificate, environment, cwd), _absolute(identity.key, environment, cwd)
        )
        if identity
        else None,
        timeout=said.timeout,
    )


def _trimmed(urls: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(url.rstrip("/") for url in urls))


def _defaults(environment: Mapping[str, str], cwd: Path) -> Settings:
    cache_home, cache_source = _xdg("XDG_CACHE_HOME", ".cache", environment)
    cache = cache_home / NAME
    network, variables = network_of_environment(environment)
    keys = ("workers", "config_dir", "work_dir", "temp_dir", "logging.level", "logging.file")
    more = ("mirrors", "repositories", "snapshots", "metadata_max_age", "root_id_range", "image_tools")
    nets = (
        *(f"network.{one.name}" for one in fields(Network)),
        *(f"signing.{one.name}" for one in fields(Signing)),
    )
    return Settings(
        workers=max(1, min(MOST_WORKERS, len(os.sched_getaffinity(0)))),
        config_dir=_distribution_data(),
        cache_dir=cache,
        work_dir=cwd / "workspace",
        temp_dir=cache / "tmp",
        network=network,
        sources={
            **dict.fromkeys((*keys, *more, *nets), BUILT_IN),
            "cache_dir": cache_source,
            **{f"network.{key}": variable for key, variable in variables.items()},
        },
    )


def _distribution_data() -> Path:
    """The folder that holds `osv`: in an installed package its own data, in a checkout `config`."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "data"
    return installed if (installed / "osv").is_dir() else package.parent.parent / "config"


def _xdg(variable: str, below_home: str, environment: Mapping[str, str]) -> tuple[Path, str]:
    """An XDG base directory and where it came from. The specification has relative paths ignored."""
    value = Path(environment.get(variable) or ".")
    return (value, f"${variable}") if value.is_absolute() else (_home(environment) / below_home, BUILT_IN)


def _home(environment: Mapping[str, str]) -> Path:
    home = Path(environment.get("HOME") or ".")
    return home if home.is_absolute() else Path(pwd.getpwuid(os.getuid()).pw_dir)


def _absolute(text: str, environment: Mapping[str, str], cwd: Path) -> Path:
    if text == "~" or text.startswith("~/"):
        text = str(_home(environment)) + text[1:]
    return Path(os.path.normpath(cwd / text))


def mirror_problem(url: str) -> str | None:
    """Why `url` cannot be a mirror, None when it can."""
    try:
        parts = urlsplit(url)
        port_is_number = parts.port is None or parts.port > 0
    except ValueError:
        return "is not a URL"
    if parts.username is not None or parts.password is not None:
        return "cannot hold a user name or password: settings are shown and logged"
    if parts.scheme not in ("http", "https", "file"):
        return "must begin with https://, http:// or file://"
    if parts.query or parts.fragment or not port_is_number or any(c.isspace() for c in url):
        return "cannot hold '?', '#' or spaces"
    if not parts.hostname and parts.scheme != "file":
        return "names no host"
    return None
