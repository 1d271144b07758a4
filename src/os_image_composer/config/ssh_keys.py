"""Lines of authorized_keys: sshd(8), "AUTHORIZED_KEYS FILE FORMAT"; key blobs are RFC 4253 §6.6."""

from __future__ import annotations

import base64
import binascii
import re

from os_image_composer.config.nearest import allowed_values
from os_image_composer.config.rules import wrong

__all__ = ["authorized_key"]

TYPES = (
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "ssh-ed25519",
    "ssh-rsa",
)
# Options divided by commas; within double quotes anything, and \" is a quote.
OPTIONS = re.compile(r'[A-Za-z0-9-]+(="(\\"|[^"])*")?(,[A-Za-z0-9-]+(="(\\"|[^"])*")?)*')
LEAST_RSA_BITS = 2048


def authorized_key(value: str) -> str:
    """A line that lets one key in: `[options] type base64 [comment]`."""
    line = value.strip()
    if "PRIVATE KEY" in line:
        raise wrong("private-key", "is a private key", "give the public one, from the file that ends in .pub")
    if any(ord(character) < 32 or ord(character) == 127 for character in line):
        raise wrong("wrong-value", "cannot hold line breaks or control characters", "one key in each item of the list")
    kind, _, rest = _without_options(line).partition(" ")
    blob = rest.strip().partition(" ")[0]
    if kind == "ssh-dss":
        raise wrong("weak-key", "is a DSA key, which sshd does not take", "use ssh-ed25519")
    if kind not in TYPES:
        raise wrong("wrong-value", f"begins with '{kind[:40]}', which is no type of key", allowed_values(kind, TYPES))
    fields = _fields(blob)
    if not fields or fields[0] != kind.encode():
        raise wrong("wrong-value", f"the key after '{kind}' is not whole", "copy the whole line of the .pub file")
    if kind == "ssh-rsa" and (len(fields) < 3 or int.from_bytes(fields[2]).bit_length() < LEAST_RSA_BITS):
        raise wrong("weak-key", f"is an RSA key of less than {LEAST_RSA_BITS} bits", "use ssh-ed25519")
    return line


def _without_options(line: str) -> str:
    if line.split(" ", 1)[0] in (*TYPES, "ssh-dss"):
        return line
    options = OPTIONS.match(line)
    if options and line[options.end() :].startswith(" "):
        rest = line[options.end() :].lstrip()
        if rest.split(" ", 1)[0] in (*TYPES, "ssh-dss"):
            return rest
    return line


def _fields(blob: str) -> list[bytes]:
    """The strings of a key blob, each after its length in four bytes; nothing when it is cut off."""
    try:
        data = base64.b64decode(blob, validate=True)
    except (binascii.Error, ValueError):
        return []
    fields = []
    while data:
        size = int.from_bytes(data[:4])
        if len(data) < 4 + size:
            return []
        fields.append(data[4 : 4 + size])
        data = data[4 + size :]
    return fields
