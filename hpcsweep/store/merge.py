"""Merge a batch of rows into all tables of an index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

from hpcsweep.store import blocks, number_columns, places, task_groups, totals, upsert
from hpcsweep.store.blocks import Added, NewRows
from hpcsweep.store.case_groups import OUTCOMES
from hpcsweep.store.column_kinds import KINDS
from hpcsweep.store.upsert import RowBatch

DIGESTS = (OUTCOMES, KINDS)


def merge(connection: Connection, sweep: str, batch: RowBatch, where: str) -> None:
    """Merge a batch. *Raises* StoreError if a case id has other params than its row."""
    # In this order, the lowest index of a case comes last and stays.
    first = {case_id: index for index, case_id in sorted(batch.places.items(), reverse=True)}
    if batch.numbers:
        names = number_columns.keep(connection, sweep, batch.numbers)
        batch = replace(batch, cases=number_columns.renamed(batch.cases, names))
    known = upsert.merge_cases(connection, sweep, batch, first, where)
    places.merge_places(connection, sweep, batch, first, known.moved)
    upsert.merge_inputs(connection, sweep, batch)
    ids = known.ended | known.others
    added: Added | None = None
    if batch.is_first or connection.dialect.name == "sqlite":
        blocks.mark(connection, sweep, (), known.others)
        new = batch.places
        if ids:
            new = {index: case_id for index, case_id in new.items() if case_id not in ids}
            new |= places.places_of(connection, sweep, known.ended)
        added = blocks.add(connection, sweep, DIGESTS, _new_cases(batch, new, are_all=not ids))
    else:
        blocks.mark(connection, sweep, batch.places, ids)
    started, judged = ("host", "job_id", "time"), ("status", "reason")
    upsert.merge_tasks(connection, sweep, batch.starts, "start_rank", started)
    upsert.merge_tasks(connection, sweep, batch.verdicts, "verdict_rank", judged)
    upsert.advance(connection, sweep, batch)
    # Last: on PostgreSQL, merges wait here for the first one after a look.
    if added is not None and not known.others:
        blocks.add_to_totals(connection, sweep, DIGESTS, added)
    elif batch.places or ids:
        totals.reset(connection, sweep, [digest.column for digest in DIGESTS])
    tasks = {(row["submission"], row["chunk"]) for row in (*batch.starts, *batch.verdicts)}
    if tasks:
        task_groups.move(connection, sweep, tasks)


def _new_cases(batch: RowBatch, new: Mapping[int, str], *, are_all: bool) -> NewRows:
    """The cases of a batch at these indices; `are_all` if it has no others."""
    at = {case_id: place for place, case_id in enumerate(batch.case_ids)}
    return NewRows(
        columns=batch.cases,
        places={index: at.get(case_id) for index, case_id in new.items()},
        carried=batch.carried,
        digests=batch.digests if are_all else {},
    )
