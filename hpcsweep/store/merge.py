"""Merge a batch of rows into all tables of an index."""

from __future__ import annotations

from sqlalchemy import Connection

from hpcsweep.store import blocks, upsert
from hpcsweep.store.upsert import RowBatch


def merge(connection: Connection, sweep: str, batch: RowBatch, where: str) -> None:
    """Merge a batch. *Raises* StoreError if a case id has other params than its row."""
    changed = upsert.merge_cases(connection, sweep, batch, where)
    upsert.merge_places(connection, sweep, batch)
    upsert.merge_inputs(connection, sweep, batch)
    blocks.mark(connection, sweep, batch.places, changed)
    started, judged = ("host", "job_id", "time"), ("status", "reason")
    upsert.merge_tasks(connection, sweep, batch.starts, "start_rank", started)
    upsert.merge_tasks(connection, sweep, batch.verdicts, "verdict_rank", judged)
    upsert.advance(connection, sweep, batch)
