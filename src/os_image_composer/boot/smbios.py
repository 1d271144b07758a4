"""System credentials that the firmware hands to the guest, as SMBIOS strings.

systemd reads credentials from SMBIOS type 11 strings `io.systemd.credential.binary:NAME=BASE64`
(systemd.system-credentials(7), systemd ≥ 252); the generator of systemd ≥ 256 makes units of the credentials
`systemd.extra-unit.UNIT` and drop-ins of `systemd.unit-dropin.UNIT~NAME` (systemd-debug-generator(8)).
So a unit gets into a guest whose image was never touched.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from os_image_composer.errors import BootError

# An SMBIOS 2.x structure table is at most 65,535 bytes (SMBIOS 3.7, 5.2.1), and the firmware's own share of it is
# small; half of it is far more than a report needs and keeps QEMU from refusing to start.
LIMIT = 32 * 1024


@dataclass(frozen=True)
class Credential:
    name: str
    value: bytes


def extra_unit(unit: str, text: str) -> Credential:
    """A credential from which systemd ≥ 256 makes the unit `unit`."""
    return Credential(f"systemd.extra-unit.{unit}", text.encode())


def unit_dropin(unit: str, name: str, text: str) -> Credential:
    """A credential from which systemd ≥ 256 makes `unit.d/name.conf`."""
    return Credential(f"systemd.unit-dropin.{unit}~{name}", text.encode())


def smbios_arguments(credentials: tuple[Credential, ...]) -> tuple[str, ...]:
    """QEMU's arguments that hand over `credentials`; nothing for none. Raises BootError when they are too long."""
    if not credentials:
        return ()
    values = [f"io.systemd.credential.binary:{c.name}={base64.b64encode(c.value).decode()}" for c in credentials]
    size = sum(len(v) + 1 for v in values)
    if size > LIMIT:
        raise BootError(
            "boot-credentials-too-long",
            f"the report unit and its probes need {size} bytes of SMBIOS strings",
            cause=f"at most {LIMIT} bytes fit",
            hint="use fewer or shorter probes",
        )
    # QEMU's option syntax: a comma in a value is doubled.
    return ("-smbios", "type=11," + ",".join("value=" + v.replace(",", ",,") for v in values))
