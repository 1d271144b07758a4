"""What a finished build tells."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from os_image_composer.build.execute import Outcome, StepReport
from os_image_composer.build.plan import Plan
from os_image_composer.build.step import Kind, Result
from os_image_composer.cli.summary import result_fields, summary_lines
from os_image_composer.config.spec import Artifact
from os_image_composer.provider.boot_keys import BootCertificates, KnownCertificate
from os_image_composer.provider.interface import Published

# As modules, not by name: what is left out below has no value of its type.
interface = importlib.import_module("os_image_composer.provider.interface")
lock = importlib.import_module("os_image_composer.ospackage.lock")


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(tmp_path)
    image = tmp_path / "out dir" / "a-1.0.raw"
    image.parent.mkdir()
    with image.open("wb") as stream:
        stream.write(b"x" * (1 << 20))
        stream.truncate(64 << 20)
    package = lock.LockedPackage("libc6", "2.41", "amd64", "main", "p", 1, "0" * 64, 1, True, "glibc", ())
    packages = lock.PackageSet((lock.Transaction("default", (package,)),))
    final = Result("k", Kind.ARTIFACT, "d" * 64, None, size=64 << 20)
    steps = (
        StepReport("packages:default", "1" * 64, "reused", 0.0, "unchanged"),
        StepReport("disk-image", "2" * 64, "ran", 4.25, "hostname changed"),
    )
    preparation = interface.Preparation(
        spec=None,
        chosen=interface.ChosenLock(lock.Lock("debian", "debian13", "x86_64", "s", 0, (), {"image": packages})),
        plan=Plan("a", "sandbox 1", (), ("disk",)),
        output=image.parent,
        passwords=None,
        host_files={},
        boot_certificates=None,
    )
    manifest = image.with_suffix(".manifest.json")
    outcome = Outcome({"disk": final}, {"disk": image}, steps)
    file = interface.PublishedFile(image, Artifact("raw"), "disk", 64 << 20, "d" * 64)
    return interface.Published((file,), manifest, manifest, None, (), outcome, preparation, 4.5)


def test_the_summary_tells_where_the_image_is_and_what_took_how_long(published: object) -> None:
    text = "\n".join(summary_lines(published, "os-image-composer"))  # type: ignore[arg-type]
    assert "image     out dir/a-1.0.raw\n" in text
    assert "size      64 MiB, 1 MiB on disk\n" in text
    assert f"sha256    {'d' * 64}\n" in text
    assert "packages  1\n" in text
    assert "packages:default  reused\n" in text
    assert "disk-image        ran          4.2\n" in text


def test_the_command_that_boots_the_image_can_be_pasted(published: object) -> None:
    *_, boot, check = summary_lines(published, ".venv/bin/os-image-composer")  # type: ignore[arg-type]
    assert boot == "boot it   .venv/bin/os-image-composer boot 'out dir/a-1.0.raw'"
    assert check == "check it  .venv/bin/os-image-composer boot --check 'out dir/a-1.0.raw'"


def test_signed_image_is_booted_with_its_keys(published: object) -> None:
    assert isinstance(published, Published)
    nobody = KnownCertificate("ab" * 32, "CN=a", False, b"")
    preparation = replace(published.preparation, boot_certificates=BootCertificates(nobody, nobody, nobody, ()))
    *_, keys, _time, boot, check = summary_lines(replace(published, preparation=preparation), "composer")
    assert keys == "keys      out dir/a-1.0.secure-boot"
    assert boot == "boot it   composer boot --secure-boot 'out dir/a-1.0.raw'"
    assert check == "check it  composer boot --check --secure-boot 'out dir/a-1.0.raw'"


def test_the_result_event_is_json(published: object) -> None:
    fields = json.loads(json.dumps(result_fields(published)))  # type: ignore[arg-type]
    assert (fields["size"], fields["packages"], fields["seconds"]) == (64 << 20, 1, 4.5)
    assert Path(fields["image"]).is_absolute()
    assert fields["artifacts"] == [{"file": fields["image"], "size": 64 << 20, "sha256": "d" * 64}]
