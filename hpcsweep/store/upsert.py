"""Upsert a batch: stage the rows in bulk, then merge them in the database.

On PostgreSQL every statement handles rows in key order, and every merge the tables in the same
order, so concurrent merges wait for each other without deadlock. SQLite has one writer at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Row,
    Table,
    and_,
    bindparam,
    func,
    select,
    true,
    tuple_,
)

from hpcsweep.errors import StoreError
from hpcsweep.ids import canonical
from hpcsweep.records import Status
from hpcsweep.sources.base import within_key
from hpcsweep.store import schema, sqlite_rows
from hpcsweep.store.copying import copy_columns
from hpcsweep.store.record_rows import ATTEMPT_COLUMNS, ATTEMPT_KEY, CASE_COLUMNS, CaseRow

RowValues = dict[str, Any]
# The values of cases by column of `cases`.
CaseColumns = dict[str, Sequence[Any]]

# The columns of `places` without the sweep.
PLACE_COLUMNS = ("idx", "case_id", "carried")
# Those of `cases` that say nothing of the attempt.
_OF_PLACE = ("idx", "carried")
_RANK = ATTEMPT_COLUMNS.index("rank")
_KEY = slice(len(ATTEMPT_KEY))


@dataclass(kw_only=True, slots=True)
class RowBatch:
    """Rows to merge in one transaction, and the journal positions that they advance."""

    # Fingerprint of the manifest whose indices `places` are.
    manifest: str
    # Whether no journal was ingested before: then all rows are expected to be new.
    is_first: bool = False
    # One value per case, from its highest record: those of `record_rows.CASE_COLUMNS`, and of some
    # of `schema.NUMBERS`.
    cases: CaseColumns = field(default_factory=dict)
    # The attempts of the cases that have several in this batch: the values of
    # `record_rows.ATTEMPT_COLUMNS`, from any of their records, the highest among them.
    attempts: list[CaseRow] = field(default_factory=list)
    # Case id by index.
    places: dict[int, str] = field(default_factory=dict)
    # The params that a case id hashes; None for all.
    key: frozenset[str] | None = None
    # What these indices carry, as JSON text; only of those that carry something.
    carried: dict[int, str] = field(default_factory=dict)
    # (case id, rank, files as JSON text) of records that name input files.
    inputs: list[tuple[str, str, str]] = field(default_factory=list)
    starts: list[RowValues] = field(default_factory=list)
    verdicts: list[RowValues] = field(default_factory=list)
    # (path, first byte, end, skipped lines) of each part of a journal, in order.
    journals: list[tuple[str, int, int, int]] = field(default_factory=list)
    # The end of each journal that grows no more, by path.
    closed: dict[str, int] = field(default_factory=dict)
    # The columns of numbers, see `number_columns`.
    numbers: dict[tuple[str, tuple[str, ...]], str] = field(default_factory=dict)
    # What is known of blocks whose cases are all new, by column of `blocks`.
    digests: dict[str, dict[int, Any]] = field(default_factory=dict)

    @property
    def case_ids(self) -> Sequence[str]:
        """The ids of the cases that have a row."""
        return self.cases.get("case_id", ())


def insert_into(connection: Connection, table: Table) -> Any:
    """An insert that supports `ON CONFLICT`."""
    # Import one dialect only: PostgreSQL's, with all its drivers' adapters, takes 0.1 s.
    return import_module(f"sqlalchemy.dialects.{connection.dialect.name}").insert(table)


def insert_missing(
    connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]]
) -> int:
    """Insert the rows, at least one, whose keys are new. Returns the count of these."""
    if connection.dialect.name == "sqlite":
        return sqlite_rows.insert_new(connection, table.name, columns)
    names = list(columns)
    staged = _stage(connection, table, names, _rows(columns))
    keys = [staged.c[column.name] for column in table.primary_key]
    source = select(*staged.c).order_by(*keys)
    insert = insert_into(connection, table).from_select(names, source)
    # psycopg forgets the count when SQLAlchemy closes its cursor.
    options = {"preserve_rowcount": True}
    done = connection.execute(insert.on_conflict_do_nothing(), execution_options=options)
    return done.rowcount


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownCases:
    """The ids of the cases of a batch that are not new, or have several attempts."""

    # Those whose only attempt had begun, and has ended now.
    ended: set[str]
    # All others.
    others: set[str]
    # Those whose rows have another index than the lowest one of the batch.
    moved: set[str]


def merge_cases(
    connection: Connection, sweep: str, batch: RowBatch, first: Mapping[str, int], where: str
) -> KnownCases:
    """Merge the cases of a batch; `first` has the lowest index of each.

    *Raises* StoreError if a case id has other params than its row.
    """
    if not batch.cases:
        return KnownCases(ended=set(), others=set(), moved=set())
    several = list(batch.attempts)
    ended: set[str] = set()
    others: set[str] = set()
    moved: set[str] = set()
    in_batch = {line[0] for line in several}
    case_ids = batch.case_ids
    indices = list(map(first.get, case_ids))
    carried = [None if index is None else batch.carried.get(index) for index in indices]
    of_place: CaseColumns = dict(zip(_OF_PLACE, (indices, carried), strict=True))
    columns = {"sweep": (sweep,) * len(case_ids)} | of_place | batch.cases
    inserted = _insert(connection, columns, is_first=batch.is_first)
    if inserted < len(case_ids):
        staged = _staged(schema.cases, tuple(columns))
        if connection.dialect.name == "sqlite":
            _stage(connection, schema.cases, list(columns), _rows(columns))
        # Concurrent merges of the same cases have ended: what is read now stays until the commit.
        changed = _changed_cases(connection, staged)
        moved.update(_moved_cases(connection, staged))
        if inserted + len(changed) < len(case_ids):  # others came again, and it is not known which
            others.update(case_ids)
        for row in changed:
            if not is_same_identity(row.params, row.other_params, batch.key):
                raise shared_id_error(row.case_id, row.params, row.other_params, where)
            attempts = _several_attempts(row, has_more=row.case_id in in_batch)
            several += attempts
            (ended if _ends(row) and not attempts else others).add(row.case_id)
        if any(row.wins for row in changed):
            _replace_lower(connection, staged)
    _count_attempts(connection, sweep, several)
    others.update(line[0] for line in several)
    return KnownCases(ended=ended - others, others=others, moved=moved)


def _insert(connection: Connection, columns: CaseColumns, *, is_first: bool) -> int:
    """Insert the cases that are new. Returns the count of these."""
    if connection.dialect.name != "sqlite" and is_first and _copy_new(connection, columns):
        return len(columns["case_id"])
    return insert_missing(connection, schema.cases, columns)


def _copy_new(connection: Connection, columns: CaseColumns) -> bool:
    """Insert cases at half the cost if all are new, as a first ingest expects."""
    by_id = {"case_id": columns["case_id"]} | columns
    try:
        with connection.begin_nested():
            copy_columns(connection, schema.cases.name, by_id, is_ordered=True)
    except connection.dialect.loaded_dbapi.IntegrityError:
        return False  # a conflict with another process: nothing was inserted
    return True


def _rows(columns: Mapping[str, Sequence[Any]]) -> list[CaseRow]:
    return list(zip(*columns.values(), strict=True))


def _ends(row: Row[Any]) -> bool:
    """Whether a row that said nothing but that a case had begun is replaced."""
    said = (row.status, row.metrics, row.params, row.wall_seconds, row.max_rss_bytes)
    return row.wins and said == (Status.RUNNING.value, "{}", row.other_params, None, None)


def set_places(
    connection: Connection, sweep: str, rows: Sequence[tuple[str, int | None, str | None]]
) -> None:
    """Give cases another index, and what it carries: (case id, index, carried) of each."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        statement = "UPDATE cases SET idx = ?, carried = ? WHERE sweep = ? AND case_id = ?"
        values = [(index, carried, sweep, case_id) for case_id, index, carried in rows]
        connection.exec_driver_sql(statement, values)
        return
    staged = _stage(connection, schema.cases, ("case_id", *_OF_PLACE), sorted(rows))
    cases = schema.cases.c
    of_case = and_(cases.sweep == sweep, cases.case_id == staged.c.case_id)
    values_of = {name: staged.c[name] for name in _OF_PLACE}
    connection.execute(schema.cases.update().where(of_case).values(values_of))


