"""What a second build does: nothing, or just what the change asks for."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from os_image_composer.build.canonical import sha256_file
from os_image_composer.chroot.job import Job, Remove, Tree, WriteFile
from support.commands import told
from support.workshop import CHECKOUT, TEMPLATE, Workshop

pytestmark = pytest.mark.build

# What another file in a sealed root asks for: its filesystem, the hash tree, the UKI with the root hash, and the disk.
SEALED = {"root-filesystem", "verity", "boot", "disk"}


def copy_checkout(target: Path) -> Path:
    """The parts of the checkout that a build reads."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("src", "config", "image-templates"):
        shutil.copytree(CHECKOUT / name, target / name, ignore=ignore)
    return target


def variant(tmp_path: Path, before: str, after: str) -> Path:
    """The sample template with one thing changed, beside nothing it refers to."""
    text = TEMPLATE.read_text()
    assert before in text
    template = tmp_path / "variant.yml"
    template.write_text(text.replace(before, after))
    return template


def forget_image(built: Workshop) -> None:
    """Neither the image nor its root filesystem is there any more, so that the layers are needed again."""
    root = built.results()["root-filesystem"].content
    assert root is not None
    shutil.rmtree(root.parent)
    built.image().unlink()
    (built.cache / "published.json").unlink(missing_ok=True)


def test_unchanged_template_runs_no_step_from_a_moved_checkout_with_touched_files_and_another_zone(
    built: Workshop, tmp_path: Path
) -> None:
    first = told(built.run("build", "--json-events", str(TEMPLATE)))
    moved = copy_checkout(tmp_path / "one").rename(tmp_path / "two")
    for path in moved.rglob("*"):
        os.utime(path)
    template = moved / "image-templates" / TEMPLATE.name
    again = told(built.run("build", "--json-events", str(template), checkout=moved, TZ="Pacific/Kiritimati"))
    assert first.ran == again.ran == ()
    assert first.sha256 == again.sha256


def test_new_host_name_costs_the_configuration_and_what_seals_the_root(built: Workshop, tmp_path: Path) -> None:
    template = variant(tmp_path, "hostname: debian13", "hostname: elsewhere")
    out = str(tmp_path / "out")
    done = told(built.run("build", "--json-events", "--output", out, str(template)))
    assert set(done.ran) == {*SEALED, "initrd-configuration", "os-configuration", "sbom"}
    assert "hostname changed: debian13 → elsewhere" in done.why["os-configuration"]


def test_file_that_the_initrd_generator_reads_makes_the_initrd_again(built: Workshop, tmp_path: Path) -> None:
    (tmp_path / "extra.conf").write_text('add_drivers+=" dummy "\n')
    addition = "  additionalFiles:\n    - {local: extra.conf, final: /etc/dracut.conf.d/extra.conf}\n\n  users:"
    template = variant(tmp_path, "  users:", addition)
    done = told(built.run("build", "--json-events", "--output", str(tmp_path / "out"), str(template)))
    assert set(done.ran) == {*SEALED, "initrd", "initrd-configuration", "os-configuration", "sbom"}


def test_added_package_keeps_the_layers_below(built: Workshop, tmp_path: Path) -> None:
    template = variant(tmp_path, "    - vim-tiny", "    - vim-tiny\n    - hello")
    done = told(built.run("build", "--json-events", "--output", str(tmp_path / "out"), str(template)))
    assert "packages:default" not in done.ran
    assert {"packages:template", "os-configuration", "disk"} <= set(done.ran)
    assert "+hello" in done.why["packages:template"]


def test_removed_image_is_copied_from_where_it_was_also_published(built: Workshop, tmp_path: Path) -> None:
    one = told(built.run("build", "--json-events", str(TEMPLATE)))
    other = told(built.run("build", "--json-events", "--output", str(tmp_path / "out"), str(TEMPLATE)))
    assert other.ran == ()
    assert other.sha256 == one.sha256
    copy = tmp_path / "out" / built.image().name
    assert copy.stat().st_size == built.image().stat().st_size
    assert copy.stat().st_blocks * 512 < copy.stat().st_size / 2
    assert sha256_file(copy) == sha256_file(built.image()) == one.sha256


def test_files_of_the_user_in_the_output_folder_stay(built: Workshop, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    told(built.run("build", "--json-events", "--output", str(out), str(TEMPLATE)))
    assert sorted(p.name for p in out.iterdir()) == [
        "debian13-minimal-1.0.cdx.json",
        "debian13-minimal-1.0.manifest.json",
        "debian13-minimal-1.0.raw",
        "debian13-minimal-1.0.sha256sums",
        "debian13-minimal-1.0.spdx.json",
        "notes.txt",
    ]


def test_flipped_byte_with_its_old_size_and_time_is_found_before_it_reaches_an_image(built: Workshop) -> None:
    before = told(built.run("build", "--json-events", str(TEMPLATE)))
    (layer,) = built.layers("os-configuration")
    path = layer / "etc" / "hostname"
    status = path.stat()
    path.write_bytes(b"dEbian13\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    forget_image(built)
    after = told(built.run("build", "--json-events", str(TEMPLATE)))
    assert sorted(after.ran) == ["disk", "os-configuration", "root-filesystem"]
    assert [w for w in after.warnings if "os-configuration" in w]
    assert after.sha256 == before.sha256


def test_damaged_layer_in_the_store_is_reported_and_made_again(built: Workshop) -> None:
    before = told(built.run("build", "--json-events", str(TEMPLATE)))
    (layer,) = built.layers("os-configuration")
    built.sandbox().edit(Tree(upper=layer), [WriteFile("/etc/hostname", b"tampered\n")])
    forget_image(built)
    after = told(built.run("build", "--json-events", str(TEMPLATE)))
    assert sorted(after.ran) == ["disk", "os-configuration", "root-filesystem"]
    assert [w for w in after.warnings if "os-configuration" in w]
    assert after.sha256 == before.sha256


def test_layer_without_a_file_and_boot_files_cut_short_never_reach_an_image(built: Workshop) -> None:
    before = told(built.run("build", "--json-events", str(TEMPLATE)))
    results = built.results()
    layer, boot = results["os-configuration"].content, results["boot"].content
    assert layer is not None and boot is not None
    built.sandbox().edit(Tree(upper=layer), [Remove("etc/hostname")])
    (uki,) = (boot / "esp/EFI/Linux").iterdir()
    os.truncate(uki, 1 << 20)
    forget_image(built)
    after = told(built.run("build", "--json-events", str(TEMPLATE)))
    assert sorted(after.ran) == ["boot", "disk", "os-configuration", "root-filesystem"]
    assert {w.partition(" step ")[2].split()[0] for w in after.warnings if "was damaged" in w} == {
        "os-configuration",
        "boot",
    }
    assert after.sha256 == before.sha256


def test_owner_changed_behind_the_stores_back_never_reaches_an_image(built: Workshop) -> None:
    """Sizes and times are as they were; only who reads the whole layer sees it."""
    before = told(built.run("build", "--json-events", str(TEMPLATE)))
    (layer,) = built.layers("os-configuration")
    tree = Tree(built.layers("essential"), layer)
    done = built.sandbox().run(Job(tree, ("chown", "7", "/etc/hostname")))
    assert done.status == 0
    forget_image(built)
    (built.cache / "published.json").write_text('{"half": ')
    after = told(built.run("build", "--json-events", str(TEMPLATE)))
    assert sorted(after.ran) == ["disk", "os-configuration", "root-filesystem"]
    assert [w for w in after.warnings if "os-configuration" in w]
    assert after.sha256 == before.sha256
