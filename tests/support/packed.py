"""The sample of Debian 13 in every format, and how qemu-img calls these."""

from __future__ import annotations

from pathlib import Path

from support.workshop import CHECKOUT, TEMPLATE

QEMU = {"qcow2": "qcow2", "vhd": "vpc", "vhdx": "vhdx", "vmdk": "vmdk", "vdi": "vdi"}
VIRTUAL = tuple(QEMU)
DEFAULT = CHECKOUT / "config/osv/debian/debian13/imageconfigs/defaultconfigs/default-raw-x86_64.yml"
ARTIFACTS = """\
  artifacts:
    - {type: raw, bmap: true}
    - {type: qcow2}
    - {type: vhd, subformat: fixed}
    - {type: vhdx}
    - {type: vmdk, subformat: monolithic}
    - {type: vdi}
    - {type: tar}
    - {type: raw, compression: zstd}
"""


def packed_template(path: Path, artifacts: str = ARTIFACTS) -> Path:
    """Write the sample with the disk of its OS default template and other `artifacts`."""
    default = DEFAULT.read_text()
    disk = default[default.index("disk:") : default.index("systemConfig:")]
    one = "  artifacts:\n    - type: raw\n"
    assert one in disk
    path.write_text(TEMPLATE.read_text().replace("systemConfig:", disk.replace(one, artifacts) + "systemConfig:", 1))
    return path
