"""A template file as the `ImageSpec` that it asks for, or everything that is wrong with it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from os_image_composer.config import spec
from os_image_composer.config.artifacts import check_artifacts
from os_image_composer.config.boot_rules import check_boot
from os_image_composer.config.carried import check_carried
from os_image_composer.config.distribution_data import default_template_path, known_targets, load_distribution
from os_image_composer.config.findings import Location, check, failure, key_path, where
from os_image_composer.config.folders import faults_in_folder
from os_image_composer.config.image_types import check_image_type, required
from os_image_composer.config.layout import check_layout
from os_image_composer.config.merge import merge_templates, origins, takes_layout
from os_image_composer.config.nearest import allowed_values, did_you_mean
from os_image_composer.config.secure_boot import check_secure_boot
from os_image_composer.config.selinux import contradictions
from os_image_composer.config.tar_alone import check_tar_alone
from os_image_composer.config.template import DiskTemplate, ImageTemplate
from os_image_composer.config.to_spec import image_spec, local_file
from os_image_composer.config.yaml_source import MappingNode, Node, ScalarNode, SequenceNode, read_yaml
from os_image_composer.errors import Finding, Origin, TemplateError

__all__ = ["check_template", "load_image_spec"]

# Lists in which nothing stands twice, and the key that tells their items apart.
NO_TWICE: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("systemConfig", "users"), ("name",)),
    (("systemConfig", "groups"), ("name",)),
    (("systemConfig", "additionalFiles"), ("final",)),
    (("systemConfig", "live", "carry"), ("name",)),
    (("packageRepositories",), ("codename",)),
    (("systemConfig", "packages"), ()),
    (("systemConfig", "kernel", "packages"), ()),
)


@dataclass(frozen=True)
class _Checked:
    """A chain of templates, the most general first, each with its label; its merge; what is wrong with it."""

    chain: tuple[tuple[str, MappingNode], ...]
    merged: MappingNode
    model: ImageTemplate | None
    findings: tuple[Finding, ...]


def load_image_spec(template: Path, data: Path) -> spec.ImageSpec:
    """What `template`, over the OS default template in `data`, asks to be built.

    `data` is the folder that holds `osv`. Raises TemplateError with every finding.
    """
    checked = _check(template, data)
    if checked.findings or checked.model is None:
        raise failure(TemplateError, "invalid-template", f"'{template}'", checked.findings)
    return image_spec(checked.model, checked.chain, origins(checked.merged))


def check_template(template: Path, data: Path) -> tuple[Finding, ...]:
    """Everything that is wrong with `template`, in the order of its lines; nothing when it can be built."""
    try:
        return _check(template, data).findings
    except TemplateError as error:
        return error.findings


def _check(template: Path, data: Path) -> _Checked:
    user = read_yaml(template)
    findings = {*check(user, ImageTemplate)[1], *_repeated(user), *_empty(user)}
    unknown, default_path = _default_template(user, data)
    findings.update(unknown)
    if default_path is None:
        return _Checked((("template", user),), user, None, _in_order(findings, template))
    if takes_layout(user.get("disk")):
        at = where(user, ("disk",), key=True)
        findings = {f for f in findings if (f.reference, f.origin) != ("missing-key", at)}
    default = read_yaml(default_path)
    findings.update(check(default, ImageTemplate)[1], _repeated(default), _empty(default))
    chain = (("default", default), ("template", user))
    merged = merge_templates([node for _, node in chain])
    model, of_merge = check(merged, ImageTemplate)
    # What is wrong in one file is wrong in the merge too, but its key path there can have another number.
    said = {(finding.reference, finding.origin) for finding in findings}
    of_whole = (
        *of_merge,
        *_missing(merged),
        *_files(merged),
        *check_carried(merged),
        *_disk(merged, user),
        *_boot(merged, data, user),
        *check_image_type(merged, _text_at(merged, "target", "imageType")),
        *_suites(merged, data),
        *check_secure_boot(merged),
        *_selinux(merged),
    )
    findings.update(finding for finding in of_whole if (finding.reference, finding.origin) not in said)
    findings -= _lacking_where_nothing_may_be(findings)
    return _Checked(chain, merged, model, _in_order(findings, template))


def _lacking_where_nothing_may_be(findings: set[Finding]) -> set[Finding]:
    """What a section lacks that the kind of image cannot have at all: it is to be removed, not to be completed."""
    refused = {finding.origin for finding in findings if finding.reference == "image-type"}
    return {finding for finding in findings if finding.reference == "missing-key" and finding.origin in refused}


def _in_order(findings: set[Finding], template: Path) -> tuple[Finding, ...]:
    """The template's own findings first, then those in other files, each by line."""

    def place(finding: Finding) -> tuple[bool, Origin, str]:
        origin = finding.origin or Origin(str(template), 0, 0)
        return (origin.file != str(template), origin, finding.message)

    return tuple(sorted(findings, key=place))


