"""What is known of a whole sweep, so that a look at one that rests reads one row.

A merge resets what it changes, in its transaction; the next command that needs it makes it again
from `blocks` or `tasks`, and keeps it where that takes longer than to read it here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial

from sqlalchemy import Connection, bindparam, null, or_, select

from hpcsweep.errors import StoreError
from hpcsweep.store import schema, upsert
from hpcsweep.store.engine import Database

# Characters of a total: to write more after each merge would take longer than to make it.
TEXT_MAX = 1 << 20


def kept(database: Database, sweep: str, column: str) -> str | None:
    """A total as it was kept; None if there is none."""
    return database.read(partial(read, sweep=sweep, column=column))


def read(connection: Connection, sweep: str, column: str) -> str | None:
    """The same, in a transaction."""
    table = schema.totals.c
    text: str | None = connection.scalar(select(table[column]).where(table.sweep == sweep))
    return text


def try_keep(
    database: Database, sweep: str, column: str, make: Callable[[Connection], str | None]
) -> None:
    """Make a total while no merge is under way, and keep it; None for nothing. Never fails."""

    def work(connection: Connection) -> None:
        if lock(connection, sweep):
            text = make(connection)
            if text is not None:
                keep(connection, sweep, column, text)

    with suppress(StoreError):
        database.write(work)


def keep(connection: Connection, sweep: str, column: str, text: str) -> None:
    """Keep a total. No merge may be under way: see `lock`."""
    if len(text) > TEXT_MAX:
        return
    insert = upsert.insert_into(connection, schema.totals)
    values = {"sweep": sweep, column: bindparam("text")}
    statement = insert.values(values).on_conflict_do_update(
        index_elements=[schema.totals.c.sweep], set_={column: insert.excluded[column]}
    )
    connection.execute(statement, {"text": text})


def reset(connection: Connection, sweep: str, columns: Collection[str]) -> None:
    """Forget totals that a merge changes."""
    table = schema.totals
    are_kept = or_(*(table.c[column].is_not(None) for column in columns))
    update = table.update().where(table.c.sweep == sweep, are_kept)
    connection.execute(update.values(dict.fromkeys(columns, null())))


def lock(connection: Connection, sweep: str) -> bool:
    """Keep merges away until the commit. Returns False while one is under way.

    What it has not committed cannot be read, and what it resets would be overwritten: each holds a
    shared lock on this row until its commit.
    """
    sweeps = schema.sweeps.c
    query = select(sweeps.sweep).where(sweeps.sweep == sweep).with_for_update(skip_locked=True)
    return connection.scalar(query) is not None
