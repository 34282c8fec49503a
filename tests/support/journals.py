"""Journals that a test writes or reads: of records that no worker may have written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from hpcsweep import journal, recordcheck
from hpcsweep.journal import JournalWriter

# A record of whatever kind; a test knows which.
Record = dict[str, Any]


def rank(record: Record) -> str:
    """The merge order of a record that is known to be about a case."""
    return journal.rank(cast("recordcheck.EndRecord", record))


def write_journal(path: Path, *records: Mapping[str, Any]) -> None:
    """A journal of these records, whether or not a reader accepts them."""
    writer = JournalWriter(path)
    for record in records:
        writer.append(cast("recordcheck.Record", record))
    writer.close()
