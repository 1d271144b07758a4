"""The template language: every key, what it may hold, and which keys are only known so far.

Key names are those of the tool's predecessor, so its templates can be read. A key that this version does not
carry out is an error that says so, unless its value asks for nothing (`immutability: {enabled: false}`).
Lists and mappings hold what one file says, or the merge of several; `load` makes the frozen `ImageSpec`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from os_image_composer.config import rules
from os_image_composer.config.partition_types import PARTITION_TYPES
from os_image_composer.config.rules import choice, not_built, pattern, wrong

__all__ = [
    "ConfigurationTemplate",
    "DiskTemplate",
    "ImageTemplate",
    "KernelTemplate",
    "PartitionTemplate",
    "SystemTemplate",
    "UserTemplate",
]

ACCOUNT = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,31}"
ACCOUNT_HINT = "letters, digits, '.', '_' and '-', at most 32, not beginning with '.' or '-'"
FILE_SYSTEMS = ("ext4", "fat32", "vfat")
LATER_FILE_SYSTEMS = ("btrfs", "erofs", "ext2", "ext3", "fat16", "linux-swap", "squashfs", "xfs")
# What a hash's crypt(5) prefix says about hash_algo.
PREFIXES = {"sha512": ("$6$",), "sha256": ("$5$",), "bcrypt": ("$2a$", "$2b$", "$2y$")}

Text = Annotated[str, AfterValidator(rules.single_line)]
Account = Annotated[str, AfterValidator(pattern(ACCOUNT, ACCOUNT_HINT))]
Package = Annotated[str, AfterValidator(rules.package)]
FieldPath = Annotated[str, AfterValidator(rules.field_path)]
Program = Annotated[str, AfterValidator(rules.program)]
ImageFile = Annotated[str, AfterValidator(rules.image_file)]
Size = Annotated[int, BeforeValidator(rules.size)]
Later = Annotated[Any, AfterValidator(not_built())]
LaterList = Annotated[Any, AfterValidator(not_built(lambda value: value == []))]
LaterSwitch = Annotated[bool, AfterValidator(not_built(lambda value: not value))]
Packages = list[Package]


class Section(BaseModel):
    """Strict: an unknown key is an error, and a number is not text. Input is kept out of error texts."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class Metadata(Section):
    """For people and search; a build ignores it."""

    description: str | None = None
    use_cases: list[str] = Field([], alias="use_cases")
    keywords: list[str] = []


class Image(Section):
    name: Annotated[
        str,
        AfterValidator(
            pattern(
                r"[a-zA-Z0-9]([a-zA-Z0-9_-]{0,62}[a-zA-Z0-9])?",
                "letters, digits, '-' and '_', at most 64, beginning and ending with a letter or digit",
            )
        ),
    ]
    version: Annotated[
        str,
        AfterValidator(
            pattern(
                r"[0-9]{1,9}(\.[A-Za-z0-9-]{1,32}){0,2}(\+[A-Za-z0-9.-]{1,32})?",
                "one to three parts divided by dots, the first a number, then perhaps '+' and a build's name",
            )
        ),
    ]


class Target(Section):
    """`os`, `dist` and `arch` are compared with what the distribution data offers, so only typed here."""

    os: str
    dist: str
    arch: str
    image_type: Annotated[str, AfterValidator(choice(("raw",), ("img", "iso", "wsl2")))]


class ArtifactTemplate(Section):
    type: Annotated[str, AfterValidator(choice(("raw",), ("qcow2", "tar", "vdi", "vhd", "vhdx", "vmdk")))] = "raw"
    compression: Annotated[str, AfterValidator(choice((), ("bz2", "gz", "gzip", "xz", "zstd")))] | None = None


