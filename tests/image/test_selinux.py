"""SELinux in small trees. A whole system's labels, and its boots, are in tests/e2e/test_selinux.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import pytest

from os_image_composer.build.clock import SystemClock
from os_image_composer.build.step import Kind, Result, Work
from os_image_composer.chroot.job import Completed, Tree
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.chroot.services import Packages, Services
from os_image_composer.chroot.tree import Xattr
from os_image_composer.errors import StepError
from os_image_composer.image.kernel import KernelChoice
from os_image_composer.image.selinux import ComputeLabels, Labels, Selinux, config_text, set_selinux

MakeLayer = Callable[..., Path]
CONFIG = b"# a remark\nSELINUX=permissive\n  SELINUXTYPE = other  # odd\nSETLOCALDEFS=0\n"
RULES = rb"""
/.*             u:object_r:default_t:s0
/proc       -d  <<none>>
/opt/.*     --  u:object_r:opt_t:s0
/lost\+found -d u:object_r:lost_t:s0
"""
POLICY = {
    "/etc/selinux/mine/contexts/files/file_contexts": RULES,
    "/etc/selinux/mine/policy/policy.33": b"policy",
}
KERNEL = {"/boot/vmlinuz-6.1": b"k", "/usr/lib/modules/6.1/modules.dep": b""}
WITH = {"/boot/config-6.1": b"CONFIG_X=y\nCONFIG_SECURITY_SELINUX=y\n"}
ENFORCING = Selinux("enforcing", ("a-policy", "its-tools"))


def configured(sandbox: Sandbox, layer: MakeLayer, files: Mapping[str, bytes], selinux: Selinux) -> dict[str, bytes]:
    """The configuration, and what asks for labels at the next boot, after the tree was told."""
    tree = Tree((layer("lower", dict(files)),), layer("upper"))
    set_selinux(sandbox, tree, selinux)
    return sandbox.read(tree, ["/etc/selinux/config", "/.autorelabel"])


def test_mode_and_installed_policy_are_set_and_the_rest_of_the_file_stays(sandbox: Sandbox, layer: MakeLayer) -> None:
    files = {**POLICY, "/etc/selinux/config": CONFIG, "/.autorelabel": b""}
    assert configured(sandbox, layer, files, ENFORCING) == {
        "/etc/selinux/config": b"# a remark\nSELINUX=enforcing\nSELINUXTYPE=mine\nSETLOCALDEFS=0\n"
    }


def test_configuration_is_made_where_there_is_none(sandbox: Sandbox, layer: MakeLayer) -> None:
    found = configured(sandbox, layer, POLICY, ENFORCING)
    assert found == {"/etc/selinux/config": b"SELINUX=enforcing\nSELINUXTYPE=mine\n"}


def test_disabled_needs_no_policy_and_makes_no_file(sandbox: Sandbox, layer: MakeLayer) -> None:
    assert configured(sandbox, layer, {}, Selinux("disabled", ())) == {}


def test_disabled_leaves_the_policys_name(sandbox: Sandbox, layer: MakeLayer) -> None:
    found = configured(sandbox, layer, {"/etc/selinux/config": CONFIG}, Selinux("disabled", ()))
    assert found["/etc/selinux/config"] == CONFIG.replace(b"=permissive", b"=disabled")


@pytest.mark.parametrize(
    "files",
    [
        {"/etc/selinux/config": CONFIG},
        {path: text for path, text in POLICY.items() if "policy.33" not in path},
    ],
)
def test_missing_policy_is_an_error_that_names_the_distributions_packages(
    sandbox: Sandbox, layer: MakeLayer, files: dict[str, bytes]
) -> None:
    with pytest.raises(StepError) as caught:
        configured(sandbox, layer, files, ENFORCING)
    assert caught.value.reference == "no-selinux-policy"
    assert "a-policy, its-tools" in (caught.value.hint or "")
    assert caught.value.key == "systemConfig.selinux"


def test_of_several_policies_none_is_chosen(sandbox: Sandbox, layer: MakeLayer) -> None:
    files = {**POLICY, **{path.replace("mine", "other"): text for path, text in POLICY.items()}}
    with pytest.raises(StepError, match="mine, other") as caught:
        configured(sandbox, layer, files, ENFORCING)
    assert caught.value.reference == "several-selinux-policies"


def test_configuration_with_a_setting_twice_says_the_same_twice() -> None:
    assert config_text(b"SELINUX=a\nSELINUX=b", "enforcing", "mine") == (
        b"SELINUX=enforcing\nSELINUX=enforcing\nSELINUXTYPE=mine\n"
    )


def computed(sandbox: Sandbox, place: Path, lower: tuple[Path, ...]) -> Labels:
    """What the step leaves for the root `lower`."""
    output, scratch = place / "labels", place / "work"
    output.mkdir()
    scratch.mkdir()
    results = [Result("", Kind.TREE, "", path) for path in lower]
    services = Services(sandbox, cast(Packages, None), {}, {}, SystemClock())
    work = Work(services, tuple(("lower", result) for result in results), output, scratch, lambda line: None)
    ComputeLabels(KernelChoice("boot/vmlinuz-*", "usr/lib/modules", None, every=True)).run(work)
    return Labels.read(output)


def root(**more: bytes) -> dict[str, bytes]:
    config = {"/etc/selinux/config": b"SELINUX=enforcing\nSELINUXTYPE=mine\n"}
    return {**POLICY, **KERNEL, **WITH, **config, **more}


def types(attributes: tuple[Xattr, ...]) -> dict[str, str]:
    assert {attribute.name for attribute in attributes} == {"security.selinux"}
    assert all(attribute.value.endswith(b":s0\0") for attribute in attributes)
    return {attribute.path: attribute.value.split(b":")[2].decode() for attribute in attributes}


def test_everything_in_the_merged_root_has_the_label_of_its_policy(
    sandbox: Sandbox, layer: MakeLayer, place: Path, sh: Callable[..., Completed]
) -> None:
    lower, upper = layer("lower", {**root(), "/proc/x": b"", "/gone": b"", "/opt/f": b""}), layer("upper")
    # A file with a second name outside of /opt, which comes first; a name that is no text; a link; one that is gone.
    script = r"rm /gone; ln /opt/f /a; ln -s f /opt/l; : > /opt/$(printf '\303\050')"
    assert sh(script, lower=(lower,), upper=upper).status == 0
    labels = computed(sandbox, place, (lower, upper))
    found = types(labels.tree)
    assert set(found) == {entry.path for entry in sandbox.listing(Tree((lower, upper)))} - {"proc"}
    assert "gone" not in found
    assert found[""] == found["opt"] == found["proc/x"] == found["opt/l"] == "default_t"
    assert found["opt/\udcc3("] == "opt_t"
    assert found["a"] == found["opt/f"] == "default_t"  # one file: by its first name
    assert types(labels.lost_and_found) == {"lost+found": "lost_t"}


def test_folder_that_mke2fs_would_make_is_labelled_once(sandbox: Sandbox, layer: MakeLayer, place: Path) -> None:
    labels = computed(sandbox, place, (layer("lower", {**root(), "/lost+found/x": b""}),))
    assert types(labels.tree)["lost+found"] == "lost_t"
    assert labels.lost_and_found == ()


def test_administrators_rules_and_aliases_count(sandbox: Sandbox, layer: MakeLayer, place: Path) -> None:
    base = "/etc/selinux/mine/contexts/files/file_contexts"
    more = {
        f"{base}.local": b"/opt/app/.* u:object_r:app_t:s0\n",
        f"{base}.subs": b"/srv/app /opt/app\n",
        f"{base}.subs_dist": b"/lib /opt\n",
        f"{base}.homedirs": b"/home/.* u:object_r:home_t:s0\n",
    }
    files = dict.fromkeys(("/srv/app/x", "/lib/x", "/home/x"), b"")
    found = types(computed(sandbox, place, (layer("lower", {**root(), **more, **files}),)).tree)
    assert (found["srv/app/x"], found["lib/x"], found["home/x"]) == ("app_t", "opt_t", "home_t")


def test_rule_that_is_none_fails_the_build_with_its_place(sandbox: Sandbox, layer: MakeLayer, place: Path) -> None:
    rules = {"/etc/selinux/mine/contexts/files/file_contexts.local": b"# mine\n/opt/(x u:object_r:t:s0\n"}
    with pytest.raises(StepError) as caught:
        computed(sandbox, place, (layer("lower", {**root(), **rules, "/opt/x": b""}),))
    assert caught.value.reference == "selinux-policy-unusable"
    assert "/etc/selinux/mine/contexts/files/file_contexts.local:2: " in (caught.value.cause or "")


@pytest.mark.parametrize("path", ["/boot/config-6.1", "/usr/lib/modules/6.1/config", "/boot/config-6.0"])
def test_kernel_without_selinux_fails_the_build(sandbox: Sandbox, layer: MakeLayer, place: Path, path: str) -> None:
    older = {path.replace("6.1", "6.0"): b"" for path in KERNEL}
    without = {path: b"CONFIG_SECURITY_SELINUX_DEVELOP=y\n# CONFIG_SECURITY_SELINUX is not set\n"}
    files = {**root(), **older, **without}
    with pytest.raises(StepError) as caught:
        computed(sandbox, place, (layer("lower", files),))
    assert (caught.value.reference, caught.value.key) == ("kernel-without-selinux", "systemConfig.selinux")
