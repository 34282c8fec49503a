"""What is known of the array tasks of a sweep, as sets of chunks."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, and_, cast, func, select

from hpcsweep.indexset import IndexSet
from hpcsweep.store import schema, totals
from hpcsweep.store.engine import Database
from hpcsweep.store.pages import NAMES_AT_ONCE

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

    some = select(schema.tasks.c.chunk).where(schema.tasks.c.sweep == sweep).limit(TOTAL_MIN)

    def keep_total(connection: Connection) -> list[TaskGroup]:
        groups = _groups(connection, sweep)
        totals.keep(connection, sweep, "tasks", _text(groups))
        return groups

    is_many = len(database.read(lambda connection: connection.scalars(some).all())) >= TOTAL_MIN
    kept = totals.try_make(database, sweep, keep_total) if is_many else None
    return database.read(partial(_groups, sweep=sweep)) if kept is None else kept


def move(connection: Connection, sweep: str, changed: Collection[tuple[int, int]]) -> None:
    """Move tasks in the total after a merge changed their rows: submission and chunk of each."""
    if len(changed) > NAMES_AT_ONCE:
        totals.reset(connection, sweep, ["tasks"])
        return
    tasks = schema.tasks.c
    chunks: defaultdict[int, set[int]] = defaultdict(set)
    for submission, chunk in changed:
        chunks[submission].add(chunk)

    def moved(kept: str) -> str:
        groups = {}
        for group in (_of_json(*values) for values in json.loads(kept)):
            rest = group.chunks - IndexSet.of(sorted(chunks.get(group.submission, ())))
            groups[_key(group)] = replace(group, chunks=rest)
        for submission, numbers in chunks.items():
            of_these = and_(tasks.submission == submission, tasks.chunk.in_(numbers))
            for group in _groups(connection, sweep, of_these):
                known = groups.setdefault(_key(group), group)
                groups[_key(group)] = replace(group, chunks=known.chunks | group.chunks)
        return _text(group for group in groups.values() if group.chunks)

    totals.change(connection, sweep, {"tasks": moved})


def _groups(
    connection: Connection, sweep: str, where: ColumnElement[bool] | None = None
) -> list[TaskGroup]:
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
    if where is not None:
        query = query.where(where)
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


def _key(group: TaskGroup) -> tuple[Any, ...]:
    """What the tasks of a group have in common."""
    return group.submission, group.is_started, group.is_closed, group.reason


def _text(groups: Iterable[TaskGroup]) -> str:
    return json.dumps([_to_json(group) for group in groups], separators=(",", ":"))


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