class PartitionTemplate(Section):
    id: Annotated[str, AfterValidator(pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,35}", "letters, digits, '-' and '_'"))]
    index: Later = None
    name: (
        Annotated[str, AfterValidator(pattern(r"[ !#-\[\]-~]{1,36}", '1 to 36 ASCII characters without " and \\'))]
        | None
    ) = None
    type: Annotated[str, AfterValidator(choice(tuple(PARTITION_TYPES)))] | None = None
    type_uuid: (
        Annotated[
            str,
            AfterValidator(
                pattern(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", "a GUID: 8-4-4-4-12 hex digits")
            ),
        ]
        | None
    ) = Field(None, alias="typeUUID")
    fs_type: Annotated[str, AfterValidator(choice(FILE_SYSTEMS, LATER_FILE_SYSTEMS))] | None = None
    fs_label: (
        Annotated[str, AfterValidator(pattern(r"[A-Za-z0-9_.-]{1,16}", "1 to 16 of A-Z a-z 0-9 _ . -"))] | None
    ) = None
    start: Size
    end: Annotated[int | None, BeforeValidator(rules.partition_end)]
    mount_point: FieldPath | None = None
    mount_options: (
        Annotated[str, AfterValidator(pattern(r"[A-Za-z0-9=,._:+/@%-]+", "options divided by commas"))] | None
    ) = None
    flags: list[Annotated[str, AfterValidator(choice(("boot", "esp"), ("bios_grub", "legacy_boot")))]] = []


class DiskTemplate(Section):
    name: Text
    path: Later = None
    selection_policy: Later = None
    extend_last_partition_to_fill_disk: LaterSwitch = False
    artifacts: list[ArtifactTemplate] = []
    size: Size
    partition_table_type: Annotated[str, AfterValidator(choice(("gpt",), ("mbr",)))] = "gpt"
    partitions: list[PartitionTemplate]


class BootloaderTemplate(Section):
    boot_type: Annotated[str, AfterValidator(choice(("efi",), ("legacy",)))] | None = None
    provider: Annotated[str, AfterValidator(choice(("systemd-boot",), ("grub", "grub2")))] | None = None


class KernelTemplate(Section):
    name: Later = None
    version: Annotated[str, AfterValidator(pattern(r"[0-9][A-Za-z0-9.+~_-]*", "such as 6.12 or 6.12.48"))] | None = None
    cmdline: Annotated[str, AfterValidator(rules.kernel_command_line)] | None = None
    enable_extra_modules: Annotated[str, AfterValidator(rules.module_names)] | None = None
    uki: Annotated[bool, AfterValidator(not_built(lambda value: value))] | None = None
    packages: Packages | None = None


class Immutability(Section):
    enabled: bool
    secure_boot_db_key: str | None = Field(None, alias="secureBootDBKey")
    secure_boot_db_crt: str | None = Field(None, alias="secureBootDBCrt")
    secure_boot_db_cer: str | None = Field(None, alias="secureBootDBCer")


class Encryption(Section):
    enabled: bool
    passphrase_file: str | None = None
    partitions: list[str] = []
    unlock: str | None = None


class UserTemplate(Section):
    name: Account
    password: Annotated[str, AfterValidator(rules.password)] | None = None
    hash_algo: Annotated[str, AfterValidator(choice(("sha512", "sha256", "bcrypt", "md5")))] | None = Field(
        None, alias="hash_algo"
    )
    password_max_age: Later = None
    startup_script: Annotated[str, AfterValidator(not_built(lambda value: value == ""))] | None = None
    groups: list[Account] = []
    sudo: bool | None = None
    home: FieldPath | None = None
    shell: Program | None = None

    @model_validator(mode="after")
    def hash_is_what_it_says(self) -> UserTemplate:
        """`hash_algo` describes a hashed password; a plain one is always hashed with SHA-512."""
        algorithm, password = self.hash_algo, self.password
        if algorithm == "md5":
            raise wrong("weak-hash", "cannot be md5, which is not safe", "use sha512", at="hash_algo")
        if algorithm is None or password is None:
            return self
        if not rules.is_hash(password):
            if algorithm != "sha512":
                message = f"'{algorithm}' for a plain password is not built yet"
                hint = "use sha512, or write the password as hashed text"
                raise wrong("not-built-yet", message, hint, at="hash_algo")
        elif not password.startswith(PREFIXES[algorithm]):
            message = f"says {algorithm}, but the password is hashed another way"
            raise wrong("wrong-value", message, "remove hash_algo: the hash names its method", at="hash_algo")
        return self


class FileTemplate(Section):
    local: Annotated[str, AfterValidator(rules.single_line)]
    final: ImageFile
    stage: Annotated[str, AfterValidator(not_built(lambda value: value == ""))] | None = None


class ConfigurationTemplate(Section):
    cmd: Annotated[str, AfterValidator(rules.command)]


class SystemTemplate(Section):
    name: (
        Annotated[str, AfterValidator(pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "letters, digits, '.', '_', '-'"))]
        | None
    ) = None
    description: str | None = None
    hostname: Annotated[str, AfterValidator(rules.hostname)] | None = None
    initramfs: Later = None
    packages: Packages = []
    bootloader: BootloaderTemplate | None = None
    kernel: KernelTemplate | None = None
    immutability: Annotated[Immutability, AfterValidator(not_built(lambda value: not value.enabled))] | None = None
    fde: Annotated[Encryption, AfterValidator(not_built(lambda value: not value.enabled))] | None = None
    users: list[UserTemplate] = []
    network: Annotated[Any, AfterValidator(not_built(lambda value: value in ({}, {"interfaces": []})))] = None
    additional_files: list[FileTemplate] = []
    configurations: list[ConfigurationTemplate] = []


class ImageTemplate(Section):
    """One file, or the merge of a chain of files."""

    extends: Later = None
    metadata: Metadata | None = None
    image: Image
    target: Target
    baseline: Later = None
    overlay_policy: Later = None
    disk: DiskTemplate | None = None
    system_config: SystemTemplate | None = None
    package_repositories: LaterList = None
    sbom_package_metadata: LaterList = None
