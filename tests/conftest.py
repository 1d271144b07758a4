"""The order of the tests: gates, then what is quick, then what builds and boots; and what all of them share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from support.boot_keys import KeyFolder
from support.dnf import Dnf, unpacked_dnf
from support.lookalike.made import Lookalikes, cache_folder, make

_LATE = ("build", "boot", "matrix")


def pytest_configure() -> None:
    """A shell's background job ignores Ctrl-C, and so would every program that a test interrupts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)  # stable: within one turn the order stays


def _turn(item: pytest.Item) -> int:
    if "gates" in item.path.parts:
        return 0
    return 1 + max((i + 1 for i, name in enumerate(_LATE) if item.get_closest_marker(name)), default=0)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFolder:
    """Development keys, as `keys generate` makes them."""
    return KeyFolder.made(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def lookalikes(tmp_path_factory: pytest.TempPathFactory) -> Lookalikes:
    """Look-alikes of the vendors' RPM repositories, signed with keys of this run."""
    return make(tmp_path_factory.mktemp("lookalikes"))


@pytest.fixture(scope="session")
def dnf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dnf]:
    """The judge of package sets and installed trees of that family."""
    with unpacked_dnf(tmp_path_factory.mktemp("dnf"), cache_folder()) as judge:
        yield judge
