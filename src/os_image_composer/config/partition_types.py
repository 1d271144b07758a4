"""GPT partition types by name.

Source: the Discoverable Partitions Specification of the UAPI Group (UAPI.2) for everything that systemd
knows; the UEFI specification 2.10 §5.3.3, table "Defined GPT Partition Entry - Partition Type GUIDs", for the
ESP; GRUB's manual, "BIOS installation", for `bios`; the Linux kernel and util-linux lists for RAID and LVM.
"""

from __future__ import annotations

__all__ = ["PARTITION_TYPES", "ROOT_TYPE_BY_ARCH", "VERITY_TYPE_BY_ARCH", "type_guid"]

PARTITION_TYPES = {
    "esp": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "xbootldr": "BC13C2FF-59E6-4262-A352-B275FD6F7172",
    "bios": "21686148-6449-6E6F-744E-656564454649",
    "linux": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "linux-root-amd64": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "linux-root-arm64": "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
    "linux-root-amd64-verity": "2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5",
    "linux-root-arm64-verity": "DF3300CE-D69F-4C92-978C-9BFB0F38D820",
    "linux-swap": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
    "linux-home": "933AC7E1-2EB4-4F13-B844-0E14E2AEF915",
    "linux-srv": "3B8F8425-20E0-4F3B-907F-1A25A76F98E8",
    "linux-var": "4D21B016-B534-45C2-A9FB-5C16E091FD2D",
    "linux-tmp": "7EC6F557-3BC5-4ACA-B293-16EF5DF639D1",
    "linux-lvm": "E6D6D379-F507-44C2-A23C-238F2A3DF928",
    "linux-raid": "A19D880F-05FC-4D3B-A006-743F0F84911E",
    "linux-luks": "CA7D7CCB-63ED-4C53-861C-1742536059CC",
    "linux-dm-crypt": "7FFEC5C9-2D00-49B7-8941-3EA10A5586B7",
}
ROOT_TYPE_BY_ARCH = {"x86_64": "linux-root-amd64", "aarch64": "linux-root-arm64"}
VERITY_TYPE_BY_ARCH = {arch: f"{name}-verity" for arch, name in ROOT_TYPE_BY_ARCH.items()}


def type_guid(name: str) -> str:
    """The GUID of the partition type `name`, in upper case. Raises KeyError for an unknown name."""
    return PARTITION_TYPES[name]
