"""Small packages that exercise what RPM can do; they need nothing of the system but each other."""

from __future__ import annotations

from collections.abc import Iterator

from support.lookalike.recipe import Recipe

_KEPT = "%config(noreplace)"


def _probe(name: str, version: str = "1.0", **described: object) -> Recipe:
    return Recipe(f"probe-{name}", version, **described)  # type: ignore[arg-type]


def probes() -> Iterator[Recipe]:
    """Versions, relations of every kind, architectures, scriptlets."""
    for version in ("1.0", "1.1~rc1", "1.1", "1.1^git2"):  # several versions of one package
        tool = _probe("tool", version).add("Provides", f"probe-api = {version}")
        yield tool.file("/usr/bin/probe-tool", f"#!/bin/sh\necho {version}\n", 0o755)
    yield _probe("epoch", "5.0")
    yield _probe("epoch", "0.9", epoch=1)
    # A file of /usr/bin stands in primary.xml, one of /usr/share in filelists.xml only.
    yield _probe("data").directory("/usr/share/probe-data").file("/usr/share/probe-data/data.txt", "data\n")
    yield (
        _probe("client")
        .add("Requires", "probe-api >= 1.1", "/usr/bin/probe-tool", "/usr/share/probe-data/data.txt")
        .add("Recommends", "probe-extra", "probe-absent")
        .add("Suggests", "probe-docs")
    )
    yield _probe("extra").add("Enhances", "probe-client")
    yield _probe("docs")
    yield _probe("langpack").add("Supplements", "(probe-client and probe-docs)")
    yield _probe("old", "1.0")
    yield _probe("new", "2.0").add("Obsoletes", "probe-old < 2.0").add("Provides", "probe-old = 2.0-1.azl3")
    yield _probe("rich").add(
        "Requires",
        "(probe-alt-a or probe-alt-b)",
        "(probe-docs if probe-client)",
        "(probe-extra if probe-absent else probe-data)",
        "(probe-api >= 1.0 with probe-api < 2.0)",
    )
    yield _probe("alt-a").add("Provides", "probe-alt = 1").add("Conflicts", "probe-alt-b")
    yield _probe("alt-b").add("Provides", "probe-alt = 2")
    yield _probe("unsolvable").add("Requires", "probe-no-such-thing >= 3")
    yield _probe("clash").add("Requires", "probe-alt-a", "probe-alt-b")
    for arch, isa in (("x86_64", "x86-64"), ("i686", "x86-32")):
        yield _probe("multi", arch=arch).file(f"/usr/share/probe-multi/{arch}", arch)
        yield _probe("multi-devel", arch=arch).add("Requires", f"probe-multi({isa}) = 1.0-1.azl3")
    yield _scripts()
    # The recipe with which a vendor makes a directory a link: renamed by Lua before the transaction. In layers the
    # directory is another layer's, and rename(2) answers EXDEV.
    yield _probe("was-directory").directory("/usr/share/probe-moves").file("/usr/share/probe-moves/file", "old\n")
    moves = 'local p = "/usr/share/probe-moves"\nlocal s = posix.stat(p)\nif s and s.type == "directory" then\n'
    moves += '  local ok, why = os.rename(p, p .. ".rpmmoved")\n  if not ok then os.execute("rm -rf " .. p) end\nend'
    link = _probe("was-directory", "2.0").script("%pretrans -p <lua>", moves)
    yield link.directory("/usr/share/probe-moved").link("/usr/share/probe-moves", "probe-moved")


def _scripts() -> Recipe:
    """A scriptlet of every kind, configuration, a ghost, an owned directory with a mode of its own."""
    recipe = _probe("scripts").add("Requires", "/bin/sh").add("Requires(pre)", "/bin/sh")
    for header in (
        *("%pre", "%post", "%preun", "%posttrans", "%triggerin -- probe-tool"),
        "%transfiletriggerin -- /usr/share/probe-data",
    ):
        recipe.script(header, f"echo '{header.replace('%', '%%')}' >> /var/log/probe-scripts.log")
    recipe.file("/etc/probe.conf", "key = value\n", flags=_KEPT)
    recipe.file("/var/log/probe-scripts.log", "", flags="%ghost")
    return recipe.directory("/var/lib/probe", 0o1770)
