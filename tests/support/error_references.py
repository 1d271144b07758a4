"""The references of errors and findings, read from the source: which there are, what they say, what they advise."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "os_image_composer"
PAGE = ROOT / "docs" / "errors.md"
_KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")
# What is called with a reference as its first argument.
_RAISERS = re.compile(r".*Error|Finding|Refused|wrong|finding|refuse|_refusal|failure|__init__")
# Those that the source puts together at run time.
_BY_HAND = {
    "unknown-mirror": ("UsageError", "no distribution has a mirror named …", "there is …"),
    "unknown-repository": ("UsageError", "no distribution has a repository named …", "there is …"),
    "internal": ("", "a fault in os-image-composer, or a host that it does not know", "report it"),
    "interrupted": ("", "Ctrl-C, or SIGTERM; exit code 130", ""),
}
_HEAD = """\
# Errors by reference

Every failure has a reference in brackets, `error[unknown-package]: …`, and the same in JSON (`validate --json`, the
`error` event of `build --json-events`). Here is what each of them says and advises; … stands for what is named there.
`scripts/make-error-reference` writes this page from the places that raise them.

Exit codes: 2 for a wrong command line, settings file or template; 1 for everything else that fails; 3 from `boot` when
nothing is known but that the firmware started the image; 130 when interrupted.

| reference | says | advises |
| --- | --- | --- |
"""


@dataclass(frozen=True)
class Use:
    """One place that raises a reference."""

    says: str
    advises: str


@functools.cache
def references() -> dict[str, list[Use]]:
    """Every reference with what its places say."""
    found: dict[str, list[Use]] = {name: [Use(says, hint)] for name, (_, says, hint) in _BY_HAND.items()}
    for path in sorted(SOURCE.rglob("*.py")):
        for reference, use in _uses(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(reference, []).append(use)
    return found


def listed() -> set[str]:
    """The references that the page has a row for."""
    return set(re.findall(r"(?m)^\| `([a-z0-9-]+)` \|", PAGE.read_text(encoding="utf-8")))


def error_page() -> str:
    rows = []
    for reference, uses in sorted(references().items()):
        says = "; ".join(dict.fromkeys(use.says for use in uses if use.says))
        advises = "; ".join(dict.fromkeys(use.advises for use in uses if use.advises))
        rows.append(f"| `{reference}` | {_cell(says)} | {_cell(advises)} |\n")
    return _HEAD + "".join(rows)


def _uses(tree: ast.AST) -> Iterator[tuple[str, Use]]:
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.FunctionDef | ast.Module):
            continue
        assigned = sorted(
            (node.lineno, target.id, _text(node.value))
            for node in ast.walk(scope)
            if isinstance(node, ast.Assign) and len(node.targets) == 1
            for target in node.targets
            if isinstance(target, ast.Name)
        )
        for node in ast.walk(scope):
            if (
                isinstance(node, ast.Call)
                and node.args
                and (isinstance(scope, ast.FunctionDef) or id(node) not in inside)
            ):
                yield from _use(node, {name: text for line, name, text in assigned if line <= node.lineno})


def _use(node: ast.Call, known: dict[str, str]) -> Iterator[tuple[str, Use]]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if not _RAISERS.fullmatch(name):
        return
    if name == "failure":  # (kind, reference, what, findings)
        yield from (
            (literal, Use("what is wrong is listed", "")) for one in node.args[1:2] for literal in _literals(one)
        )
        return
    texts = [_text(argument, known) for argument in node.args]
    hint = next((_text(word.value, known) for word in node.keywords if word.arg == "hint"), "")
    for literal in _literals(node.args[0]):
        if not _KEBAB.fullmatch(literal):
            continue
        if name in ("wrong", "refuse"):
            yield literal, Use(*([*texts[1:3], "", ""][:2]))
        elif name == "finding":
            yield literal, Use(*([*texts[2:4], "", ""][:2]))
        elif name == "Finding":
            yield literal, Use(texts[1] if len(texts) > 1 else "", texts[3] if len(texts) > 3 else hint)
        else:
            yield literal, Use(texts[1] if len(texts) > 1 else "", hint)


def _literals(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _text(node: ast.expr, known: dict[str, str] | None = None) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            v.value if isinstance(v, ast.Constant) and isinstance(v.value, str) else "…" for v in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return f"{_text(node.left, known) or '…'}{_text(node.right, known) or '…'}"
    if isinstance(node, ast.IfExp):
        parts = (_text(node.body, known), _text(node.orelse, known))
        return " / ".join(part for part in parts if part)
    if isinstance(node, ast.Name):
        return (known or {}).get(node.id, "")
    return ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
