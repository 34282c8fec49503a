"""The times of records and metadata, which `journal.now` writes, as numbers."""

from __future__ import annotations

from datetime import datetime


def epoch_s(moment: str) -> float:
    """Seconds since the epoch of a time: ISO 8601, with its offset."""
    return datetime.fromisoformat(moment).timestamp()
