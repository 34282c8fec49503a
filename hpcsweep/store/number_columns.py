"""Numbers among params and metrics in columns of their own, on SQLite: to read JSON takes longer.

The texts of params and metrics say everything. A column repeats the numbers below one key; where it
is null, the text says what a case has there. PostgreSQL has JSONB in its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, or_, select

from hpcsweep.store import schema, upsert
from hpcsweep.store.column_kinds import INT64, Keys, Kinds, fit_int64, values_at

_INFINITIES = frozenset((inf, -inf))
# The column of `cases` by the column with the JSON text and the keys down to the number.
NumberColumns = dict[tuple[str, Keys], str]


def known(connection: Connection, sweep: str) -> NumberColumns:
    """The columns of a sweep's numbers."""
    table = schema.number_columns.c
    query = select(table.document, table.path, table.name).where(table.sweep == sweep)
    return {
        (document, tuple(json.loads(path))): name
        for document, path, name in connection.execute(query)
    }


def keep(connection: Connection, sweep: str, columns: NumberColumns) -> dict[str, str]:
    """Keep columns of new keys. Returns, by the name of each, the one that it has.

    Another process may have been faster, and have given a name to another key.
    """
    found = known(connection, sweep)
    after = found
    for document, keys in sorted(columns.keys() - found.keys(), key=columns.__getitem__):
        after = extended(after, document, {keys: "float"})
    new = after.keys() - found.keys()
    if new:
        rows = [
            {"sweep": sweep, "document": of[0], "path": json.dumps(of[1]), "name": after[of]}
            for of in sorted(new)
        ]
        connection.execute(schema.number_columns.insert(), rows)
    return {name: after[key] for key, name in columns.items() if key in after}


def renamed(cases: upsert.CaseColumns, names: Mapping[str, str]) -> upsert.CaseColumns:
    """The columns of cases, those of numbers by other names; without a name one is left out."""
    numbers = {name for of_document in schema.NUMBERS.values() for name in of_document}
    return {
        names.get(name, name): column
        for name, column in cases.items()
        if name not in numbers or name in names
    }


def text_of_gaps(document: str, names: Iterable[str]) -> ColumnElement[str | None]:
    """The JSON text of the rows of which one of these columns says nothing; else null."""
    is_gap = or_(*(schema.column(name).is_(None) for name in names))
    return case((is_gap, schema.column(document))).label(document)


def extended(columns: NumberColumns, document: str, kinds: Kinds) -> NumberColumns:
    """The columns with one more for each key of a document whose values are numbers alone.

    The first keys in order get those that are free.
    """
    new = [
        (document, keys)
        for keys in sorted(kinds)
        if kinds[keys] in {"int", "float"} and (document, keys) not in columns
    ]
    taken = set(columns.values())
    free = [name for name in schema.NUMBERS[document] if name not in taken]
    return columns | dict(zip(new, free, strict=False))


def split(
    columns: NumberColumns, documents: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Sequence[Any]]:
    """The numbers of documents by their column; None in place of what is none.

    Without the columns of which no document has a number.
    """
    made: dict[str, Sequence[Any]] = {}
    for (document, keys), name in columns.items():
        values, _ = values_at(documents[document], keys)
        numbers = values if set(map(type, values)) <= {float, type(None)} else _numbers(values)
        # An infinity is the text of an object there.
        if document == "params" and not _INFINITIES.isdisjoint(numbers):
            numbers = [None if value in _INFINITIES else value for value in numbers]
        if numbers.count(None) < len(numbers):
            made[name] = numbers
    return made


def _numbers(values: list[Any]) -> list[Any]:
    types = set(map(type, values))
    if types == {int} and fit_int64(values, types):
        return values
    return [
        value if type(value) is float or (type(value) is int and -INT64 <= value < INT64) else None
        for value in values
    ]
