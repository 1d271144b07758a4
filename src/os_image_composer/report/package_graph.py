"""The packages of an image and what each needs, as a graph in the DOT language (Graphviz, "DOT Language").

os-image-composer plan --dot my-image.yml | dot -Tsvg > my-image.svg
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from os_image_composer.config.spec import PackageGroup
from os_image_composer.ospackage.lock import PackageSet

_REQUEST = re.compile(r"[=/]")
# The user's own requests are filled, those of the OS default template framed; what every system has is round.
_OWN = "style=filled, fillcolor=lightblue, penwidth=2"
_DEFAULT = "style=bold"
_ESSENTIAL = "shape=ellipse"


def package_graph(name: str, packages: PackageSet, groups: Sequence[PackageGroup]) -> Iterator[str]:
    """Lines of a digraph: a node a package, an edge from each to what meets its demands. The roots are what the
    templates ask for; the same packages give the same text."""
    own = {_named(request) for group in groups if group.label != "default" for request in group.packages}
    default = {_named(request) for group in groups if group.label == "default" for request in group.packages}
    ordered = sorted(packages.packages())
    yield f"digraph {quoted(name)} {{"
    yield "  rankdir=LR;"
    yield "  node [shape=box];"
    for package in ordered:
        marks = [f"label={quoted(f'{package.name}{chr(10)}{package.version}')}"]
        marks += [_OWN] if package.name in own else [_DEFAULT] if package.name in default else []
        marks += [_ESSENTIAL] if package.essential else []
        yield f"  {quoted(package.name)} [{', '.join(marks)}];"
    for package in ordered:
        for needed in package.depends:
            yield f"  {quoted(package.name)} -> {quoted(needed)};"
    yield "}"


def quoted(text: str) -> str:
    """A quoted ID; a line break becomes a centred line of a label."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _named(request: str) -> str:
    return _REQUEST.split(request, maxsplit=1)[0]
