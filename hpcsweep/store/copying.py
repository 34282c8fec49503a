"""Load rows into PostgreSQL by `COPY`, as text: `write_row` takes twice as long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Any

from sqlalchemy import Connection

# Rows of one text.
_AT_ONCE = 1000
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NULL = "\\N"


def copy_rows(
    connection: Connection, table: str, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Append rows of texts, numbers and None to a table."""
    cursor: Any = connection.connection.cursor()
    with cursor.copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy:
        for start in range(0, len(rows), _AT_ONCE):
            copy.write(copy_text(rows[start : start + _AT_ONCE]))


def copy_text(rows: Sequence[Sequence[Any]]) -> str:
    """Rows in the text format of `COPY`."""
    if not rows:
        return ""
    pieces: list[Iterable[str]] = []
    between = ""
    for column in zip(*rows, strict=True):
        # Most columns have one value: together with the separators these are one text.
        if _is_constant(column):
            between += f"{_field(column[0])}\t"
            continue
        pieces += [repeat(between, len(rows)), _fields(column)]
        between = "\t"
    pieces.append(repeat(f"{between[:-1]}\n", len(rows)))
    return "".join(chain.from_iterable(zip(*pieces, strict=True)))


def _is_constant(column: Sequence[Any]) -> bool:
    first = column[0]
    if first != column[-1] or column.count(first) < len(column):
        return False
    # Equal numbers may have other texts: 1 and 1.0, 0.0 and -0.0.
    return first is None or isinstance(first, str) or set(map(type, column)) == {int}


def _fields(column: Sequence[Any]) -> Iterable[str]:
    types = set(map(type, column))
    if types == {str}:
        return map(_escaped, column) if _has_special("".join(column)) else column
    return map(repr, column) if types <= {int, float} else map(_field, column)


def _field(value: Any) -> str:
    return _NULL if value is None else _escaped(value) if isinstance(value, str) else repr(value)


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES) if _has_special(text) else text


def _has_special(text: str) -> bool:
    # A fifth of the time of a regular expression.
    return "\\" in text or "\t" in text or "\n" in text or "\r" in text
