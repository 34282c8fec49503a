"""Read the rows of a set of indices in pages, at a cost of the set's size."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, TextClause, and_, text

from hpcsweep.indexset import IndexSet
from hpcsweep.store import schema

# Rows per page: read in one transaction, and held in memory.
ROWS_AT_ONCE = 5000
# Variables per query; older builds of SQLite allow 999.
NAMES_AT_ONCE = 500


# A list of indices as one variable: thousands of them take longer to bind than the rows to read.
_IN_LIST = {
    "sqlite": ("places.idx IN (SELECT value FROM json_each(:indices))", "[{}]"),
    "postgresql": ("places.idx = ANY(CAST(:indices AS BIGINT[]))", "{{{}}}"),
}


def pages(
    indices: IndexSet, dialect: str, batch: int = ROWS_AT_ONCE
) -> Iterator[ColumnElement[bool] | TextClause]:
    """Conditions that select these indices page by page, in index order."""
    place = schema.places.c.idx
    condition, form = _IN_LIST[dialect]
    for ranges in _pieces(indices, batch):
        if len(ranges) == 1:
            ((start, stop),) = ranges
            yield and_(place >= start, place < stop)
        else:
            numbers = ",".join(str(index) for pair in ranges for index in range(*pair))
            yield text(condition).bindparams(indices=form.format(numbers))


def _pieces(indices: IndexSet, batch: int) -> Iterator[list[tuple[int, int]]]:
    """The ranges of at most `batch` indices at a time."""
    piece: list[tuple[int, int]] = []
    room = batch
    for start, stop in indices.ranges:
        at = start
        while at < stop:
            end = min(stop, at + room)
            piece.append((at, end))
            room -= end - at
            at = end
            if not room:
                yield piece
                piece, room = [], batch
    if piece:
        yield piece
