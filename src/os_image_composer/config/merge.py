"""How the templates of a chain become one: the rule for every key, applied to trees, so that places survive.

A chain begins with the OS default template and ends with the user's. What a child does not mention stays as
it is, in the parent's order; what it adds comes after, in its own. Nothing that is written is dropped except
`metadata`, which describes one file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

from os_image_composer.config.system_rules import unit
from os_image_composer.config.yaml_source import Entry, MappingNode, Node, ScalarNode, SequenceNode
from os_image_composer.errors import Origin

__all__ = ["merge_mappings", "merge_templates", "origins", "takes_layout"]

Rule = Callable[[Node, Node, str], Node]


def merge_templates(chain: Sequence[MappingNode]) -> MappingNode:
    """One template of several, the first of which is the most general. Trees of the wrong shape are merged
    as far as they go: the check of the result finds them."""
    return reduce(_merge_files, chain)


def takes_layout(disk: Node | None) -> bool:
    """Whether a section `disk` leaves the layout to the template before it: it has nothing but `artifacts`."""
    return isinstance(disk, MappingNode) and [entry.key for entry in disk.entries] == ["artifacts"]


def merge_mappings(parent: MappingNode, child: MappingNode) -> MappingNode:
    """`child` over `parent` by shape alone: mappings key by key, and a list or a value replaces what was there."""
    return _merge_mappings(parent, child, "/")


def origins(node: Node, path: str = "") -> Mapping[str, Origin]:
    """Where each value of a tree was written, by key path (`disk.partitions[0].end`)."""
    found: dict[str, Origin] = {}
    if isinstance(node, MappingNode):
        for entry in node.entries:
            below = f"{path}.{entry.key}" if path else entry.key
            found[below] = entry.origin
            found.update(origins(entry.node, below))
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.items):
            found[f"{path}[{index}]"] = item.origin
            found.update(origins(item, f"{path}[{index}]"))
    return found


def _merge_files(parent: MappingNode, child: MappingNode) -> MappingNode:
    inherited = tuple(entry for entry in parent.entries if entry.key != "metadata")
    return _merge_mappings(MappingNode(inherited, parent.origin), child, "")


def _merge_mappings(parent: MappingNode, child: MappingNode, path: str) -> MappingNode:
    added = tuple(entry for entry in child.entries if parent.entry(entry.key) is None)
    merged = tuple(_merge_entries(entry, child.entry(entry.key), path) for entry in parent.entries)
    return MappingNode(merged + added, child.origin)


def _merge_entries(parent: Entry, child: Entry | None, path: str) -> Entry:
    if child is None:
        return parent
    below = f"{path}.{parent.key}" if path else parent.key
    node = RULES.get(below, _by_shape)(parent.node, child.node, below)
    return parent if node is parent.node else Entry(child.key, child.key_origin, node)


def _by_shape(parent: Node, child: Node, path: str) -> Node:
    """Mappings key by key; a list replaces a list; a value replaces a value unless it is empty text."""
    if isinstance(parent, MappingNode) and isinstance(child, MappingNode):
        return _merge_mappings(parent, child, path)
    if isinstance(child, ScalarNode) and child.value == "":
        return parent
    return child


def _replace(parent: Node, child: Node, path: str) -> Node:
    return child


def _layout(parent: Node, child: Node, path: str) -> Node:
    """Half of one layout and half of another is no layout; what is made of the disk is not part of it."""
    return _by_shape(parent, child, path) if takes_layout(child) else child


def _append(parent: Node, child: Node, path: str) -> Node:
    if isinstance(parent, SequenceNode) and isinstance(child, SequenceNode):
        return SequenceNode(parent.items + child.items, child.origin)
    return child


def _union(parent: Node, child: Node, path: str) -> Node:
    """The parent's words, then those of the child that are not among them."""
    if not (isinstance(parent, SequenceNode) and isinstance(child, SequenceNode)):
        return child
    words = {item.value for item in parent.items if isinstance(item, ScalarNode)}
    added = tuple(item for item in child.items if not (isinstance(item, ScalarNode) and item.value in words))
    return SequenceNode(parent.items + added, child.origin)


def _keyed_by(*keys: str) -> Rule:
    """Items are the same when all of `keys` are: then the child's fields go over the parent's, in its place."""

    def identity(item: Node) -> tuple[object, ...] | None:
        if not isinstance(item, MappingNode):
            return None
        values = [item.get(key) for key in keys]
        texts = tuple(value.value if isinstance(value, ScalarNode) else None for value in values)
        return texts if any(text is not None for text in texts) else None

    def rule(parent: Node, child: Node, path: str) -> Node:
        if not (isinstance(parent, SequenceNode) and isinstance(child, SequenceNode)):
            return child
        items = list(parent.items)
        known = {identity(item): index for index, item in enumerate(items) if identity(item)}
        for item in child.items:
            index = known.get(identity(item))
            over = items[index] if index is not None else None
            if index is not None and isinstance(over, MappingNode) and isinstance(item, MappingNode):
                items[index] = _merge_mappings(over, item, f"{path}[]")
            else:
                items.append(item)
        return SequenceNode(tuple(items), child.origin)

    return rule


def _unit_states(parent: Node, child: Node, path: str) -> Node:
    """Lists of units: a unit that the child names, in whichever list, is no longer in the parent's lists."""
    if not (isinstance(parent, MappingNode) and isinstance(child, MappingNode)):
        return child
    named = {_unit(item) for entry in child.entries for item in _items(entry.node)}

    def without_named(node: Node) -> Node:
        kept = tuple(item for item in _items(node) if _unit(item) not in named)
        return SequenceNode(kept, node.origin) if isinstance(node, SequenceNode) else node

    left = tuple(Entry(e.key, e.key_origin, without_named(e.node)) for e in parent.entries)
    merged = (_merge_lists(entry, child.entry(entry.key)) for entry in left)
    added = tuple(entry for entry in child.entries if parent.entry(entry.key) is None)
    return MappingNode((*merged, *added), child.origin)


def _merge_lists(parent: Entry, child: Entry | None) -> Entry:
    return Entry(child.key, child.key_origin, _append(parent.node, child.node, "")) if child else parent


def _items(node: Node) -> tuple[Node, ...]:
    return node.items if isinstance(node, SequenceNode) else ()


def _unit(item: Node) -> str:
    """The whole name of a unit; what is none is found by the check of its file."""
    text = item.text if isinstance(item, ScalarNode) else ""
    try:
        return unit(text)
    except ValueError:
        return text


RULES: Mapping[str, Rule] = {
    "target": _replace,
    "baseline": _replace,
    "overlayPolicy": _replace,
    "disk": _layout,
    "disk.artifacts": _replace,
    "packageRepositories": _keyed_by("codename", "url", "path"),
    "systemConfig.packages": _union,
    "systemConfig.configurations": _append,
    "systemConfig.users": _keyed_by("name"),
    "systemConfig.users[].groups": _union,
    "systemConfig.users[].sshAuthorizedKeys": _union,
    "systemConfig.groups": _keyed_by("name"),
    "systemConfig.services": _unit_states,
    "systemConfig.additionalFiles": _keyed_by("final"),
    "systemConfig.live.carry": _keyed_by("name"),
    "systemConfig.fde": _replace,
    # Half of one set of keys and half of another is none.
    "systemConfig.secureBoot": _replace,
    # Another layout has other variants.
    "systemConfig.keyboard": _replace,
}