def merge_inputs(connection: Connection, sweep: str, batch: RowBatch) -> None:
    """Upsert the input files of cases; of each case those of the highest record."""
    table = schema.inputs
    rows = [
        {"sweep": sweep, "case_id": case_id, "rank": rank, "files": files}
        for case_id, rank, files in sorted(batch.inputs)
    ]
    if not rows:
        return
    insert = insert_into(connection, table)
    statement = insert.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={name: insert.excluded[name] for name in ("rank", "files")},
        where=insert.excluded.rank > table.c.rank,
    )
    connection.execute(statement, rows)


def merge_tasks(
    connection: Connection, sweep: str, rows: Iterable[RowValues], rank: str, names: Iterable[str]
) -> None:
    """Merge one kind of record about array tasks: the columns `names`, ordered by `rank`."""
    table = schema.tasks
    values = sorted(rows, key=itemgetter("submission", "chunk", rank))
    if not values:
        return
    insert = insert_into(connection, table)
    statement = insert.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={name: insert.excluded[name] for name in (*names, rank)},
        where=insert.excluded[rank] > table.c[rank],
    )
    connection.execute(statement, [row | {"sweep": sweep} for row in values])


def advance(connection: Connection, sweep: str, batch: RowBatch) -> None:
    """Advance journal positions; each only if it continues the stored one.

    If another process was faster, or the index was cleared meanwhile, the position stays: reading
    bytes twice is harmless, skipping bytes is not.
    """
    table = schema.journals
    pieces = sorted(batch.journals)
    first = [
        {"sweep": sweep, "path": path, "position": end, "torn": torn}
        for path, start, end, torn in pieces
        if start == 0
    ]
    if first:
        connection.execute(insert_into(connection, table).on_conflict_do_nothing(), first)
    further = [
        {"journal": path, "start": start, "end": end, "more": torn}
        for path, start, end, torn in pieces
        if start > 0
    ]
    if further:
        statement = (
            table.update()
            .where(table.c.sweep == sweep, table.c.path == bindparam("journal"))
            .where(table.c.position == bindparam("start"))
            .values(position=bindparam("end"), torn=table.c.torn + bindparam("more"))
        )
        connection.execute(statement, further)
    if batch.closed:
        statement = (
            table.update()
            .where(table.c.sweep == sweep, table.c.path == bindparam("journal"))
            .where(table.c.position == bindparam("end"))
            .values(closed=1)
        )
        ends = sorted(batch.closed.items())
        connection.execute(statement, [{"journal": path, "end": end} for path, end in ends])


