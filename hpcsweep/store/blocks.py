"""What is known of each block of indices, so that a command does not read every row.

A merge adds cases that are new, or whose only attempt has ended, to their blocks, in its own
transaction. Of all other changes it marks the blocks; the next command that needs them reads the
rows of these blocks, and of no other. Tasks that use PostgreSQL only mark: to add, their merges
would wait for each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, null, select

from hpcsweep.errors import StoreError
from hpcsweep.store import schema, totals, upsert
from hpcsweep.store.engine import Database
from hpcsweep.store.gc_control import gc_paused
from hpcsweep.store.pages import NAMES_AT_ONCE
from hpcsweep.store.placed import IDX, further
from hpcsweep.store.places import places_of
from hpcsweep.store.schema import BLOCK
from hpcsweep.store.upsert import CaseColumns

# Blocks per transaction: it keeps the merges of tasks waiting.
BLOCKS_AT_ONCE = 4
# Blocks that are read as fast as their total is kept.
TOTAL_MIN = 16


# Digests of new cases, by their column: one for each block.
Added = dict[str, list[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRows:
    """Cases with one attempt, to add to their blocks."""

    # Their rows.
    columns: CaseColumns
    # By index, the place of its case in the columns; None for an index without a row.
    places: Mapping[int, int | None]
    # What indices carry, as JSON text.
    carried: Mapping[int, str]
    # The digests of these cases by column and block, as far as they are known.
    digests: Mapping[str, Mapping[int, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """One thing that is kept of each block."""

    # The column of `blocks` that has it.
    column: str
    # What it is made from: columns of `cases`, the first of which is not null.
    columns: tuple[ColumnElement[Any], ...]
    # Makes it, as JSON values, from the indices of cases, in order, and the values of each column.
    make: Callable[[Sequence[int], Sequence[Sequence[Any]]], Any]
    # That of all rows, from one as it was kept and that of new rows. Some of these may have been
    # there as cases that had only begun.
    join: Callable[[Any, Any], Any]
    # That of several blocks.
    unite: Callable[[Iterable[Any]], Any]
    # The names of `columns`.
    names: tuple[str, ...]


def add(
    connection: Connection,
    sweep: str,
    digests: Sequence[Digest],
    new: NewRows,
) -> Added | None:
    """Add cases to the digests of their blocks, each by all its indices.

    They are new, or had only begun. Marks the block of an index without a case. Returns the digests
    of the cases; None if a block is marked.
    """
    of_blocks: dict[int, list[int]] = {}
    for index in sorted(new.places):
        of_blocks.setdefault(index // BLOCK, []).append(index)
    unknown = {index // BLOCK for index, place in new.places.items() if place is None}
    mark(connection, sweep, (block * BLOCK for block in unknown))
    added: Added = {digest.column: [] for digest in digests}
    blocks = [block for block in of_blocks if block not in unknown]
    for start in range(0, len(blocks), NAMES_AT_ONCE):
        some = {block: of_blocks[block] for block in blocks[start : start + NAMES_AT_ONCE]}
        for column, own in _add_to(connection, sweep, digests, new, some).items():
            added[column] += own
    is_whole = all(len(own) == len(of_blocks) for own in added.values())
    return added if is_whole else None


def add_to_totals(
    connection: Connection, sweep: str, digests: Sequence[Digest], added: Added
) -> None:
    """Add what `add` returned to the totals."""

    def change_of(digest: Digest) -> totals.Change:
        own = added[digest.column]
        return lambda kept: _json_text(digest.join(json.loads(kept), digest.unite(own)))

    if any(added.values()):
        totals.change(connection, sweep, {digest.column: change_of(digest) for digest in digests})


def _add_to(
    connection: Connection,
    sweep: str,
    digests: Sequence[Digest],
    new: NewRows,
    of_blocks: Mapping[int, Sequence[int]],
) -> Added:
    """Add new cases to the digests of these blocks, whose new indices are given in order.

    Returns the digests of the cases, but for those of a block that another merge has marked.
    """
    added: Added = {digest.column: [] for digest in digests}
    table = schema.blocks
    empty = {
        digest.column: _json_text(digest.make((), [()] * len(digest.names))) for digest in digests
    }
    insert = upsert.insert_into(connection, table).on_conflict_do_nothing()
    connection.execute(insert, [{"sweep": sweep, "block": block, **empty} for block in of_blocks])
    # What another merge has marked meanwhile stays marked: it has committed when this is read.
    columns = [table.c[digest.column] for digest in digests]
    are_these = and_(table.c.sweep == sweep, table.c.block.in_(of_blocks))
    kept = select(table.c.block, *columns).where(are_these)
    rows = []
    for block, *texts in connection.execute(kept.order_by(table.c.block).with_for_update()):
        row: dict[str, Any] = {"at": block}
        for digest, text in zip(digests, texts, strict=True):
            own = new.digests.get(digest.column, {}).get(block)
            if text and own is None:
                own = _of_new(digest, new, of_blocks[block])
            if text:
                added[digest.column].append(own)
            row[digest.column] = text and _json_text(digest.join(json.loads(text), own))
        rows.append(row)
    of_block = and_(table.c.sweep == sweep, table.c.block == bindparam("at"))
    connection.execute(table.update().where(of_block), rows)
    return added


def _of_new(digest: Digest, new: NewRows, indices: Sequence[int]) -> Any:
    """The digest of new cases at these indices."""
    once = (1,) * len(indices)
    others: dict[str, Sequence[Any]] = {"attempt": once, "tries": once}
    others["carried"] = [new.carried.get(index) for index in indices]
    places = [place for index in indices if (place := new.places[index]) is not None]
    start = places[0] if places else 0
    # Of a first ingest, the cases of a block are together, in the order of indices.
    run = slice(start, start + len(places))
    is_run = places == list(range(run.start, run.stop))
    columns = [
        others[name]
        if name in others
        else new.columns[name][run]
        if is_run
        else [new.columns[name][place] for place in places]
        for name in digest.names
    ]
    return digest.make(indices, columns)


def mark(
    connection: Connection, sweep: str, indices: Iterable[int], cases: Iterable[str] = ()
) -> None:
    """Mark the blocks of these indices, and of all indices of these cases, as changed."""
    changed = {index // BLOCK for index in indices}
    changed.update(index // BLOCK for index in places_of(connection, sweep, cases))
    if not changed:
        return
    rows = [{"at": block} for block in sorted(changed)]
    table = schema.blocks
    of_block = and_(table.c.sweep == sweep, table.c.block == bindparam("at"))
    is_kept = table.c.outcomes.is_not(None) | table.c.kinds.is_not(None)
    nothing = {"outcomes": null(), "kinds": null()}
    values = {"sweep": sweep, "block": bindparam("at")}
    insert = upsert.insert_into(connection, table).values(values)
    # First: it waits for a merge that adds the same block, so that the update sees its digests.
    connection.execute(insert.on_conflict_do_nothing(), rows)
    connection.execute(table.update().where(of_block, is_kept).values(nothing), rows)


def read(database: Database, sweep: str, digest: Digest) -> list[Any]:
    """The digests of all blocks, or that of all. *Writes* those that merges have marked.

    Without room or the right to write, they are made for the caller alone.
    """
    if total := totals.kept(database, sweep, digest.column):
        return [json.loads(total)]
    kept = schema.blocks.c[digest.column]
    of_sweep = schema.blocks.c.sweep == sweep
    query = select(schema.blocks.c.block, kept).where(of_sweep).order_by(schema.blocks.c.block)
    names = select(schema.blocks.c.block, kept.is_(None)).where(of_sweep)
    known = database.read(lambda connection: connection.execute(names).all())
    marked = sorted(block for block, is_marked in known if is_marked)

    def read_all(connection: Connection) -> list[Any]:
        rows = connection.execute(query).all()
        made = [_make(connection, sweep, digest, block)[0] for block, text in rows if text is None]
        return [*_all_of(text for _, text in rows if text), *made]

    def keep_total(connection: Connection) -> list[Any] | None:
        rows = connection.execute(query).all()
        if any(text is None for _, text in rows):
            return None
        total = digest.unite(_all_of(text for _, text in rows))
        totals.keep(connection, sweep, digest.column, _json_text(total))
        return [total]

    with suppress(StoreError):
        for start in range(0, len(marked), BLOCKS_AT_ONCE):
            some = marked[start : start + BLOCKS_AT_ONCE]
            if not database.write(partial(_keep, sweep=sweep, digest=digest, blocks=some)):
                break
    if len(known) >= TOTAL_MIN and (united := totals.try_make(database, sweep, keep_total)):
        return united
    return database.read(read_all)


def _all_of(texts: Iterable[str]) -> list[Any]:
    """Decode digests together: one by one takes longer."""
    digests: list[Any] = json.loads(f"[{','.join(texts)}]")
    return digests


def _keep(connection: Connection, sweep: str, digest: Digest, blocks: Sequence[int]) -> bool:
    """Make and keep the digest of some blocks. Returns False while merges are under way."""
    if not totals.lock(connection, sweep):
        return False
    made = [(block, *_make(connection, sweep, digest, block)) for block in blocks]
    rows = [{"at": block, "text": _json_text(value)} for block, value, is_whole in made if is_whole]
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
    index = schema.cases.c.idx
    columns = (index, *digest.columns)
    within = (index >= block * BLOCK, index < (block + 1) * BLOCK)
    own = select(*columns).where(schema.cases.c.sweep == sweep, *within)
    query = own.union_all(further(sweep, columns, within, has_row=False)).order_by(IDX)
    with gc_paused():
        rows = connection.execute(query).all()
        measured = [row for row in rows if row[1] is not None]
        values = list(zip(*measured, strict=True)) or [()] * (1 + len(digest.names))
        return digest.make(values[0], values[1:]), len(measured) == len(rows)


def _json_text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
