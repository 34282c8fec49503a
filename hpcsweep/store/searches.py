"""Searches through the rows of all cases: which satisfy a condition, and which come first.

They read `cases` from its beginning to its end, and look up the place of those alone that they
find. To look up each case of each place takes four times as long: case ids are random.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, literal_column, select

from hpcsweep.store import schema


def matching(sweep: str, condition: ColumnElement[bool], dialect: str) -> Select[Any]:
    """The indices of the rows that satisfy a condition; null for a case without a place.

    SQLite joins in the order that is cheapest for it unless the join is an outer one, and makes an
    inner one of this if the condition limits the indices (3.40).
    """
    cases, places = schema.cases.c, schema.places.c
    is_place = and_(
        places.sweep == cases.sweep, places.case_id == cases.case_id, places.sweep == sweep
    )
    return (
        select(places.idx)
        .select_from(schema.cases)
        .outerjoin(schema.places, is_place)
        .where(_of_sweep(sweep, dialect), condition)
    )


def leading(
    sweep: str,
    has_value: ColumnElement[bool],
    value: ColumnElement[Any],
    dialect: str,
    *,
    descending: bool,
) -> Select[Any]:
    """The ids of the cases with a value, and the value, by its order."""
    order = value.desc() if descending else value
    cases = schema.cases.c
    found = select(cases.case_id, value.label("value")).where(_of_sweep(sweep, dialect), has_value)
    return found.order_by(order)


def _of_sweep(sweep: str, dialect: str) -> ColumnElement[bool]:
    """Which cases are those of the sweep."""
    if dialect == "sqlite":
        # The unary plus keeps SQLite from an index whose order is that of case ids: it would read
        # another page of the table for each of them. A file has one sweep.
        return literal_column("+cases.sweep") == sweep
    return schema.cases.c.sweep == sweep
