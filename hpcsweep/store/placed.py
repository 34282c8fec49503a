"""Cases at each of their indices: the lowest stands in the row, `places` has the further ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, literal_column, select
from sqlalchemy.sql import visitors

from hpcsweep.store import schema

_OF_PLACE = frozenset({"idx", "carried"})
# Of the rows of `placed`, which have this column.
IDX: ColumnElement[Any] = literal_column("idx")


def placed(
    sweep: str,
    columns: Sequence[ColumnElement[Any]],
    where: Iterable[ColumnElement[bool]] = (),
    join: Callable[[Select[Any]], Select[Any]] = lambda query: query,
) -> CompoundSelect[Any]:
    """These columns of all rows that satisfy all conditions, once for each index.

    Columns and conditions are of `cases`, also where they are about the index; `join` adds tables.
    """
    cases = schema.cases.c
    conditions = list(where)
    own = join(select(*columns).select_from(schema.cases))
    own = own.where(cases.sweep == sweep, cases.idx.is_not(None), *conditions)
    return own.union_all(further(sweep, columns, conditions, join))


def indices_of(sweep: str, cases: Sequence[str]) -> CompoundSelect[Any]:
    """The indices of these cases, null for none, and their ids: `idx`, `case_id`."""
    # Unlike `placed`, without the condition that the index is not null: by it, SQLite goes through
    # the indices of all cases where it should look up more than some hundred ids.
    table = schema.cases.c
    columns, of_cases = (table.idx, table.case_id), table.case_id.in_(cases)
    own = select(*columns).where(table.sweep == sweep, of_cases)
    return own.union_all(further(sweep, columns, [of_cases]))


def further(
    sweep: str,
    columns: Iterable[ColumnElement[Any]],
    where: Iterable[ColumnElement[bool]] = (),
    join: Callable[[Select[Any]], Select[Any]] = lambda query: query,
    *,
    has_row: bool = True,
) -> Select[Any]:
    """The part of `placed` from `places`; with `has_row` unset also of cases without a row."""
    cases, places = schema.cases.c, schema.places.c
    matches = and_(cases.sweep == places.sweep, cases.case_id == places.case_id)
    both = schema.places.join(schema.cases, matches, isouter=not has_row)
    return join(select(*map(_at_place, columns)).select_from(both)).where(
        places.sweep == sweep,
        # Two merges at once on PostgreSQL may note one index in both tables.
        places.idx.is_distinct_from(cases.idx),
        *map(_at_place, where),
    )


def _at_place(element: Any) -> Any:
    """What a column or condition of `cases` is at a further index of its case."""
    return visitors.replacement_traverse(element, {}, _of_place)


def _of_place(element: Any, **_: Any) -> Any:
    is_own = getattr(element, "table", None) is schema.cases and element.name in _OF_PLACE
    return schema.places.c[element.name] if is_own else None