def _text_at(node: MappingNode, *location: str) -> str | None:
    found: object = node
    for part in location:
        found = found.get(part) if isinstance(found, MappingNode) else None
    return found.value if isinstance(found, ScalarNode) and isinstance(found.value, str) else None


def _default_template(user: MappingNode, data: Path) -> tuple[tuple[Finding, ...], Path | None]:
    """The file of the OS default template for the target of `user`, or why there is none. A target that is
    not whole gives neither: the check of the file has said so."""
    words = [_text_at(user, "target", key) for key in ("os", "dist", "arch", "imageType")]
    known = [(t.os, t.dist, t.arch, t.image_type) for t in known_targets(data)]
    for depth, key in enumerate(("os", "dist", "arch"), 1):
        word = words[depth - 1]
        if word is None:
            return (), None
        if any(list(target[:depth]) == words[:depth] for target in known):
            continue
        siblings = sorted({t[depth - 1] for t in known if list(t[: depth - 1]) == words[: depth - 1]})
        near = did_you_mean(word, siblings)
        hint = (f"{near} " if near else "") + "there is " + (", ".join(siblings) or "no distribution data at all")
        message = f"there is no distribution data for 'target.{key}: {word}'"
        return (Finding("unknown-target", message, where(user, ("target", key)), hint),), None
    types = [target[3] for target in known if list(target[:3]) == words[:3]]
    os, dist, arch = (word or "" for word in words[:3])
    if words[3] not in types and any(words[3] == target[3] for target in known):
        message = f"there is no OS default template for 'target.imageType: {words[3]}' of {dist} on {arch}"
        place = where(user, ("target", "imageType"))
        return (Finding("unknown-target", message, place, "there is " + ", ".join(sorted(types))),), None
    # Of an image type that is not known the check of the file has told; another's default serves to find the rest.
    image_type = words[3] if words[3] in types else types[0]
    return (), default_template_path(data, spec.Target(os, dist, arch, image_type))


def _repeated(node: MappingNode) -> Iterator[Finding]:
    """What one template says twice: two users of one name, two files for one place, a package."""
    for list_location, key in NO_TWICE:
        items: Node | None = node
        for part in list_location:
            items = items.get(part) if isinstance(items, MappingNode) else None
        seen: set[str] = set()
        for index, item in enumerate(items.items if isinstance(items, SequenceNode) else ()):
            location: Location = (*list_location, index, *key)
            named = item.get(key[0]) if key and isinstance(item, MappingNode) else item
            value = named.text if isinstance(named, ScalarNode) else None
            if value in seen:
                message = f"'{key_path(location)}' is '{value}' a second time"
                yield Finding("duplicate-value", message, where(node, location))
            elif value is not None:
                seen.add(value)


def _empty(node: Node, location: Location = (), origin: Origin | None = None) -> Iterator[Finding]:
    """Keys without a value: a list whose items were all commented out would silently ask for the default."""
    if isinstance(node, ScalarNode) and node.value is None:
        hint = "give it a value or remove the line"
        yield Finding("wrong-type", f"'{key_path(location)}' has no value", origin or node.origin, hint)
    elif isinstance(node, MappingNode):
        for entry in node.entries:
            yield from _empty(entry.node, (*location, entry.key), entry.origin)
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.items):
            yield from _empty(item, (*location, index))


def _missing(merged: MappingNode) -> Iterator[Finding]:
    for path in required(_text_at(merged, "target", "imageType")):
        node: object = merged
        for part in path.split("."):
            node = node.get(part) if isinstance(node, MappingNode) else None
        if node is None or node == SequenceNode((), getattr(node, "origin", merged.origin)):
            message = f"neither the template nor the OS default says '{path}'"
            yield Finding("missing-key", message, where(merged, tuple(path.split(".")), key=True))


