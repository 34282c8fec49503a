"""How far the journals of a sweep were ingested; `upsert.advance` moves it."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, func, select

from hpcsweep.store import schema
from hpcsweep.store.pages import NAMES_AT_ONCE

_table = schema.journals.c


def positions(
    connection: Connection, sweep: str, paths: Iterable[str] | None, *, only_open: bool
) -> dict[str, int]:
    """See `SweepIndex.positions`."""
    query = select(_table.path, _table.position).where(_table.sweep == sweep)
    if only_open:
        query = query.where(_table.closed == 0)
    some = None if paths is None else list(paths)
    if some is not None and len(some) <= NAMES_AT_ONCE:
        query = query.where(_table.path.in_(some))
    return {row.path: row.position for row in connection.execute(query)}


def closed(connection: Connection, sweep: str) -> frozenset[str]:
    """See `SweepIndex.closed`."""
    # As one text: of ten thousand rows it is a quarter of the time.
    query = select(func.aggregate_strings(_table.path, "\n"))
    text = connection.scalar(query.where(_table.sweep == sweep, _table.closed == 1))
    return frozenset(text.split("\n") if text else ())


def torn(connection: Connection, sweep: str) -> dict[str, int]:
    """See `SweepIndex.torn`."""
    query = select(_table.path, _table.torn).where(_table.sweep == sweep, _table.torn > 0)
    return {row.path: row.torn for row in connection.execute(query.order_by(_table.path))}
