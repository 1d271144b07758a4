"""Which ids of the host are used, from subuid files of made-up hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from os_image_composer.chroot.ids import IdMap, Mapping
from os_image_composer.config.id_range import IdRange
from os_image_composer.errors import SandboxError

RANGE = IdRange(2_000_000_000, 65536)


def host(root: Path, subuid: str = "", subgid: str | None = None, uidmap: bool = True) -> Path:
    (root / "etc").mkdir()
    (root / "usr/bin").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n")
    (root / "etc/subuid").write_text(subuid)
    (root / "etc/subgid").write_text(subuid if subgid is None else subgid)
    for name in ("newuidmap", "newgidmap") if uidmap else ():
        (root / "usr/bin" / name).touch()
    return root


def refused(root: Path, uid: int = 1000, wanted: IdRange = RANGE) -> SandboxError:
    with pytest.raises(SandboxError) as caught:
        IdMap.for_caller(wanted, uid, 1000, root)
    return caught.value


def test_caller_is_root_inside_and_the_range_is_the_rest(tmp_path: Path) -> None:
    ids = IdMap.for_caller(RANGE, 1000, 1001, host(tmp_path, "bob:7:9\nann:100000:65536\n"))
    assert ids.uids == (Mapping(0, 1000, 1), Mapping(1, 100000, 65535))
    assert ids.gids == (Mapping(0, 1001, 1), Mapping(1, 100000, 65535))
    assert ids.newuidmap == tmp_path / "usr/bin/newuidmap"
    assert ids.root == (1000, 1001)


def test_a_range_may_be_given_by_number(tmp_path: Path) -> None:
    ids = IdMap.for_caller(RANGE, 1000, 1000, host(tmp_path, "1000:300000:65536\n"))
    assert ids.uids[1] == Mapping(1, 300000, 65535)


def test_several_ranges_are_put_together(tmp_path: Path) -> None:
    ids = IdMap.for_caller(RANGE, 1000, 1000, host(tmp_path, "ann:100000:1000\nann:200000:65536\n"))
    assert ids.uids[1:] == (Mapping(1, 100000, 1000), Mapping(1001, 200000, 64535))


@pytest.mark.parametrize("text", ["", "ann:100000:1000\n", "bob:100000:65536\n", "ann:x:y\n", "ann:100000\n"])
def test_too_few_ids_name_the_command_that_mends_it(tmp_path: Path, text: str) -> None:
    error = refused(host(tmp_path, text))
    assert error.reference == "no-subuid-range"
    assert error.hint is not None and "usermod --add-subuids" in error.hint and "ann" in error.hint


def test_groups_are_asked_for_as_well(tmp_path: Path) -> None:
    error = refused(host(tmp_path, "ann:100000:65536\n", subgid=""))
    assert error.reference == "no-subuid-range" and "gid" in error.message


def test_missing_newuidmap_is_named(tmp_path: Path) -> None:
    assert refused(host(tmp_path, "ann:100000:65536\n", uidmap=False)).reference == "newuidmap-missing"


def test_root_uses_the_range_of_the_settings(tmp_path: Path) -> None:
    ids = IdMap.for_caller(RANGE, 0, 0, host(tmp_path))
    assert ids.uids == ids.gids == (Mapping(0, 2_000_000_000, 65536),)
    assert ids.newuidmap is None and ids.root == (2_000_000_000, 2_000_000_000)


def test_root_may_not_use_the_ids_of_real_users(tmp_path: Path) -> None:
    root = host(tmp_path)
    assert refused(root, 0, IdRange(0, 65536)).reference == "root-range-unsafe"
    assert refused(root, 0, IdRange(100000, 1000)).reference == "root-range-too-small"


def container(root: Path, uid_map: str, gid_map: str | None = None) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/uid_map").write_text(uid_map)
    (root / "proc/self/gid_map").write_text(uid_map if gid_map is None else gid_map)
    return root


ROOTLESS = "         0       1000          1\n         1     100000      65536\n"


def test_root_of_a_container_uses_the_containers_own_ids(tmp_path: Path) -> None:
    ids = IdMap.for_caller(RANGE, 0, 0, container(tmp_path, ROOTLESS))
    assert ids.uids == ids.gids == (Mapping(0, 0, 1), Mapping(1, 1, 65535))
    assert ids.newuidmap is None


def test_a_container_that_has_the_range_of_the_settings_uses_that(tmp_path: Path) -> None:
    ids = IdMap.for_caller(IdRange(65536, 65536), 0, 0, container(tmp_path, "0 1000000 1000000\n"))
    assert ids.uids == (Mapping(0, 65536, 65536),)


def test_a_container_with_too_few_ids_is_refused_by_name(tmp_path: Path) -> None:
    error = refused(container(tmp_path, ROOTLESS, "0 1000 1\n"), 0)
    assert error.reference == "too-few-ids" and "gids" in error.message
