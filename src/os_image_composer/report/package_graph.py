"""The packages of an image and what each needs, as a graph in the DOT language (Graphviz, "DOT Language").

os-image-composer plan --dot my-image.yml | dot -Tsvg > my-image.svg
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from os_image_composer.config.spec import PackageGroup
from os_image_composer.ospackage.lock import LockedPackage, PackageSet

# The user's own requests are filled, those of the OS default template framed; what every system has is round.
_OWN = "style=filled, fillcolor=lightblue, penwidth=2"
_DEFAULT = "style=bold"
_ESSENTIAL = "shape=ellipse"


def package_graph(
    name: str,
    packages: PackageSet,
    groups: Sequence[PackageGroup],
    names: Callable[[str, LockedPackage], bool],
) -> Iterator[str]:
    """Lines of a digraph: a node a package, an edge from each to what meets its demands. The roots are what the
    templates ask for: what `names` says that a request names, else what the set was made with for it, such as the
    package that has a file; the same packages give the same text."""
    ordered = sorted(packages.packages())
    met_by = {request: name for group in packages.asked for request, name in group.packages.items()}

    def meant(requests: Iterable[str]) -> set[LockedPackage]:
        found: set[LockedPackage] = set()
        for request in requests:
            named = {package for package in ordered if names(request, package)}
            found |= named or {package for package in ordered if package.name == met_by.get(request)}
        return found

    own = meant(request for group in groups if group.label != "default" for request in group.packages)
    default = meant(request for group in groups if group.label == "default" for request in group.packages)
    count = Counter(package.name for package in ordered)

    def node(package: LockedPackage) -> str:
        return quoted(package.name if count[package.name] == 1 else f"{package.name}.{package.arch}")

    # Where a name is there for two architectures, the package's own meets its demands.
    nodes = {(package.name, package.arch): node(package) for package in ordered}
    first = {package.name: node(package) for package in reversed(ordered)}
    yield f"digraph {quoted(name)} {{"
    yield "  rankdir=LR;"
    yield "  node [shape=box];"
    for package in ordered:
        marks = [f"label={quoted(f'{package.name}{chr(10)}{package.version}')}"]
        if package in own:
            marks.append(_OWN)
        elif package in default:
            marks.append(_DEFAULT)
        marks += [_ESSENTIAL] if package.essential else []
        yield f"  {node(package)} [{', '.join(marks)}];"
    for package in ordered:
        for needed in package.depends:
            if needed in first:
                yield f"  {node(package)} -> {nodes.get((needed, package.arch), first[needed])};"
    yield "}"


def quoted(text: str) -> str:
    """A quoted ID; a line break becomes a centred line of a label."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
