"""What is known of a whole sweep, so that a look at one that rests reads one row.

A merge changes it with its rows, in its transaction, where it can: on SQLite, which has one writer
at a time, as long as the text is short. Else the merge resets it; the next command that needs it
makes it again from `blocks` or `tasks`, and keeps it where that takes longer than to read it here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection, bindparam, null, or_, select

from hpcsweep.errors import StoreError
from hpcsweep.store import schema, upsert
from hpcsweep.store.engine import Database

# Characters of a total: to write more after each merge would take longer than to make it.
TEXT_MAX = 1 << 20
# And of one that each merge changes: some milliseconds.
CHANGED_MAX = 1 << 15

Made = TypeVar("Made")
# Makes a total of the one that was kept.
Change = Callable[[str], str]


def kept(database: Database, sweep: str, column: str) -> str | None:
    """A total as it was kept; None if there is none."""
    return database.read(partial(read, sweep=sweep, column=column))


def read(connection: Connection, sweep: str, column: str) -> str | None:
    """The same, in a transaction."""
    table = schema.totals.c
    text: str | None = connection.scalar(select(table[column]).where(table.sweep == sweep))
    return text


def try_make(
    database: Database, sweep: str, make: Callable[[Connection], Made | None]
) -> Made | None:
    """What `make` returns, which keeps a total; None while a merge is under way, or if it fails."""

    def work(connection: Connection) -> Made | None:
        return make(connection) if lock(connection, sweep) else None

    try:
        return database.write(work)
    except StoreError:
        return None


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


def change(connection: Connection, sweep: str, changes: Mapping[str, Change]) -> None:
    """Change the totals that are kept, by column; reset those that a merge does not change."""
    if connection.dialect.name != "sqlite":
        reset(connection, sweep, changes)
        return
    table = schema.totals
    of_sweep = table.c.sweep == sweep
    query = select(*(table.c[column] for column in changes)).where(of_sweep)
    row = connection.execute(query).one_or_none()
    if row is None or not any(row):
        return
    values = {
        column: make(text) if text and len(text) <= CHANGED_MAX else null()
        for (column, make), text in zip(changes.items(), row, strict=True)
    }
    connection.execute(table.update().where(of_sweep).values(values))


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
