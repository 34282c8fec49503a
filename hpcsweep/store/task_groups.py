"""What is known of the array tasks of a sweep, as sets of chunks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, String, and_, cast, func, select

from hpcsweep.indexset import IndexSet
from hpcsweep.store import schema, totals
from hpcsweep.store.engine import Database

# Tasks that are read as fast as their groups are kept.
TOTAL_MIN = 500

# Characters of a rank that are the restart count.
_RESTART = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskGroup:
    """Chunks of one submission of whose array tasks the same is known."""

    submission: int
    chunks: IndexSet
    # Whether a start is journalled, and a verdict on the end of the last one.
    is_started: bool
    is_closed: bool
    # The verdict's reason.
    reason: str | None


def read(database: Database, sweep: str) -> list[TaskGroup]:
    """Each known array task, in one group. *Writes* the groups of many, if it can."""
    if total := totals.kept(database, sweep, "tasks"):
        return [_of_json(*values) for values in json.loads(total)]

    def make_total(connection: Connection) -> str:
        values = [_to_json(group) for group in _groups(connection, sweep)]
        return json.dumps(values, separators=(",", ":"))

    groups = database.read(partial(_groups, sweep=sweep))
    if sum(group.chunks.count for group in groups) >= TOTAL_MIN:
        totals.try_keep(database, sweep, "tasks", make_total)
    return groups


def _groups(connection: Connection, sweep: str) -> list[TaskGroup]:
    tasks = schema.tasks.c
    # A finished task can be requeued by hand: a start after the verdict opens it again.
    judged, begun = (
        func.substr(rank, 1, _RESTART) for rank in (tasks.verdict_rank, tasks.start_rank)
    )
    same = (
        tasks.submission,
        (tasks.start_rank != "").label("is_started"),
        and_(tasks.verdict_rank != "", judged >= begun).label("is_closed"),
        tasks.reason,
    )
    chunks = func.aggregate_strings(cast(tasks.chunk, String), ",")
    query = select(*same, chunks.label("chunks")).where(tasks.sweep == sweep).group_by(*same)
    return [
        TaskGroup(
            submission=row.submission,
            chunks=IndexSet.of(map(int, row.chunks.split(","))),
            is_started=bool(row.is_started),
            is_closed=bool(row.is_closed),
            reason=row.reason,
        )
        for row in connection.execute(query)
    ]


def _to_json(group: TaskGroup) -> list[Any]:
    ends = [group.is_started, group.is_closed, group.reason]
    return [group.submission, group.chunks.to_json(), *ends]


def _of_json(
    submission: int, chunks: list[list[int]], started: bool, closed: bool, reason: str | None
) -> TaskGroup:
    return TaskGroup(
        submission=submission,
        chunks=IndexSet((start, stop) for start, stop in chunks),
        is_started=started,
        is_closed=closed,
        reason=reason,
    )
