"""What `doctor` says of made-up hosts, and that the self-test proves this one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from os_image_composer.boot.doctor import examine_boot
from os_image_composer.build.events import Event, Note
from os_image_composer.chroot.check import Check, HostFacts, State
from os_image_composer.chroot.doctor import examine_host
from os_image_composer.chroot.doctor_store import examine_space, store_by_name
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.chroot.self_test import self_test
from os_image_composer.config.id_range import IdRange

RANGE = IdRange(2_000_000_000, 65536)
GOOD = {
    "proc/sys/user/max_user_namespaces": "96365\n",
    "proc/sys/kernel/unprivileged_userns_clone": "1\n",
    "proc/sys/kernel/apparmor_restrict_unprivileged_userns": "0\n",
    "proc/self/status": "Name:\tpython3\nNoNewPrivs:\t0\n",
    "proc/self/mountinfo": "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n",
    "etc/passwd": "ann:x:1000:1000::/home/ann:/bin/sh\n",
    "etc/subuid": "ann:100000:65536\n",
    "etc/subgid": "ann:100000:65536\n",
    "usr/bin/newuidmap": "",
    "usr/bin/newgidmap": "",
    "usr/bin/qemu-system-x86_64": "",
    "usr/share/OVMF/OVMF_CODE_4M.fd": "",
    "usr/share/OVMF/OVMF_VARS_4M.fd": "",
}


@pytest.fixture
def host(tmp_path: Path) -> HostFacts:
    for name, text in GOOD.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if "map" in path.name:
            path.chmod(0o4755)
    return HostFacts(tmp_path, 1000, 1000, (3, 13, 1), "6.12.48+deb13-amd64")


def problems(host: HostFacts, needed: int = 0) -> list[Check]:
    space = examine_space([("cache_dir", host.root / "store", needed)])
    checks = (*examine_host(host, RANGE), store_by_name(host, host.root / "store"), *space, *examine_boot(host))
    return [check for check in checks if check.state is not State.OK]


def test_a_good_host_has_no_problems(host: HostFacts) -> None:
    assert problems(host) == []


@pytest.mark.parametrize(
    ("file", "text", "name", "mend"),
    [
        ("proc/sys/user/max_user_namespaces", "0\n", "user namespaces", "user.max_user_namespaces="),
        ("proc/sys/user/max_user_namespaces", None, "user namespaces", "CONFIG_USER_NS"),
        ("proc/sys/kernel/unprivileged_userns_clone", "0\n", "user namespaces", "unprivileged_userns_clone=1"),
        ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "user namespaces", "restrict_unpriv"),
        ("proc/self/status", "NoNewPrivs:\t1\n", "privileges", "NoNewPrivileges=no"),
        ("etc/subuid", "ann:100000:100\n", "subordinate ids", "usermod --add-subuids"),
        ("etc/subgid", "", "subordinate ids", "usermod --add-subuids"),
        ("proc/self/mountinfo", "1 0 8:1 / / rw - overlay overlay rw\n", "store", "ext4"),
    ],
)
def test_what_is_wrong_comes_with_what_mends_it(
    host: HostFacts, file: str, text: str | None, name: str, mend: str
) -> None:
    path = host.root / file
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    (check,) = problems(host)
    assert (check.name, check.state) == (name, State.FAILED)
    assert check.mend is not None and mend in check.mend


def test_settings_that_only_bind_ordinary_users_do_not_matter_to_root(host: HostFacts) -> None:
    (host.root / "proc/sys/kernel/unprivileged_userns_clone").write_text("0\n")
    (host.root / "usr/bin/newuidmap").unlink()
    (host.root / "etc/subuid").unlink()
    assert problems(replace(host, uid=0)) == []


def test_newuidmap_must_be_setuid(host: HostFacts) -> None:
    (host.root / "usr/bin/newuidmap").chmod(0o755)
    (check,) = problems(host)
    assert check.name == "newuidmap" and check.mend == f"chmod u+s {host.root}/usr/bin/newuidmap"


def test_newuidmap_that_is_missing_is_named_first(host: HostFacts) -> None:
    (host.root / "usr/bin/newuidmap").unlink()
    failed = [check for check in problems(host) if check.state is State.FAILED]
    assert [check.name for check in failed] == ["newuidmap"]
    assert failed[0].mend is not None and "uidmap" in failed[0].mend


def test_an_old_python_fails(host: HostFacts) -> None:
    assert [check.name for check in problems(replace(host, python=(3, 10, 9)))] == ["python"]


@pytest.mark.parametrize(("kernel", "states"), [("6.1.0-18-amd64", [State.FAILED]), ("6.6.0", [])])
def test_tmpfs_holds_layers_since_linux_6_6(host: HostFacts, kernel: str, states: list[State]) -> None:
    (host.root / "proc/self/mountinfo").write_text("1 0 0:5 / / rw - tmpfs tmpfs rw\n")
    assert [check.state for check in problems(replace(host, kernel=kernel))] == states


def test_what_only_boots_images_is_a_warning(host: HostFacts) -> None:
    (host.root / "usr/bin/qemu-system-x86_64").unlink()
    (host.root / "usr/share/OVMF/OVMF_CODE_4M.fd").unlink()
    assert {check.name: check.state for check in problems(host)} == {
        "qemu": State.WARNING,
        "uefi firmware": State.WARNING,
    }


def test_too_little_space_is_a_warning(host: HostFacts) -> None:
    assert [check.name for check in problems(host, 1 << 60)] == ["disk space"]


def test_self_test_proves_this_host(session_sandbox: tuple[Sandbox, Path]) -> None:
    sandbox, base = session_sandbox
    heard: list[Event] = []
    checks = self_test(sandbox, base, lambda event: heard.append(event))
    assert [check for check in checks if check.state is not State.OK] == []
    assert len(checks) == 10 and len([event for event in heard if isinstance(event, Note)]) == 9
    assert not list(base.glob("self-test-*"))
