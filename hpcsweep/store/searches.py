"""Searches through the rows of all cases: which satisfy a condition, and which come first.

They read `cases` from its beginning to its end: no index has their order.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, func, literal_column, or_, select

from hpcsweep.store import schema
from hpcsweep.store.placed import further


def matching(
    sweep: str, condition: ColumnElement[bool], dialect: str
) -> CompoundSelect[tuple[int | None]]:
    """The indices of the rows that satisfy a condition; null for a case without a place."""
    index = schema.cases.c.idx
    own = select(index).where(condition, _of_sweep(sweep, dialect))
    return own.union_all(further(sweep, [index], [condition]))


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
    found = select(cases.case_id, value.label("value")).where(has_value, _of_sweep(sweep, dialect))
    return found.order_by(order)


def _of_sweep(sweep: str, dialect: str) -> ColumnElement[bool]:
    """Which cases are those of the sweep."""
    if dialect != "sqlite":
        return schema.cases.c.sweep == sweep
    # The unary plus keeps SQLite from the index of case ids: it would read another page of the
    # table for each of them. A file has one sweep as a rule, and then this compares no texts.
    is_alone = select(func.count()).select_from(schema.sweeps).scalar_subquery() == 1
    return or_(is_alone, literal_column("+cases.sweep") == sweep)
