"""Read the rows of a set of indices in pages, at a cost of the set's size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Text,
    and_,
    cast,
    func,
    literal,
    select,
)

from hpcsweep.indexset import IndexSet
from hpcsweep.store import schema

# Rows per page: read in one transaction, and held in memory.
ROWS_AT_ONCE = 5000
# The same as Arrow arrays, where rows are small: the query of a page takes as long as 1,000 rows.
ARROW_ROWS_MAX = 50_000
# Bytes of such a page.
ARROW_BYTES = 16 << 20
# Variables per query; older builds of SQLite allow 999.
NAMES_AT_ONCE = 500


@dataclass(slots=True)
class PageSize:
    """Rows per page, which may change while pages are read."""

    rows: int = ROWS_AT_ONCE

    def fit(self, n_rows: int, n_bytes: int) -> None:
        """Fit the next pages to the size of one that was read as Arrow arrays."""
        fitting = ARROW_BYTES * n_rows // max(1, n_bytes)
        self.rows = max(ROWS_AT_ONCE, min(ARROW_ROWS_MAX, fitting))


def pages(
    indices: IndexSet, dialect: str, size: PageSize | None = None
) -> Iterator[ColumnElement[bool]]:
    """Conditions that select these indices page by page, in index order."""
    place = schema.cases.c.idx
    for ranges in _pieces(indices, size or PageSize()):
        if len(ranges) == 1:
            ((start, stop),) = ranges
            yield and_(place >= start, place < stop)
        else:
            yield among((index for pair in ranges for index in range(*pair)), dialect)


def among(indices: Iterable[int], dialect: str) -> ColumnElement[bool]:
    """Whether a case has one of these indices."""
    return is_one_of_ints(schema.cases.c.idx, indices, dialect)


def is_one_of_ints(
    value: ColumnElement[Any], ints: Iterable[int], dialect: str
) -> ColumnElement[bool]:
    """Whether a number is one of these, which 64 bits can hold.

    They are one variable: thousands of them take longer to bind than the rows to read.
    """
    numbers = ",".join(map(str, ints))
    if dialect == "postgresql":
        return _is_any(value, cast(literal(f"{{{numbers}}}", Text), ARRAY(BigInteger)))
    return _in_json(value, f"[{numbers}]")


def is_one_of_texts(
    value: ColumnElement[Any], texts: Sequence[str], dialect: str
) -> ColumnElement[bool]:
    """Whether a text is one of these, which have no NUL; they are one variable, too."""
    if dialect == "postgresql":
        return _is_any(value, literal(list(texts), ARRAY(Text)))
    return _in_json(value, json.dumps(texts))


def _is_any(value: ColumnElement[Any], array: ColumnElement[Any]) -> ColumnElement[bool]:
    # By == SQLAlchemy may put any() to the left, where PostgreSQL does not take it.
    return value.bool_op("=")(func.any(array))


def _in_json(value: ColumnElement[Any], array: str) -> ColumnElement[bool]:
    members = func.json_each(literal(array, Text)).table_valued("value")
    return value.in_(select(members.c.value))


def _pieces(indices: IndexSet, size: PageSize) -> Iterator[list[tuple[int, int]]]:
    """The ranges of the indices of one page at a time."""
    piece: list[tuple[int, int]] = []
    room = size.rows
    for start, stop in indices.ranges:
        at = start
        while at < stop:
            end = min(stop, at + room)
            piece.append((at, end))
            room -= end - at
            at = end
            if not room:
                yield piece
                piece, room = [], size.rows
    if piece:
        yield piece