def _files(merged: MappingNode) -> Iterator[Finding]:
    """Files to copy that cannot be copied."""
    system = merged.get("systemConfig")
    files = system.get("additionalFiles") if isinstance(system, MappingNode) else None
    for item in files.items if isinstance(files, SequenceNode) else ():
        local = _text_at(item, "local") if isinstance(item, MappingNode) else None
        origin = where(item, ("local",))
        if local is None or "\0" in local:
            continue
        path = local_file(local, origin)
        final = (_text_at(item, "final") if isinstance(item, MappingNode) else None) or ""
        try:
            mode = path.stat().st_mode
            faults = list(faults_in_folder(path, final)) if stat.S_ISDIR(mode) else []
        except OSError as error:
            message = f"the file to copy, '{path}', cannot be read: {error.strerror}"
            hint = "a relative path begins at the template's folder"
            yield Finding("no-such-file", message, origin, hint)
        else:
            yield from (Finding(reference, message, origin, hint) for reference, message, hint in faults)
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                yield Finding("not-a-file", f"what is to be copied, '{path}', is neither a file nor a folder", origin)
            elif final == "/" and not stat.S_ISDIR(mode):
                yield Finding("wrong-value", "'/' is not a file", where(item, ("final",)), "give the file's whole path")
            elif stat.S_ISDIR(mode) and isinstance(item, MappingNode) and item.get("mode") is not None:
                message = "a folder's files have modes of their own: 0755 for what its owner may execute, else 0644"
                hint = "name a file that needs another mode as an item of its own, after this one"
                yield Finding("wrong-value", message, where(item, ("mode",)), hint)


def _disk(merged: MappingNode, user: MappingNode) -> tuple[Finding, ...]:
    """The layout, also when something else in the template is wrong."""
    node = merged.get("disk")
    if not isinstance(node, MappingNode) or _text_at(merged, "target", "imageType") != "raw":
        return ()
    disk, _ = check(node, DiskTemplate, ("disk",))
    if disk is None:
        return ()
    boot_type = _text_at(merged, "systemConfig", "bootloader", "bootType")
    sealed: object = merged
    for key in ("systemConfig", "immutability", "enabled"):
        sealed = sealed.get(key) if isinstance(sealed, MappingNode) else None
    verity = isinstance(sealed, ScalarNode) and sealed.value is True
    arch = _text_at(merged, "target", "arch") or ""
    own = user.get("disk")
    asks = _text_at(user, "systemConfig", "bootloader", "bootType") is not None
    of_default = asks and (own is None or takes_layout(own))
    firmware = where(user, ("systemConfig", "bootloader", "bootType")) if of_default else None
    return (*check_artifacts(disk, node), *check_layout(disk, node, boot_type, arch, verity, firmware))


def _boot(merged: MappingNode, data: Path, user: MappingNode) -> Iterator[Finding]:
    """What firmware, boot loader, kernel and files do not go together, or what the distribution has no packages for."""
    if _text_at(merged, "target", "imageType") != "raw":
        return
    os, dist, arch = (_text_at(merged, "target", key) or "" for key in ("os", "dist", "arch"))
    yield from check_boot(merged, load_distribution(os, dist, arch, data).boot, user)
    yield from check_tar_alone(merged, user)


def _suites(merged: MappingNode, data: Path) -> Iterator[Finding]:
    """Suites that the distribution does not have."""
    asked = merged.get("packageRepositories")
    os, dist, arch = (_text_at(merged, "target", key) for key in ("os", "dist", "arch"))
    if not isinstance(asked, SequenceNode) or not asked.items or not (os and dist and arch):
        return
    repositories = load_distribution(os, dist, arch, data).repositories
    known = [suite for repository in repositories for suite in repository.suites or (repository.name,)]
    for index, item in enumerate(asked.items):
        of_others = isinstance(item, MappingNode) and any(item.get(key) for key in ("url", "path", "packages"))
        codename = _text_at(item, "codename") if isinstance(item, MappingNode) and not of_others else None
        if codename is not None and codename not in known:
            origin = where(asked, (index, "codename"))
            yield Finding("unknown-suite", f"there is no suite '{codename}'", origin, allowed_values(codename, known))


def _selinux(merged: MappingNode) -> Iterator[Finding]:
    """A kernel command line that says something else of SELinux than the key."""
    mode, cmdline = (_text_at(merged, "systemConfig", *keys) for keys in (("selinux",), ("kernel", "cmdline")))
    for word in contradictions(mode, cmdline or "") if mode else ():
        origin = where(merged, ("systemConfig", "kernel", "cmdline"))
        message = f"'{word}' contradicts 'systemConfig.selinux: {mode}'"
        hint = "remove the word: the build adds what the mode needs"
        yield Finding("selinux-contradiction", message, origin, hint)
