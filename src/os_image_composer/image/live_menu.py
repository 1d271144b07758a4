"""The entries of a live medium's menu, and what each tells the initrd (live-parse.sh in config/osv/live)."""

from __future__ import annotations

from dataclasses import dataclass

CHANGES = "LIVE_CHANGES"  # the label of a partition for what is changed
# Instead of a variant's words: the boot loader says which it was (live-choose.sh).
CHOICE = "image.live.choice"


@dataclass(frozen=True)
class Variant:
    """`words` stand before the template's command line."""

    identifier: str
    title: str
    words: tuple[str, ...]


def variants(title: str, label: str) -> tuple[Variant, ...]:
    """The first is the default; `label` is the medium's."""
    live = f"image.live={label}"
    kept = f"{title}, keeping changes on the partition {CHANGES}"
    return (
        Variant("live", title, (live,)),
        Variant("live-changes", kept, (live, f"image.live.changes={CHANGES}")),
        Variant("live-check", f"Check this medium, then start {title}", (live, "image.live.check")),
    )
