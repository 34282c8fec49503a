"""How far the journals of a sweep were ingested; `upsert.advance` moves it."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, and_, func, select, text

from hpcsweep.store import schema
from hpcsweep.store.pages import NAMES_AT_ONCE

_table = schema.journals.c


def positions(
    connection: Connection, sweep: str, paths: Iterable[str] | None = None
) -> dict[str, int]:
    """See `SweepIndex.positions`."""
    query = select(_table.path, _table.position).where(_table.sweep == sweep)
    some = None if paths is None else list(paths)
    if some is not None and len(some) <= NAMES_AT_ONCE:
        query = query.where(_table.path.in_(some))
    return {row.path: row.position for row in connection.execute(query)}


def open_positions(connection: Connection, sweep: str) -> dict[str, int]:
    """The same, of all journals but for those of `closed`."""
    query = select(_table.path, _table.position).where(_table.sweep == sweep)
    # The condition of an index.
    found = connection.execute(query.where(text("closed = 0")))
    return {row.path: row.position for row in found}


def closed(connection: Connection, sweep: str, directory: str | None = None) -> frozenset[str]:
    """See `SweepIndex.closed`; those of one directory if it is given."""
    # As one text: of ten thousand rows it is a quarter of the time.
    query = select(func.aggregate_strings(_table.path, "\n"))
    query = query.where(_table.sweep == sweep, _table.closed == 1)
    if directory is not None:
        query = query.where(is_in(directory))
    paths = connection.scalar(query)
    return frozenset(paths.split("\n") if paths else ())


def is_in(directory: str) -> ColumnElement[bool]:
    """Whether a journal is in a directory: by the order of the paths, which have an index."""
    after = chr(ord("/") + 1)
    return and_(_table.path > f"{directory}/", _table.path < f"{directory}{after}")


def torn(connection: Connection, sweep: str) -> dict[str, int]:
    """See `SweepIndex.torn`."""
    query = select(_table.path, _table.torn).where(_table.sweep == sweep, text("torn > 0"))
    # Ordered here: SQLite would take the index that has the order, and read every journal.
    return {row.path: row.torn for row in sorted(connection.execute(query))}
