"""What is known of each block of indices, so that a command does not read every row.

A merge marks the blocks of the cases that it changes, in its own transaction; the next command that
needs them reads the rows of these blocks, and of no other. So merges do not wait for each other, as
they would for counters that all of them update, and a block says what its rows say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, null, select

from hpcsweep.errors import StoreError
from hpcsweep.store import schema, upsert
from hpcsweep.store.engine import Database
from hpcsweep.store.gc_control import gc_paused
from hpcsweep.store.pages import NAMES_AT_ONCE
from hpcsweep.store.schema import BLOCK

# Blocks per transaction: it keeps the merges of tasks waiting.
BLOCKS_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """One thing that is kept of each block."""

    # The column of `blocks` that has it.
    column: str
    # What it is made from: columns of `cases`, the first of which is not null.
    columns: tuple[ColumnElement[Any], ...]
    # Makes it, as JSON values, from rows of the index and these columns, in index order.
    make: Callable[[Sequence[Row[Any]]], Any]


def mark(
    connection: Connection, sweep: str, indices: Iterable[int], cases: Iterable[str] = ()
) -> None:
    """Mark the blocks of these indices, and of all indices of these cases, as changed."""
    changed = {index // BLOCK for index in indices}
    changed.update(_blocks_of(connection, sweep, sorted(cases)))
    if not changed:
        return
    rows = [{"at": block} for block in sorted(changed)]
    table = schema.blocks
    of_block = and_(table.c.sweep == sweep, table.c.block == bindparam("at"))
    is_kept = table.c.outcomes.is_not(None) | table.c.kinds.is_not(None)
    nothing = {"outcomes": null(), "kinds": null()}
    connection.execute(table.update().where(of_block, is_kept).values(nothing), rows)
    values = {"sweep": sweep, "block": bindparam("at")}
    insert = upsert.insert_into(connection, table).values(values)
    connection.execute(insert.on_conflict_do_nothing(), rows)


def _blocks_of(connection: Connection, sweep: str, cases: Sequence[str]) -> Iterator[int]:
    places = schema.places.c
    query = select(places.idx // BLOCK).where(places.sweep == sweep).distinct()
    for start in range(0, len(cases), NAMES_AT_ONCE):
        some = places.case_id.in_(cases[start : start + NAMES_AT_ONCE])
        yield from connection.scalars(query.where(some))


def read(database: Database, sweep: str, digest: Digest) -> list[Any]:
    """The digest of each block. *Writes* those that merges have marked.

    Without room or the right to write, they are made for the caller alone.
    """
    kept = schema.blocks.c[digest.column]
    of_sweep = schema.blocks.c.sweep == sweep
    query = select(schema.blocks.c.block, kept).where(of_sweep).order_by(schema.blocks.c.block)
    marked = database.read(lambda connection: list(connection.scalars(query.where(kept.is_(None)))))
    with suppress(StoreError):
        for start in range(0, len(marked), BLOCKS_AT_ONCE):
            some = marked[start : start + BLOCKS_AT_ONCE]
            if not database.write(partial(_keep, sweep=sweep, digest=digest, blocks=some)):
                break

    def read_all(connection: Connection) -> list[Any]:
        rows = connection.execute(query).all()
        made = [_make(connection, sweep, digest, block)[0] for block, text in rows if text is None]
        return [*json.loads(f"[{','.join(text for _, text in rows if text)}]"), *made]

    return database.read(read_all)


def _keep(connection: Connection, sweep: str, digest: Digest, blocks: Sequence[int]) -> bool:
    """Make and keep the digest of some blocks. Returns False while merges are under way.

    What a merge has not committed cannot be read, and its mark would be overwritten here: each
    holds a shared lock on this row until its commit.
    """
    sweeps = schema.sweeps.c
    lock = select(sweeps.sweep).where(sweeps.sweep == sweep).with_for_update(skip_locked=True)
    if connection.scalar(lock) is None:
        return False
    made = [(block, *_make(connection, sweep, digest, block)) for block in blocks]
    rows = [
        {"at": block, "text": json.dumps(value, separators=(",", ":"))}
        for block, value, is_whole in made
        if is_whole
    ]
    table = schema.blocks
    of_block = and_(table.c.sweep == sweep, table.c.block == bindparam("at"))
    if rows:
        keep = table.update().where(of_block).values({digest.column: bindparam("text")})
        connection.execute(keep, rows)
    return True


def _make(connection: Connection, sweep: str, digest: Digest, block: int) -> tuple[Any, bool]:
    """The digest of a block, and whether all its indices have the row of their case.

    A `same` record gives an index a place before the case may have a row. Such a block is not kept:
    the merge of that row does not know of the place.
    """
    cases, places = schema.cases, schema.places
    matches = and_(cases.c.sweep == places.c.sweep, cases.c.case_id == places.c.case_id)
    query = (
        select(places.c.idx, *digest.columns)
        .select_from(places)
        .outerjoin(cases, matches)
        .where(places.c.sweep == sweep)
        .where(places.c.idx >= block * BLOCK, places.c.idx < (block + 1) * BLOCK)
        .order_by(places.c.idx)
    )
    with gc_paused():
        rows = connection.execute(query).all()
        measured = [row for row in rows if row[1] is not None]
        return digest.make(measured), len(measured) == len(rows)