@lru_cache(maxsize=16)
def _staged(table: Table, names: tuple[str, ...]) -> Table:
    """The transaction's temporary table for the rows to merge.

    One for all transactions: SQLAlchemy compiles the statements of a new one again, for 4 ms.
    """
    return Table(
        f"staged_{table.name}",
        MetaData(),
        *(Column(name, table.c[name].type) for name in names),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )


def _stage(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[CaseRow]
) -> Table:
    """Insert the rows into `_staged`."""
    staged = _staged(table, tuple(names))
    # A transaction may stage rows of one table twice.
    own_schema = "pg_temp" if connection.dialect.name == "postgresql" else "temp"
    connection.exec_driver_sql(f"DROP TABLE IF EXISTS {own_schema}.{staged.name}")
    staged.create(connection, checkfirst=False)
    if connection.dialect.name == "postgresql":
        columns = zip(*rows, strict=True)
        copy_columns(connection, staged.name, dict(zip(names, columns, strict=True)))
    else:
        marks = ", ".join("?" * len(names))
        insert = f"INSERT INTO {staged.name} VALUES ({marks})"  # noqa: S608  # our own names
        connection.exec_driver_sql(insert, rows)
    return staged


def _moved_cases(connection: Connection, staged: Table) -> Iterable[str]:
    """The staged cases for which the table has another index."""
    cases, index = schema.cases.c, staged.c.idx
    query = select(staged.c.case_id).join_from(staged, schema.cases, _is_same_case(staged))
    is_moved = and_(index.is_not(None), index.is_distinct_from(cases.idx))
    return connection.scalars(query.where(is_moved))


def _is_same_case(staged: Table) -> ColumnElement[bool]:
    cases = schema.cases.c
    return and_(cases.sweep == staged.c.sweep, cases.case_id == staged.c.case_id)


