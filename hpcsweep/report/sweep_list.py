"""The page *Sweeps*: those of a directory, as `hpcsweep list` shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpcsweep.settings import Settings
from hpcsweep.state.overview import EntryKind, overviews
from hpcsweep.state.summary import counts_text

# Kinds of entries that are listed.
LISTED = frozenset({EntryKind.SWEEP, EntryKind.DAMAGED})


def data(root: Path, settings: Settings) -> dict[str, Any]:
    """What each index says. *Raises* SweepError."""
    entries = overviews(root, settings, measure=False)
    return {
        "path": str(root),
        "entries": [
            {
                "name": entry.name,
                "is_sweep": entry.kind is EntryKind.SWEEP,
                "cases": "" if entry.cases is None else str(entry.cases),
                "submitted": (entry.submitted or "")[:16].replace("T", " "),
                "state": "; ".join(filter(None, (counts_text(entry.counts), entry.note))),
            }
            for entry in entries
            if entry.kind in LISTED
        ],
    }
