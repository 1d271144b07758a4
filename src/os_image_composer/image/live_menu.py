"""The entries of a live medium's menu, and what each tells the initrd (live-parse.sh in config/osv/live)."""

from __future__ import annotations

from dataclasses import dataclass

CHANGES = "LIVE_CHANGES"  # the label of a partition for what is changed
# Instead of a variant's words: the boot loader says which it was (live-choose.sh).
CHOICE = "image.live.choice"
# systemd-boot says which disk it came from, and the initrd's systemd would wait for a root partition on it, or take one
# that somebody added there (systemd-gpt-auto-generator(8)).
NO_ROOT_PARTITION = "rd.systemd.gpt_auto=0"


@dataclass(frozen=True)
class Variant:
    """`words` stand before the template's command line."""

    identifier: str
    title: str
    words: tuple[str, ...]


def variants(title: str, label: str, root_hash: str | None = None) -> tuple[Variant, ...]:
    """The first is the default; `label` is the medium's. With the `root_hash` of a sealed root no changes are kept: who
    can write to the partition that they are on would decide what runs."""
    live: tuple[str, ...] = (f"image.live={label}", *((f"image.live.verity={root_hash}",) if root_hash else ()))
    kept = f"{title}, keeping changes on the partition {CHANGES}"
    changes = Variant("live-changes", kept, (*live, f"image.live.changes={CHANGES}"))
    return (
        Variant("live", title, live),
        *((changes,) if root_hash is None else ()),
        Variant("live-check", f"Check this medium, then start {title}", (*live, "image.live.check")),
    )
