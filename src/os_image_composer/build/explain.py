"""Why a step runs again: the plan that was built last, against the one that is wanted now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from os_image_composer.build.plan import Plan


def explain(plan: Plan, last: Mapping[str, Any] | None) -> dict[str, str]:
    """For every step a reason in words, should it have to run. `last` is `Plan.to_json` of the previous build."""
    before = {s["name"]: s for s in last["steps"]} if last else {}
    now = {s["name"]: s for s in plan.to_json()["steps"]}
    if last and last.get("engine") != plan.engine:
        return {name: f"run by another version ({last.get('engine')} → {plan.engine})" for name in now}
    return {name: _reason(step, before.get(name), bool(before)) for name, step in now.items()}


def _reason(now: Mapping[str, Any], before: Mapping[str, Any] | None, known: bool) -> str:
    if before is None:
        return "new in this template" if known else "not built before"
    if now["id"] == before["id"]:
        return "its result is no longer in the store"
    reasons = []
    if now["version"] != before["version"] or now["kind"] != before["kind"]:
        reasons.append(f"step code changed ({before['version']} → {now['version']})")
    reasons += [
        f"{key} changed{_difference(before['options'].get(key), now['options'].get(key))}"
        for key in sorted(now["options"].keys() | before["options"].keys())
        if now["options"].get(key) != before["options"].get(key)
    ]
    old = {i["step"]: i["id"] for i in before["inputs"]}
    changed = [i["step"] for i in now["inputs"] if old.get(i["step"]) != i["id"]]
    if changed:
        reasons.append("after " + ", ".join(dict.fromkeys(changed)))
    return "; ".join(reasons) or "its inputs are in another order"


def _difference(before: Any, now: Any) -> str:
    """A short tail for small values and for lists of things with a name, such as packages and files."""
    if isinstance(before, list) and isinstance(now, list):
        old, new = _labelled(before), _labelled(now)
        words = [f"+{label}" for label in sorted(new.keys() - old.keys())]
        words += [f"-{label}" for label in sorted(old.keys() - new.keys())]
        words += [label for label in sorted(new.keys() & old.keys()) if new[label] != old[label]]
        return f": {' '.join(words[:6])}{' …' if len(words) > 6 else ''}" if words else ""
    if isinstance(before, str | int) and isinstance(now, str | int) and len(f"{before}{now}") < 80:
        return f": {before} → {now}"
    return ""


def _labelled(items: list[Any]) -> dict[str, Any]:
    """The items by what people call them: name and version, or where a file goes."""
    labels: dict[str, Any] = {}
    for item in items:
        if isinstance(item, str):
            labels[item] = item
        elif isinstance(item, dict):
            parts = [str(item[key]) for key in ("name", "version", "final") if key in item]
            if parts:
                labels[" ".join(parts)] = item
    return labels
