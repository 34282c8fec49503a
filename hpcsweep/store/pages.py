"""Read the rows of a set of indices in pages, at a cost of the set's size."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, and_

from hpcsweep.indexset import IndexSet
from hpcsweep.store import schema

# Rows per page: read in one transaction, and held in memory.
ROWS_AT_ONCE = 5000
# Variables per query; older builds of SQLite allow 999.
NAMES_AT_ONCE = 500


def pages(indices: IndexSet, batch: int = ROWS_AT_ONCE) -> Iterator[ColumnElement[bool]]:
    """Conditions that select these indices page by page, in index order."""
    place, rank = schema.places.c.idx, 0
    while piece := indices.slice(rank, rank + batch):
        if len(piece.ranges) == 1:
            ((start, stop),) = piece.ranges
            yield and_(place >= start, place < stop)
        else:
            piece = indices.slice(rank, rank + min(batch, NAMES_AT_ONCE))
            yield place.in_(list(piece))
        rank += piece.count