def _changed_cases(connection: Connection, staged: Table) -> list[Row[Any]]:
    """The staged cases for which the table has a different record."""
    cases = schema.cases.c
    columns = [
        column
        for name in ATTEMPT_COLUMNS[1:]
        for column in (cases[name], _staged_column(staged, name))
    ]
    attempts = schema.attempts.c
    of_case = and_(attempts.sweep == cases.sweep, attempts.case_id == staged.c.case_id)
    has_several = select(schema.attempts).where(of_case).exists()
    query = (
        select(cases.case_id, cases.params, cases.metrics, _staged_column(staged, "params"))
        .add_columns(*columns)
        .add_columns((staged.c.rank > cases.rank).label("wins"))
        .add_columns(has_several.label("has_several"))
        .join_from(staged, schema.cases, _is_same_case(staged))
        .where(staged.c.rank != cases.rank)
        .order_by(staged.c.case_id)
        .with_for_update(of=schema.cases)
    )
    return list(connection.execute(query))


def _staged_column(staged: Table, name: str) -> Any:
    return staged.c[name].label(f"other_{name}")


def _replace_lower(connection: Connection, staged: Table) -> None:
    table = schema.cases
    source = select(*staged.c).where(true()).order_by(staged.c.case_id)
    insert = insert_into(connection, table).from_select(staged.c.keys(), source)
    # Of numbers that a batch has not, those that the row had go, too.
    replaced = {*CASE_COLUMNS, *chain.from_iterable(schema.NUMBERS.values())} - {"case_id"}
    columns = schema.columns(table, connection.dialect.name)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=list(table.primary_key),
            set_={
                column.name: insert.excluded[column.name]
                for column in columns
                if column.name in replaced
            },
            where=insert.excluded.rank > table.c.rank,
        )
    )


def shared_id_error(case_id: str, params: str, others: str, where: str) -> StoreError:
    """The error for two cases with one id; params as JSON text."""
    return StoreError(
        f"two cases share the id {case_id}: {params:.200} and {others:.200}",
        where=where,
        next_step="Please report this: 64 bits of SHA-256 collided.",
    )


def _several_attempts(row: Row[Any], *, has_more: bool) -> list[CaseRow]:
    """What a row and its staged record say of their attempts, if the case has several."""
    own, other = (
        (row.case_id, *(getattr(row, prefix + name) for name in ATTEMPT_COLUMNS[1:]))
        for prefix in ("", "other_")
    )
    has_several = own[_KEY] != other[_KEY] or row.has_several or has_more
    return [own, other] if has_several else []


def _count_attempts(connection: Connection, sweep: str, several: list[CaseRow]) -> None:
    """Record the attempts of cases that have several, and renumber their rows."""
    _merge_attempts(connection, sweep, several)
    cases, table = schema.cases.c, schema.attempts.c
    order = ATTEMPT_KEY[1:]
    not_later = tuple_(*(table[name] for name in order)) <= tuple_(*(cases[name] for name in order))
    number = (
        select(func.count())
        .select_from(schema.attempts)
        .where(table.sweep == cases.sweep, table.case_id == cases.case_id, not_later)
        .scalar_subquery()
    )
    statement = (
        schema.cases.update()
        .where(cases.sweep == sweep, cases.case_id == bindparam("case"))
        .values(attempt=number)
    )
    changed = sorted({line[0] for line in several})
    if changed:
        connection.execute(statement, [{"case": case_id} for case_id in changed])


def _merge_attempts(connection: Connection, sweep: str, lines: list[CaseRow]) -> None:
    """Merge what records say of attempts; of each attempt the highest one counts."""
    best: dict[CaseRow, CaseRow] = {}
    for line in lines:
        best_line = best.setdefault(line[_KEY], line)
        if line[_RANK] > best_line[_RANK]:
            best[line[_KEY]] = line
    if not best:
        return
    table = schema.attempts
    insert = insert_into(connection, table)
    statement = insert.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={name: insert.excluded[name] for name in ATTEMPT_COLUMNS[len(ATTEMPT_KEY) :]},
        where=insert.excluded.rank > table.c.rank,
    )
    rows = (dict(zip(ATTEMPT_COLUMNS, best[key], strict=True)) for key in sorted(best))
    connection.execute(statement, [row | {"sweep": sweep} for row in rows])


def is_same_identity(left: str, right: str, key: frozenset[str] | None) -> bool:
    """Whether two params, as JSON texts, have one case id but for a collision of hashes."""
    # Equal values may have different texts: 1 and 1.0.
    return left == right or _identity(left, key) == _identity(right, key)


def _identity(params: str, key: frozenset[str] | None) -> str:
    return canonical(within_key(json.loads(params), key))
