"""A cache that cannot be written is refused before anything is tried."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from os_image_composer.errors import StoreError
from os_image_composer.provider.publish import own_folder


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_of_somebody_else_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(StoreError) as caught:
        own_folder(tmp_path / "cache")
    assert (caught.value.reference, caught.value.cause) == ("store-not-writable", "Permission denied")
    assert caught.value.hint is not None and "--cache-dir" in caught.value.hint
