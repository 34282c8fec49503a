"""The places of cases in another manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, ScalarSelect, Select, and_, func, select

from hpcsweep.store import blocks, case_groups, schema, totals, upsert
from hpcsweep.store.pages import NAMES_AT_ONCE

# The index of a case and what it carries there, as JSON text; None if the manifest lacks it.
Placed = tuple[int, str | None] | None


def identities(sweep: str) -> Select[Any]:
    """The identity of each case, and its first index, by case id."""
    cases = schema.cases.c
    index = func.coalesce(cases.idx, _further(sweep)).label("idx")
    columns = (cases.case_id, cases.params, cases.replicate, index)
    return select(*columns).where(cases.sweep == sweep).order_by(cases.case_id)


def unplaced(sweep: str) -> Select[Any]:
    """Each case that has no index, since the manifest lacks it: its identity and its outcome."""
    cases = schema.cases.c
    columns = (cases.case_id, cases.params, cases.replicate, *case_groups.OUTCOMES.columns)
    lacked = and_(cases.sweep == sweep, cases.idx.is_(None), _further(sweep).is_(None))
    return select(*columns).where(lacked).order_by(cases.case_id)


def _further(sweep: str) -> ScalarSelect[int]:
    """The lowest index that a case has in `places`."""
    cases, places = schema.cases.c, schema.places.c
    of_case = and_(places.sweep == sweep, places.case_id == cases.case_id)
    return select(func.min(places.idx)).where(of_case).scalar_subquery()


def replace_places(
    connection: Connection,
    sweep: str,
    known: Mapping[str, Placed],
    placed: Callable[[dict[str, Any]], Placed],
) -> None:
    """Replace the indices of all cases: by the `known` ones, and by `placed` of the others.

    Others are cases that a merge added meanwhile; `placed` takes their row of `identities`.
    """
    cases, table = schema.cases.c, schema.places
    places = dict(known)
    case_ids = connection.scalars(select(cases.case_id).where(cases.sweep == sweep))
    new = [case_id for case_id in case_ids if case_id not in places]
    for start in range(0, len(new), NAMES_AT_ONCE):
        some = cases.case_id.in_(new[start : start + NAMES_AT_ONCE])
        for row in connection.execute(identities(sweep).where(some)).mappings():
            places[row["case_id"]] = placed(dict(row))
    connection.execute(table.delete().where(table.c.sweep == sweep))
    rows = [(case, *(place or (None, None))) for case, place in places.items()]
    upsert.set_places(connection, sweep, rows)
    kept = schema.blocks
    connection.execute(kept.delete().where(kept.c.sweep == sweep))
    totals.reset(connection, sweep, ("outcomes", "kinds"))
    blocks.mark(connection, sweep, (place[0] for place in places.values() if place))
