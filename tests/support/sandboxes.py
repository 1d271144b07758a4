"""A real sandbox, as whoever runs the tests, and a small root filesystem that borrows the host's /usr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from os_image_composer.chroot.ids import IdMap
from os_image_composer.chroot.job import Bind, Completed, Job, MakeSymlink, Mount, Tree, WriteFile
from os_image_composer.chroot.sandbox import Sandbox
from os_image_composer.config.settings import IdRange

ROOT_RANGE = IdRange(2_000_000_000, 65536)
HOST_USR = Bind(Path("/usr"), "/usr")


@pytest.fixture(scope="session")
def session_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Path]]:
    base = tmp_path_factory.mktemp("sandbox")
    scratch = base / "scratch"
    scratch.mkdir()
    sandbox = Sandbox(IdMap.for_caller(ROOT_RANGE), scratch)
    yield sandbox, base
    sandbox.remove(list(base.iterdir()))


@pytest.fixture(scope="session")
def sandbox(session_sandbox: tuple[Sandbox, Path]) -> Sandbox:
    return session_sandbox[0]


@pytest.fixture
def place(session_sandbox: tuple[Sandbox, Path], request: pytest.FixtureRequest) -> Iterator[Path]:
    """An empty directory for layers of one test, on the filesystem of the scratch directory."""
    sandbox, base = session_sandbox
    path = base / f"place-{abs(hash(request.node.nodeid)):x}"
    path.mkdir()
    yield path
    sandbox.remove([path])


@pytest.fixture
def layer(sandbox: Sandbox, place: Path) -> Callable[..., Path]:
    """Makes a layer of files: layer("name", {"etc/motd": b"hello"})."""

    def make(name: str, files: dict[str, bytes] | None = None) -> Path:
        path = place / name
        sandbox.new_layer(path)
        if files:
            sandbox.edit(Tree(upper=path), [WriteFile(name, content) for name, content in files.items()])
        return path

    return make


@pytest.fixture(scope="session")
def tiny(session_sandbox: tuple[Sandbox, Path]) -> Path:
    """The links of a merged /usr; with HOST_USR bound, the host's programs run in it."""
    sandbox, base = session_sandbox
    path = base / "tiny"
    sandbox.new_layer(path)
    names = [name for name in ("bin", "sbin", "lib", "lib64") if Path("/usr", name).exists()]
    links = [MakeSymlink(name, f"usr/{name}") for name in names]
    sandbox.edit(Tree(upper=path), [*links, WriteFile("etc/passwd", b"root:x:0:0::/root:/bin/sh\n")])
    return path


@pytest.fixture
def sh(sandbox: Sandbox, tiny: Path) -> Callable[..., Completed]:
    """Runs a shell script on `tiny` and the layers above it."""

    def run(
        script: str, *mounts: Mount, lower: tuple[Path, ...] = (), upper: Path | None = None, stdin: bytes = b""
    ) -> Completed:
        tree = Tree((tiny, *lower), upper)
        return sandbox.run(Job(tree, ("sh", "-c", script), (HOST_USR, *mounts), stdin=stdin))

    return run
