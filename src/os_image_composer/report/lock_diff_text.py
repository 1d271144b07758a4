"""A change of a lock in words: for a terminal, and in Markdown for a pull request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from os_image_composer.report.lock_diff import Kind, LockDiff, PackageChange
from os_image_composer.report.text import printable, size


def text_lines(diff: LockDiff) -> Iterator[str]:
    """Lines that a terminal may show."""
    if diff.equal:
        yield "the locks are equal"
        return
    for name, changes in _by_set(diff):
        yield f"{name}: {_summary(changes)}"
        width = max(len(change.name) for change in changes)
        for change in changes:
            yield printable(f"  {change.kind:<10}  {change.name:<{width}}  {_versions(change)}")
    for other in diff.others:
        yield printable(f"{other.what}: {other.field}: {other.before or 'nothing'} -> {other.after or 'nothing'}")


def markdown_lines(diff: LockDiff) -> Iterator[str]:
    """GitHub Flavored Markdown (section 4.10, tables)."""
    if diff.equal:
        yield "The locks are equal."
        return
    for name, changes in _by_set(diff):
        yield f"### {_cell(name)}: {_summary(changes)}"
        yield ""
        yield "| package | change | from | to | download | installed |"
        yield "| --- | --- | --- | --- | ---: | ---: |"
        for change in changes:
            before, after = (f"`{_cell(v)}`" if v is not None else "" for v in (change.before, change.after))
            sizes = f"{_more(change.download)} | {_more(change.installed)}"
            yield f"| `{_cell(change.name)}` | {change.kind} | {before} | {after} | {sizes} |"
        yield ""
    if diff.others:
        yield "| | field | from | to |"
        yield "| --- | --- | --- | --- |"
        for other in diff.others:
            before, after = (f"`{_cell(v)}`" if v else "" for v in (other.before, other.after))
            yield f"| `{_cell(other.what)}` | {other.field} | {before} | {after} |"


def _by_set(diff: LockDiff) -> Iterator[tuple[str, Sequence[PackageChange]]]:
    for name in dict.fromkeys(change.set for change in diff.packages):
        yield name, diff.of(name)


def _summary(changes: Sequence[PackageChange]) -> str:
    counts = Counter(change.kind for change in changes)
    said = ", ".join(f"{counts[kind]} {kind}" for kind in Kind if counts[kind])
    download, installed = sum(c.download for c in changes), sum(c.installed for c in changes)
    return f"{said}; download {_more(download)}, installed {_more(installed)}"


def _versions(change: PackageChange) -> str:
    if change.before is None or change.after is None:
        return str(change.after or change.before)
    return f"{change.before} -> {change.after}"


def _more(count: int) -> str:
    return f"{'-' if count < 0 else '+'}{size(abs(count))}"


def _cell(text: str) -> str:
    """Without what ends a cell or means something in Markdown: text of locks may come from anybody."""
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("`", "'").replace("<", "&lt;")
