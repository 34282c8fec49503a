"""How long array tasks worked on cases, and what these used: a row for each task."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, func, select, union_all

from hpcsweep.store import schema


class TaskTimes(NamedTuple):
    """An array task, with its requeues, as far as its attempts ended."""

    submission: int
    # Times of records: of the first attempt, and of the last one.
    started: str
    ended: str
    # Seconds; None if none is known.
    cpu_seconds: float | None


def read(connection: Connection, sweep: str) -> list[TaskTimes]:
    """Each task that has an attempt that ended."""
    cases, attempts = schema.cases.c, schema.attempts.c
    names = ("submission", "job_id", "started", "ended", "cpu_seconds")
    each = union_all(
        # Of a case with several attempts, `attempts` has all.
        select(*(cases[name] for name in names)).where(cases.sweep == sweep, cases.attempt == 1),
        select(*(attempts[name] for name in names)).where(attempts.sweep == sweep),
    ).subquery()
    # Times are UTC in one form: as texts they have the order of time.
    query = (
        select(
            each.c.submission,
            func.min(each.c.started),
            func.max(each.c.ended),
            func.sum(each.c.cpu_seconds),
        )
        .where(each.c.started.is_not(None), each.c.ended.is_not(None))
        .group_by(each.c.submission, each.c.job_id)
    )
    return [TaskTimes(*row) for row in connection.execute(query)]
