"""The question to the guest and its answer: the injected script is run here, by this host's shell."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path

import pytest

from os_image_composer.boot.report import END, PORT, Answer, Probe, read_answer, report_credentials
from os_image_composer.boot.smbios import LIMIT, Credential, extra_unit, smbios_arguments, unit_dropin
from os_image_composer.errors import BootError


def injected_script(probes: tuple[Probe, ...]) -> str:
    unit = report_credentials(probes)[0].value.decode()
    match = re.search(r"echo (\S+) \| base64 -d", unit)
    assert match
    return base64.b64decode(match[1]).decode()


def answers_of(tmp_path: Path, probes: tuple[Probe, ...]) -> dict[str, Answer]:
    """Run the script with programs that stand for the guest's, and read what it wrote."""
    for name in ("systemctl", "systemd-analyze"):
        program = tmp_path / name
        program.write_text('#!/bin/sh\necho "$0 $*"\n')
        program.chmod(0o755)
    port = tmp_path / "port"
    port.touch()
    script = injected_script(probes).replace(f">{PORT}", f">>{port}")
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(["sh", "-c", script], env=environment, check=True, timeout=20, stdout=subprocess.DEVNULL)
    found = [read_answer(line) for line in port.read_text().splitlines()]
    return {a.name: a for a in found if a is not None}


def test_every_probe_is_answered_in_the_order_asked_and_the_end_comes_last(tmp_path: Path) -> None:
    names = list(answers_of(tmp_path, (Probe("mine", "true"),)))
    assert names[0] == "begin"
    assert names[-2:] == ["mine", END]
    assert {"state", "failed", "default-target", "target-active", "kernel"} <= set(names)


def test_output_status_and_quotes_of_a_probe_arrive_as_they_are(tmp_path: Path) -> None:
    command = "printf '%s\\n' \"it's\" '{\"a\": 1}' '100% $HOME' 'x\\x2dy'; echo oops >&2; exit 3"
    answer = answers_of(tmp_path, (Probe("hard", command),))["hard"]
    assert answer == Answer("hard", 3, 'it\'s\n{"a": 1}\n100% $HOME\nx\\x2dy\noops')


def test_what_firmware_and_boot_loader_write_to_the_port_is_no_answer() -> None:
    for line in ("BdsDxe: starting Boot0001", "", '{"report":', '{"report":"x","status":0,"output":"%%"}', "{}"):
        assert read_answer(line) is None


def test_a_probe_whose_name_could_break_the_line_is_refused() -> None:
    with pytest.raises(BootError):
        report_credentials((Probe('a"b', "true"),))


def test_the_unit_text_has_nothing_that_systemd_would_expand() -> None:
    unit = report_credentials((Probe("percent", "echo %h $HOME"),))[0].value.decode()
    assert "%" not in unit
    assert unit.replace("$$(", "").count("$") == 0


def test_credentials_become_smbios_strings_that_systemd_reads() -> None:
    flag, value = smbios_arguments((extra_unit("a.service", "[Unit]\n"), unit_dropin("b.target", "c", "x")))
    assert flag == "-smbios"
    assert value == (
        "type=11,value=io.systemd.credential.binary:systemd.extra-unit.a.service=W1VuaXRdCg=="
        ",value=io.systemd.credential.binary:systemd.unit-dropin.b.target~c=eA=="
    )


def test_a_comma_in_a_credential_name_cannot_add_an_option() -> None:
    assert smbios_arguments((Credential("a,path=/etc/shadow", b""),))[1].count(",,path") == 1


def test_no_credentials_are_no_arguments() -> None:
    assert smbios_arguments(()) == ()


def test_more_than_the_firmware_can_carry_is_refused_before_qemu_starts() -> None:
    with pytest.raises(BootError) as caught:
        smbios_arguments((Credential("long", b"x" * LIMIT),))
    assert caught.value.reference == "boot-credentials-too-long"
    assert len(smbios_arguments(report_credentials())[1]) < LIMIT // 4
