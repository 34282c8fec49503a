"""What is known of the array tasks of a sweep, as sets of chunks."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, String, and_, cast, func, select

from hpcsweep.indexset import IndexSet
from hpcsweep.store import schema

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


def read(connection: Connection, sweep: str) -> list[TaskGroup]:
    """Each known array task, in one group: a few rows, however many tasks there are."""
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
