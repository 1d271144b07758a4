"""One RPM to be: its tags, scriptlets and files, and rpmbuild."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

BUILD_TIME = 1_735_689_600  # every package's, so that the same recipe gives the same file
_PAYLOAD = "w3.zstdio"
_MAKERS = ("convert", "recipe", "relations", "shared")  # whose code decides what becomes of a .deb
_CODE = hashlib.sha256(b"".join((Path(__file__).parent / f"{m}.py").read_bytes() for m in _MAKERS)).hexdigest()
RELATIONS = (
    *("Provides", "Requires", "Requires(pre)", "Requires(post)", "Requires(posttrans)", "Conflicts", "Obsoletes"),
    *("Recommends", "Suggests", "Supplements", "Enhances"),
)


@dataclass
class Item:
    """A file of a package: how it is listed, and its content where it does not come from a .deb."""

    kind: Literal["file", "directory", "link"] = "file"
    mode: int = 0o644
    user: str = "root"
    group: str = "root"
    flags: str = ""
    data: bytes = b""
    target: str = ""


@dataclass
class Recipe:
    """`unpacked` is a folder whose tree goes into the package first; `sonames` lets rpm find libraries that ELF files
    need and are; `without` leaves requirements out that match this regular expression."""

    name: str
    version: str = "1.0"
    release: str = "1.azl3"
    epoch: int = 0
    arch: str = "noarch"
    summary: str = ""
    licence: str = "MIT"
    relations: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in RELATIONS})
    scripts: list[tuple[str, str]] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    sonames: bool = False
    without: str = ""

    def add(self, kind: str, *texts: str) -> Recipe:
        self.relations[kind] += [t for t in texts if t not in self.relations[kind]]
        return self

    def file(
        self, path: str, data: str | bytes = b"", mode: int = 0o644, flags: str = "", group: str = "root"
    ) -> Recipe:
        content = data.encode() if isinstance(data, str) else data
        self.items[path] = Item("file", mode, "root", group, flags, content)
        return self

    def directory(self, path: str, mode: int = 0o755, group: str = "root") -> Recipe:
        self.items[path] = Item("directory", mode, "root", group, "%dir")
        return self

    def link(self, path: str, target: str) -> Recipe:
        self.items[path] = Item("link", target=target)
        return self

    def script(self, header: str, body: str = "") -> Recipe:
        self.scripts.append((header, body))
        return self

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}-{self.release}.{self.arch}.rpm"

    def spec(self) -> str:
        lines = [f"Name: {self.name}", f"Version: {self.version}", f"Release: {self.release}"]
        lines += [f"Epoch: {self.epoch}"] if self.epoch else []
        lines += [f"Summary: {(self.summary or self.name).replace('%', '%%')}", f"License: {self.licence}"]
        lines += ["BuildArch: noarch"] if self.arch == "noarch" else []
        lines += [f"AutoReqProv: {'yes' if self.sonames else 'no'}"]
        lines += [f"{kind}: {text}" for kind, texts in self.relations.items() for text in texts]
        lines += ["", "%description", f"{self.name}, made for tests.", ""]
        for header, body in self.scripts:
            lines += [header, body.rstrip("\n"), ""]
        return "\n".join([*lines, "%files -f %{filelist}", ""])

    def file_list(self) -> str:
        lines = []
        for path, item in sorted(self.items.items()):
            mode = "-" if item.kind == "link" else f"{item.mode:04o}"
            # rpm 4.18 takes a path as it stands, backslashes too, unless all of it is a pattern.
            magic = re.search(r"[*?]|\[.*\]|\{.*\}", path)
            name = (re.sub(r"[*?\[\]{}]", "?", path) if magic else path).replace("%", "%%")
            lines.append(" ".join(filter(None, (f"%attr({mode},{item.user},{item.group})", item.flags, f'"{name}"'))))
        return "\n".join(lines) + "\n"


class Kitchen:
    """Builds recipes, and keeps what was built in `cache` by what went into it."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.cache.mkdir(parents=True, exist_ok=True)
        self.built = 0
        self._attributes = cache / "fileattrs"  # the ELF generator alone: no perl(…) or python3dist(…)
        self._attributes.mkdir(exist_ok=True)
        shutil.copy("/usr/lib/rpm/fileattrs/elf.attr", self._attributes)

    def key(self, recipe: Recipe, source: str = "") -> Path:
        """Where the RPM of a recipe is kept, before its tree is unpacked; `source` is the digest of the .deb that the
        tree comes from, and what follows from that and from the code here needs no further naming."""
        contents = [(p, i.kind, i.data, i.target) for p, i in sorted(recipe.items.items())]
        parts = (_CODE, _PAYLOAD, source, recipe.spec(), recipe.file_list(), recipe.without, repr(contents))
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        return self.cache / f"{digest[:24]}-{recipe.file_name}"

    def build(self, recipe: Recipe, kept: Path, tree: Path | None = None) -> Path:
        """The RPM of a recipe, whose files beside its own are those of `tree`, which is used up."""
        if kept.is_file():
            return kept
        with tempfile.TemporaryDirectory(dir=self.cache, prefix="build-") as name:
            folder = Path(name)
            root = folder / "root"
            if tree:
                tree.rename(root)
            else:
                root.mkdir()
            for path, item in recipe.items.items():
                _place(root, path, item)
            (folder / "package.spec").write_text(recipe.spec())
            (folder / "files").write_text(recipe.file_list())
            self._rpmbuild(recipe, folder, root)
            (folder / "out.rpm").replace(kept)
        self.built += 1
        return kept

    def _rpmbuild(self, recipe: Recipe, folder: Path, root: Path) -> None:
        macros = {
            "_topdir": folder,
            "_rpmdir": folder,
            "_rpmfilename": "out.rpm",
            "_dbpath": folder / "db",
            "filelist": folder / "files",
            "_binary_payload": _PAYLOAD,
            "_binary_filedigest_algorithm": "8",
            "_fileattrsdir": self._attributes,
            "_use_internal_dependency_generator": "1",
            "_build_id_links": "none",
            "debug_package": "%{nil}",
            "__check_files": "%{nil}",
            "_buildhost": "lookalike.invalid",
            "use_source_date_epoch_as_buildtime": "1",
            "clamp_mtime_to_source_date_epoch": "1",
            "_binaries_in_noarch_packages_terminate_build": "0",
            "_missing_build_ids_terminate_build": "0",
        }
        if recipe.without:
            macros["__requires_exclude"] = recipe.without
        argv = ["rpmbuild", "-bb", "--noclean", "--quiet", "--target", f"{recipe.arch}-linux", "--buildroot", str(root)]
        for key, value in macros.items():
            argv += ["--define", f"{key} {value}"]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(BUILD_TIME), "HOME": str(folder), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            [*argv, str(folder / "package.spec")], env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{recipe.name}: {(done.stdout + done.stderr)[-3000:]}"


def _place(root: Path, path: str, item: Item) -> None:
    """Make an item that has content of its own; what came from a .deb is there already."""
    place = root / path.lstrip("/")
    if item.kind == "directory":
        place.mkdir(parents=True, exist_ok=True)
        return
    if os.path.lexists(place) and not item.data:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    if item.kind == "link":
        place.symlink_to(item.target)
    else:
        place.write_bytes(item.data)
        place.chmod(item.mode & 0o777 | 0o200)
    os.utime(place, (BUILD_TIME, BUILD_TIME), follow_symlinks=False)
