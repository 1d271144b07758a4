"""Templates written for a test, with the places of their findings marked in the text itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from os_image_composer.config.load import check_template
from os_image_composer.errors import Finding

MARK = "▸"
HEAD = """\
image: {name: test, version: "1.0"}
target: {os: debian, dist: debian13, arch: x86_64, imageType: raw}
"""
CHECKOUT = Path(__file__).resolve().parents[2]

Write = Callable[..., Path]
FindingsOf = Callable[[str], list[tuple[str, str]]]


@pytest.fixture
def data() -> Path:
    """The distribution data of this checkout."""
    return CHECKOUT / "config"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file below the test's folder and give its path."""

    def writer(text: str, name: str = "template.yml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return writer


@pytest.fixture
def marked(write: Write, data: Path) -> Callable[[str], Finding]:
    """Check a template that holds one mark: gives the one finding, which must stand at the mark."""

    def checker(text: str) -> Finding:
        before, mark, _ = text.partition(MARK)
        assert mark, "the text has no mark"
        path = write(text.replace(MARK, ""))
        findings = check_template(path, data)
        assert len(findings) == 1, [str(finding) for finding in findings]
        origin = findings[0].origin
        assert origin is not None
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        assert str(origin) == f"{path}:{line}:{column}", str(findings[0])
        return findings[0]

    return checker
