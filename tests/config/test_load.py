from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.load import check_template, load_image_spec

Write = Callable[..., Path]
CHECKOUT = Path(__file__).resolve().parents[2]
SAMPLES = sorted((CHECKOUT / "image-templates").glob("*.yml"))
HEAD = """\
image: {name: test, version: "1.0"}
target: {os: debian, dist: debian13, arch: x86_64, imageType: raw}
"""
SYSTEM = HEAD + "systemConfig:\n"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_is_without_findings_and_loads(sample: Path, data: Path) -> None:
    assert check_template(sample, data) == ()
    spec = load_image_spec(sample, data)
    assert sample.stem.startswith(f"{spec.target.dist}-{spec.target.arch}-")
    assert sample.stem.endswith(f"-{spec.target.image_type}")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_loading_is_stable(sample: Path, data: Path) -> None:
    assert load_image_spec(sample, data) == load_image_spec(sample, data)


def test_the_least_template_gets_the_rest_from_the_os_default(write: Write, data: Path) -> None:
    spec = load_image_spec(write(HEAD), data)
    assert (spec.name, spec.version, spec.config_name) == ("test", "1.0", "default")
    assert (spec.bootloader.boot_type, spec.bootloader.provider) == ("efi", "systemd-boot")
    assert spec.kernel.packages == ("linux-image-amd64",)
    assert "console=ttyS0" in spec.kernel.cmdline
    assert [group.label for group in spec.package_groups] == ["default"]
    assert [p.mount_point for p in spec.disk.partitions] == ["/boot/efi", "/", None, None]


def test_the_templates_packages_are_a_group_of_their_own_without_those_below(write: Write, data: Path) -> None:
    default, own = load_image_spec(write(SYSTEM + "  packages: [jq, apt, tmux]\n"), data).package_groups
    assert (default.label, own.label) == ("default", "template")
    assert "apt" in default.packages
    assert "linux-image-amd64" in default.packages
    assert own.packages == ("jq", "tmux")


def test_a_replaced_kernel_is_not_installed_below_its_replacement(write: Write, data: Path) -> None:
    path = write(SYSTEM + "  kernel: {packages: [linux-image-cloud-amd64]}\n")
    default, own = load_image_spec(path, data).package_groups
    assert "linux-image-amd64" not in default.packages
    assert own.packages == ("linux-image-cloud-amd64",)


def test_a_kernel_without_packages_is_refused(write: Write, data: Path) -> None:
    findings = check_template(write(SYSTEM + "  kernel: {packages: []}\n"), data)
    assert [finding.reference for finding in findings] == ["missing-key"]


def test_a_plain_password_and_a_hash_are_told_apart(write: Write, data: Path) -> None:
    hashed = f"$6$salt${'x' * 86}"
    users = f"  users: [{{name: a, password: '$ecret'}}, {{name: b, password: '{hashed}'}}, {{name: c}}]\n"
    plain, ready, locked = load_image_spec(write(SYSTEM + users), data).users
    assert plain.password is not None
    assert (plain.password.reveal(), plain.password_hash) == ("$ecret", None)
    assert ready.password_hash is not None
    assert (ready.password, ready.password_hash.reveal()) == (None, hashed)
    assert (locked.password, locked.password_hash) == (None, None)


@pytest.mark.parametrize("prefix", ["$y$j9T$", "$gy$j9T$", "$7$CU..../....", "$2b$12$", "$2y$12$", "$5$salt$", "$6$"])
def test_every_sound_crypt_method_is_known_as_hashed(write: Write, data: Path, prefix: str) -> None:
    path = write(SYSTEM + f"  users: [{{name: a, password: '{prefix}{'x' * 43}'}}]\n")
    (user,) = load_image_spec(path, data).users
    assert user.password is None
    assert user.password_hash is not None


def test_secrets_are_not_in_the_printed_spec(write: Write, data: Path) -> None:
    path = write(SYSTEM + "  users: [{name: a, password: hunter2}]\n")
    assert "hunter2" not in repr(load_image_spec(path, data))


def test_a_file_to_copy_is_found_beside_its_own_template(write: Write, data: Path, tmp_path: Path) -> None:
    write("x", "files/x.conf")
    path = write(SYSTEM + "  additionalFiles: [{local: files/x.conf, final: /etc/x}]\n")
    spec = load_image_spec(path, data)
    assert (tmp_path / "files" / "x.conf", "/etc/x") in [(f.local, f.final) for f in spec.additional_files]
    assert all(f.local.is_file() and f.local.is_absolute() for f in spec.additional_files)


def test_a_relative_template_path_works_from_any_folder(
    write: Write, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("x", "x.conf")
    write(SYSTEM + "  additionalFiles: [{local: ../x.conf, final: /etc/x}]\n", "sub/t.yml")
    monkeypatch.chdir(tmp_path)
    spec = load_image_spec(Path("sub/t.yml"), data)
    assert spec.additional_files[-1].local == tmp_path / "x.conf"


def test_an_error_in_the_default_template_names_that_file(write: Write, data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "config"
    shutil.copytree(data, copy)
    default = next(copy.glob("**/debian13/**/default-raw-x86_64.yml"))
    default.write_text(default.read_text().replace("  name: default\n", "  nam: default\n"))
    findings = check_template(write(HEAD), copy)
    assert {(f.reference, f.origin.file if f.origin else "") for f in findings} == {
        ("unknown-key", str(default)),
        ("missing-key", str(default)),
    }


def test_a_target_without_default_template_is_unknown(write: Write, data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "config"
    shutil.copytree(data, copy)
    for default in copy.glob("**/default-*.yml"):
        default.unlink()
    (finding,) = check_template(write(HEAD), copy)
    assert (finding.reference, finding.hint) == ("unknown-target", "there is no distribution data at all")


def test_commands_keep_their_order_and_their_place(write: Write, data: Path) -> None:
    path = write(SYSTEM + "  configurations:\n    - cmd: b\n    - cmd: a\n")
    commands = load_image_spec(path, data).configurations
    assert [command.cmd for command in commands][-2:] == ["b", "a"]
    assert [str(command.origin) for command in commands][-2:] == [f"{path}:5:12", f"{path}:6:12"]
