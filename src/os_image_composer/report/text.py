"""What is known about an image, for a reader at a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from os_image_composer.formats.iso9660 import Medium
from os_image_composer.report.image_file import EfiProgram, ImageInfo, Part, Root, SealedRoot
from os_image_composer.report.selinux import SelinuxState


def image_lines(info: ImageInfo, *, packages: bool) -> Iterator[str]:
    """Lines that a terminal may show, whatever the image says: what is not printable is escaped. `packages` lists
    them all, not their number alone."""
    for line in _lines(info, packages):
        yield printable(line)


def printable(line: str) -> str:
    """Without what could move the cursor or means something else to a terminal."""
    return "".join(c if c.isprintable() else _escaped(c) for c in line)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _lines(info: ImageInfo, packages: bool) -> Iterator[str]:
    yield f"{info.file}: {size(info.size)}, of which {size(info.stored)} are stored"
    yield f"partition table  {info.table} {info.disk_uuid or ''}".rstrip() if info.table else "no partition table"
    yield from _table([_part(part) for part in info.parts])
    if info.medium is not None:
        yield ""
        yield from _medium(info.medium)
    if info.esp_files:
        yield ""
        yield f"EFI system partition: {len(info.esp_files)} files"
        programs = {program.path: program for program in info.programs}
        for file in info.esp_files:
            program = programs.get(file.path)
            yield f"  {file.path}  {size(file.size)}"
            if program is not None:
                yield from (f"    {line}" for line in _program(program))
    for sealed in info.sealed:
        yield ""
        yield from _sealed(sealed)
    if info.root is not None:
        yield ""
        yield from _root(info.root, packages)
    if info.findings:
        yield ""
        yield "findings"
        yield from (f"  {finding}" for finding in info.findings)


def _medium(medium: Medium) -> Iterator[str]:
    yield f"as a CD: label {medium.label or 'none'}, {size(medium.size)}"
    for entry in medium.entries:
        how = "starts" if entry.bootable else "does not start"
        length = size(entry.size) if entry.size else "the rest"
        yield f"  {entry.platform} {how} from what is at {size(entry.start)}, {length}"
    if medium.digest is not None:
        yield f"  digest   {medium.digest}"


def _part(part: Part) -> tuple[str, ...]:
    volume = part.volume
    kind, label, uuid, used = "nothing known", "", "", ""
    if volume is not None:
        kind, label, uuid = volume.kind, volume.label or "", volume.uuid or ""
        used = f"{size(volume.used)} used" if volume.used is not None else ""
    return (str(part.number), part.type, part.name, f"at {size(part.start)}", size(part.size), kind, label, uuid, used)


def _program(program: EfiProgram) -> Iterator[str]:
    version = f" {program.version}" if program.version else ""
    yield f"{program.kind}{version}, {program.machine}, sha256 {program.sha256}"
    for signature in program.signatures:
        holds = f"does not hold: {signature.fault}" if signature.fault else "is what was signed"
        yield f"signed by {signature.signer} ({holds})"
    if not program.signatures:
        yield "not signed"
    if program.kind == "uki":
        yield "sections: " + ", ".join(f"{s.name} {size(s.size)}" for s in program.sections)
        if ".cmdline" in program.text:
            yield f"command line: {program.text['.cmdline']}"


def _sealed(sealed: SealedRoot) -> Iterator[str]:
    yield f"sealed {sealed.what}: root hash {sealed.root_hash}, of {sealed.program}"
    places = f"partition {sealed.data or 'unknown'}, hash tree in partition {sealed.tree or 'unknown'}"
    yield f"  {places}: {sealed.fault or 'all of it is what was sealed'}"


def _root(root: Root, packages: bool) -> Iterator[str]:
    name = root.os_release.get("PRETTY_NAME") or root.os_release.get("NAME") or "unknown system"
    yield f"root filesystem: partition {root.partition}, {name}"
    yield f"  host name  {root.hostname or 'none'}"
    yield f"  kernels    {', '.join(root.kernels) or 'none'}"
    open_ones = [
        f"{a.name} ({a.uid}, {a.shell}, password {a.password})" for a in root.accounts if a.password in ("set", "empty")
    ]
    yield f"  accounts   {len(root.accounts)}, of which have a password: {', '.join(open_ones) or 'none'}"
    if root.selinux is not None:
        yield f"  selinux    {_selinux(root.selinux)}"
    for sbom in root.sboms:
        yield f"  sbom       {sbom.path}  {size(sbom.size)}"
    if root.family is None:
        yield "  packages   no database that can be read"
        return
    yield f"  packages   {len(root.packages)} ({root.family})"
    if packages:
        yield from _table([(p.name, p.version, p.arch) for p in root.packages])


def _selinux(state: SelinuxState) -> str:
    labels = {None: "", "all": ", labelled", "some": ", only some of it labelled", "none": ", not labelled"}
    policy = f", policy {state.policy}" if state.policy else ""
    return f"{state.mode or 'no mode'}{policy}{labels.get(state.labels, '')}"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield ("  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True) if width)).rstrip()


def size(count: int) -> str:
    """Bytes as people say them; whole numbers where they are."""
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= scale:
            return f"{count // scale} {unit}" if count % scale == 0 else f"{count / scale:.1f} {unit}"
    return f"{count} B"
