"""The table of a model: an index of the entries, created and migrated under a lock."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.schema import CreateColumn
from sqlalchemy.types import TypeDecorator

from hpcsweep.cache.models import RESERVED
from hpcsweep.cache.row_upsert import ColumnValues, RowRefused, RowUpsert
from hpcsweep.errors import InputError, StoreError
from hpcsweep.files import PRIVATE_FILE, make_directory
from hpcsweep.store import migrations, schema, upsert
from hpcsweep.store.engine import Database

LOG = logging.getLogger("hpcsweep")

T = TypeVar("T")
# Writes rows in a transaction.
PutRows = Callable[[Connection, Iterable[ColumnValues]], None]
VERSION = 1
# Variables per query; older builds of SQLite allow 999.
IDS_AT_ONCE = 900
ROWS_AT_ONCE = 500

_versions = Table(
    "hpcsweep_caches",
    MetaData(),
    Column("name", String, primary_key=True),
    Column("version", Integer, nullable=False),
)


class CacheTable:
    """The rows of one model in one database. Every method *raises* StoreError."""

    def __init__(self, location: Path | URL, table: Table, results_dir: Path) -> None:
        if table.name in schema.metadata.tables or table.name == _versions.name:
            raise InputError(
                f"the table {table.name} is one of hpcsweep's own",
                where="__tablename__",
                next_step="Choose another name.",
            )
        self._location = location
        self._table = table
        self._results_dir = results_dir
        self._database = Database(location, keeps=True)
        self._names = list(table.columns.keys())
        self._rows = RowUpsert(table)
        # Built once: building a query in SQLAlchemy takes longer than running it in SQLite.
        key = table.columns.id
        self._by_key = select(table).where(key == bindparam("key"))
        self._some = select(table).where(key.in_(bindparam("key", expanding=True)))

    @property
    def where(self) -> str:
        """The database and the table, without a password."""
        return f"{self._database.where}, table {self._table.name}"

    def make(self, *, may_change: bool = True) -> None:
        """Create the table, or add new nullable columns of the model. *Safe to repeat.*

        *Raises* StoreError with the difference, if the table belongs to another model, or if it may
        not be changed and differs.
        """
        exists = not isinstance(self._location, Path) or self._location.exists()
        if exists and self.read(self._is_ready):
            return
        if not may_change:
            raise StoreError(
                "is not there, or lacks a column of the model, and a task makes no table",
                where=self.where,
                next_step="Construct the Store once where you submit; then it is there for tasks.",
            )
        if isinstance(self._location, Path):  # SQLite would create it world-readable
            make_directory(self._location.parent)
            with contextlib.suppress(OSError):  # it exists; or SQLite will report the error
                # O_EXCL: never open and close an existing file here. Closing it would release
                # the POSIX locks of this process's connections; another would delete their WAL.
                new = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                os.close(os.open(self._location, new, PRIVATE_FILE))
        self.write(self._prepare)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run a read-only transaction; returns the result of `work`."""
        with self._as_cache_error():
            return self._database.read(work)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Commit a transaction; returns the result of `work`, which must be safe to repeat."""
        with self._as_cache_error():
            return self._database.write(work)

    def with_ids(self, ids: Sequence[str], make: Callable[[ColumnValues], T]) -> list[T]:
        """`make(row)` for each existing row with one of these ids, in any order.

        Converts each row as it is read: 100,000 rows would not stay in the processor's caches.
        """

        return self.read(lambda connection: [*map(make, self._with_ids(connection, ids))])

    def _with_ids(self, connection: Connection, ids: Sequence[str]) -> Iterator[ColumnValues]:
        names = self._names
        for start in range(0, len(ids), IDS_AT_ONCE):
            some = ids[start : start + IDS_AT_ONCE]
            query, key = (self._by_key, some[0]) if len(some) == 1 else (self._some, some)
            for row in connection.execute(query, {"key": key}):
                yield dict(zip(names, row, strict=True))

    def matching(self, values: Mapping[str, Any]) -> list[ColumnValues]:
        """The rows with these column values, oldest first. *Raises* InputError."""
        columns = self._table.columns
        query = select(self._table).order_by(columns.created_at, columns.id)
        for name, value in values.items():
            if name not in columns:
                raise InputError(
                    f"there is no column {name}",
                    where=self._table.name,
                    next_step=f"There are {', '.join(columns.keys())}.",
                )
            query = query.where(columns[name] == value)
        rows = self.read(lambda connection: connection.execute(query).all())
        return [dict(zip(self._names, row, strict=True)) for row in rows]

    def upsert(self, rows: Sequence[ColumnValues]) -> list[ColumnValues]:
        """Insert rows; replace older ones with the same ids. Returns the resulting rows.

        Leaves out rows that the database refuses, with a warning for each.
        """

        def work(connection: Connection, put: PutRows) -> list[ColumnValues]:
            put(connection, rows)
            return list(self._with_ids(connection, [row["id"] for row in rows]))

        return self._write_rows(work)

    def replace_all(self, rows: Iterable[ColumnValues]) -> int:
        """Recreate the rows in one transaction, like `upsert`. Returns their count."""
        all_rows = list(rows)

        def work(connection: Connection, put: PutRows) -> int:
            # Before the rows are locked: it waits for all transactions on the table.
            self._widen(connection)
            connection.execute(self._table.delete())
            put(connection, all_rows)
            return connection.scalar(select(func.count()).select_from(self._table)) or 0

        return self._write_rows(work)

    def _write_rows(self, work: Callable[[Connection, PutRows], T]) -> T:
        """Write rows in one transaction; if the database refuses any, all others in a second."""
        try:
            return self.write(lambda connection: work(connection, self._rows.all_at_once))
        except RowRefused:
            refused: dict[str, str] = {}
            put = partial(self._rows.one_by_one, refused=refused)
            result = self.write(lambda connection: work(connection, put))
        for id_, reason in refused.items():
            LOG.warning(
                "left out %s: %s refuses its row (%s); the result stays. Let the column hold such "
                "a value, then Store.rebuild() takes it in",
                *(id_, self.where, reason),
            )
        return result

    def delete(self, id_: str) -> bool:
        """Delete a row; returns False if there is none."""
        query = self._table.delete().where(self._table.columns.id == id_)
        return bool(self.write(lambda connection: connection.execute(query).rowcount))

    # --- creating it ----------------------------------------------------------------------------

    def _is_ready(self, connection: Connection) -> bool:
        inspector = inspect(connection)
        if not inspector.has_table(_versions.name) or not inspector.has_table(self._table.name):
            return False
        query = select(_versions.columns.version).where(_versions.columns.name == self._table.name)
        version = connection.scalar(query)
        if version is not None and version > VERSION:
            raise StoreError(
                f"was made by a newer hpcsweep (version {version}; this one knows {VERSION})",
                where=self.where,
                next_step="Use the newer one, or another db_url and Store.rebuild().",
            )
        return version == VERSION and not self._lacking(connection)

    def _prepare(self, connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            key = text("SELECT pg_advisory_xact_lock(:key)")
            connection.execute(key, {"key": migrations.LOCK})
        if self._is_ready(connection):
            return
        _versions.create(connection, checkfirst=True)
        if inspect(connection).has_table(self._table.name):
            for column in self._lacking(connection):
                clause = CreateColumn(column).compile(dialect=connection.dialect)
                name = connection.dialect.identifier_preparer.format_table(self._table)
                connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {clause}")
        else:
            self._table.create(connection)
        row = {"name": self._table.name, "version": VERSION}
        insert = upsert.insert_into(connection, _versions)
        connection.execute(insert.on_conflict_do_nothing(), row)

    def _widen(self, connection: Connection) -> None:
        """Give columns of before, which have 32 bits on PostgreSQL, the 64 bits of the model."""
        if connection.dialect.name != "postgresql":
            return
        preparer = connection.dialect.identifier_preparer
        for present in inspect(connection).get_columns(self._table.name):
            column = self._table.columns.get(present["name"])
            if column is None or not isinstance(column.type, BigInteger):
                continue
            if isinstance(present["type"], BigInteger):
                continue
            table, name = preparer.format_table(self._table), preparer.format_column(column)
            connection.exec_driver_sql(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE BIGINT")

    def _lacking(self, connection: Connection) -> list[Column[Any]]:
        """The model's columns that can be added. *Raises* StoreError for any other difference."""
        present = {c["name"]: c for c in inspect(connection).get_columns(self._table.name)}
        lacking = [c for name, c in self._table.columns.items() if name not in present]
        differences = [
            f"it has no column {c.name}, which may not be empty" for c in lacking if not c.nullable
        ]
        for name, c in present.items():
            differences += _difference(c, self._table.columns.get(name))
        if differences:
            raise StoreError(
                f"is another table than the model describes: {'; '.join(differences)}",
                where=self.where,
                next_step="Change the model, or give it another __tablename__ or db_url.",
            )
        return lacking

    @contextlib.contextmanager
    def _as_cache_error(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            if error.where == self._database.where:  # from the engine, whose advice is about sweeps
                error.where = self.where
                error.next_step = (
                    f"The results are safe in {self._results_dir}. When the database works again, "
                    "go on; Store.rebuild() recreates the table."
                )
            raise


def _difference(present: ReflectedColumn, column: Column[Any] | None) -> list[str]:
    name = present["name"]
    if column is None:
        may_be_empty = present["nullable"] or present.get("default") is not None
        return [] if may_be_empty else [f"the model has no column {name}, which may not be empty"]
    if column.nullable and not present["nullable"] and name not in RESERVED:
        return [f"{name} may be empty in the model only"]
    kinds = [_kind(sql_type) for sql_type in (present["type"], column.type)]
    if None in kinds or kinds[0] == kinds[1]:
        return []
    return [f"{name} holds {kinds[0]}, in the model {kinds[1]}"]


def _kind(sql_type: Any) -> str | None:
    """The name of a type's Python type; None for a type without one."""
    if isinstance(sql_type, TypeDecorator):
        sql_type = sql_type.impl_instance
    try:
        kind: type = sql_type.python_type
    except NotImplementedError:
        return None
    if issubclass(kind, Enum):  # stored as text
        return None
    return {"list": "dict"}.get(kind.__name__, kind.__name__)
