"""Which names are offered for one that does not exist."""

from __future__ import annotations

import pytest

from os_image_composer.config.nearest import nearest

NAMES = (
    *("openssh-server", "openssh-client", "nginx", "nginx-core", "afnix", "python3", "ipython3", "cython3"),
    *("linux-image-amd64", "linux-image-amd64-dbg", "libssl3t64", "libss2", "vim-tiny", "vim", "vi", "awk", "apache2"),
)


@pytest.mark.parametrize(
    ("written", "best"),
    [
        ("ngnix", "nginx"),
        ("opensshserver", "openssh-server"),
        ("opnssh-server", "openssh-server"),
        ("pyhton3", "python3"),
        ("apahce2", "apache2"),
        ("linux-image", "linux-image-amd64"),
        ("VIM", "vim"),
    ],
)
def test_the_best_name_comes_first(written: str, best: str) -> None:
    assert nearest(NAMES, written)[0] == best


@pytest.mark.parametrize("written", ["zzzzzz", "", "x", "q-q-q-q"])
def test_nothing_is_offered_where_nothing_is_near(written: str) -> None:
    assert nearest(NAMES, written) == ()


def test_no_more_than_asked_for_are_offered() -> None:
    assert len(nearest(NAMES, "nginx", count=1)) == 1


def test_names_that_go_on_where_the_word_ends_are_offered_too() -> None:
    assert "libssl3t64" in nearest(NAMES, "libssl")
