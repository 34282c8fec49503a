"""The indices of cases as merges keep them: the lowest in the row, all others in `places`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, bindparam, select

from hpcsweep.store import schema, upsert
from hpcsweep.store.pages import NAMES_AT_ONCE
from hpcsweep.store.placed import indices_of
from hpcsweep.store.upsert import PLACE_COLUMNS, RowBatch

# Indices of one case, and what each carries.
_Indices = dict[int, str | None]


def places_of(connection: Connection, sweep: str, cases: Iterable[str]) -> dict[int, str]:
    """The ids of these cases by all their indices."""
    found: dict[int, str] = {}
    for some in _in_parts(cases):
        rows = connection.execute(indices_of(sweep, some))
        found |= {index: case_id for index, case_id in rows if index is not None}
    return found


def merge_places(
    connection: Connection, sweep: str, batch: RowBatch, first: Mapping[str, int], moved: set[str]
) -> None:
    """Merge the indices of a batch that its rows do not say.

    `first` has the lowest index of each case in the batch, `moved` are the cases whose rows have
    another one.
    """
    several: set[str] = set()
    if len(first) < len(batch.places):
        several = {case_id for index, case_id in batch.places.items() if first[case_id] != index}
    unmade = first.keys() - set(batch.case_ids)
    known = _with_places(connection, sweep, first)
    ids = moved | several | unmade | known
    if not ids:
        return
    new: dict[str, _Indices] = {case_id: {} for case_id in ids}
    for index, case_id in batch.places.items():
        if case_id in ids:
            new[case_id][index] = batch.carried.get(index)
    for some in _in_parts(ids):
        _settle(connection, sweep, {case_id: new[case_id] for case_id in some})


def _with_places(connection: Connection, sweep: str, cases: Iterable[str]) -> set[str]:
    """Those of the cases that `places` has; of most sweeps it has none."""
    table = schema.places.c
    of_sweep = select(table.case_id).where(table.sweep == sweep)
    if connection.scalar(of_sweep.limit(1)) is None:
        return set()
    found: set[str] = set()
    for some in _in_parts(cases):
        found.update(connection.scalars(of_sweep.where(table.case_id.in_(some))))
    return found


def _settle(connection: Connection, sweep: str, new: Mapping[str, _Indices]) -> None:
    """Add indices to cases; the lowest one of each that has a row goes there."""
    own = _indices_in(connection, schema.cases, sweep, new)
    others = _indices_in(connection, schema.places, sweep, new)
    lowest: list[tuple[str, int, str | None]] = []
    further: list[tuple[Any, ...]] = []
    for case_id, indices in new.items():
        known = indices | others.get(case_id, {}) | own.get(case_id, {})
        if case_id in own and known:
            index = min(known)
            if index not in own[case_id]:
                lowest.append((case_id, index, known[index]))
            del known[index]
        further += [(sweep, index, case_id, known[index]) for index in known]
    table = schema.places
    places = {index for _, index, *_ in further}
    gone = [index for of in others.values() for index in of if index not in places]
    if gone:
        delete = table.delete().where(table.c.sweep == sweep, table.c.idx == bindparam("at"))
        connection.execute(delete, [{"at": index} for index in sorted(gone)])
    if further:
        columns = zip(("sweep", *PLACE_COLUMNS), zip(*further, strict=True), strict=True)
        upsert.insert_missing(connection, table, dict(columns))
    upsert.set_places(connection, sweep, lowest)


def _indices_in(
    connection: Connection, table: Any, sweep: str, cases: Iterable[str]
) -> dict[str, _Indices]:
    """The indices that a table has of cases; {} of a case with a row and without an index.

    Locks them: of two merges that add indices to one case, the second sees what the first made.
    """
    names = (table.c[name] for name in ("case_id", "idx", "carried"))
    query = select(*names).where(table.c.sweep == sweep, table.c.case_id.in_(cases))
    query = query.order_by(table.c.case_id, table.c.idx).with_for_update()
    found: dict[str, _Indices] = {}
    for case_id, index, carried in connection.execute(query):
        indices = found.setdefault(case_id, {})
        if index is not None:
            indices[index] = carried
    return found


def _in_parts(cases: Iterable[str]) -> Iterator[list[str]]:
    ids = sorted(cases)
    for start in range(0, len(ids), NAMES_AT_ONCE):
        yield ids[start : start + NAMES_AT_ONCE]
