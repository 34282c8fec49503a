"""Insert rows into SQLite by their columns: to bind its values takes most of the time of a row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

from sqlalchemy import Connection

from hpcsweep.store.constant_columns import is_constant

# Rows from which on the text of a statement of their own is worth while.
_ROWS_MIN = 100
# Texts that are the same in SQL: nothing in them is escaped.
_is_literal_text = re.compile(r"[\w .,:+/\[\]-]*", re.ASCII).fullmatch
_INTEGER_MAX = 2**63 - 1


def insert_new(connection: Connection, table: str, columns: Mapping[str, Sequence[Any]]) -> int:
    """Insert the rows, at least one, whose keys are new. Returns the count of these.

    The default of a column that is null in all rows must be null.
    """
    count = len(next(iter(columns.values())))
    words: dict[str, str] = {}
    bound: list[Sequence[Any]] = []
    for name, column in columns.items():
        if column[0] is None and column.count(None) == count:
            continue  # to bind a null takes a fifth of a microsecond
        literal = _literal(column[0]) if count >= _ROWS_MIN and is_constant(column) else None
        words[name] = literal or "?"
        if literal is None:
            bound.append(column)
    statement = (
        f"INSERT INTO {table} ({', '.join(words)}) VALUES ({', '.join(words.values())}) "  # noqa: S608
        "ON CONFLICT DO NOTHING"
    )
    # In the order of the journals, which is nearly that of indices: a reader in index order then
    # finds the rows of a page of the file together. Not through SQLAlchemy, which wants a list: of
    # an iterator, all rows are one tuple.
    cursor: Any = connection.connection.cursor()
    try:
        cursor.executemany(statement, zip(*bound, strict=True) if bound else repeat((), count))
        inserted: int = cursor.rowcount
    finally:
        cursor.close()
    return inserted


def _literal(value: Any) -> str | None:
    """A value as SQL text; None for one that has to be bound.

    To read the text of a float, SQLite rounds less exactly than Python.
    """
    if type(value) is int:
        return repr(value) if abs(value) <= _INTEGER_MAX else None
    if type(value) is str and _is_literal_text(value):
        return f"'{value}'"
    return None
