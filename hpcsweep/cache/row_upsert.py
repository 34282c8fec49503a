"""Upsert rows into the table of a model; tell rows that its database refuses from other errors."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from hpcsweep.store import upsert
from hpcsweep.store.database_errors import own_message

ColumnValues = dict[str, Any]
# sqlite3 raises OverflowError for an integer of more than 64 bits, and SQLAlchemy passes it on.
_ERRORS = (StatementError, OverflowError)


class RowRefused(Exception):
    """The database refuses one of the rows, however often it is written."""


class RowUpsert:
    """Inserts rows, and replaces older ones with the same ids."""

    def __init__(self, table: Table) -> None:
        self._table = table
        # By the names of the values: building one takes longer than SQLite takes to run it.
        self._statements: dict[tuple[str, ...], Executable] = {}

    def all_at_once(self, connection: Connection, rows: Iterable[ColumnValues]) -> None:
        """*Raises* RowRefused; the transaction cannot go on then."""
        # `execute` takes the columns of the first row for all of its rows.
        for names, group in itertools.groupby(_in_order(rows), tuple):
            try:
                connection.execute(self._statement(connection, names), list(group))
            except _ERRORS as error:
                if _is_refusal(error):
                    raise RowRefused from error
                raise

    def one_by_one(
        self, connection: Connection, rows: Iterable[ColumnValues], refused: dict[str, str]
    ) -> None:
        """Like `all_at_once`, but leave out refused rows: `refused` gets their reasons by id."""
        for row in _in_order(rows):
            try:
                with connection.begin_nested():
                    connection.execute(self._statement(connection, tuple(row)), row)
            except _ERRORS as error:
                if not _is_refusal(error):
                    raise
                refused[row["id"]] = own_message(error)

    def _statement(self, connection: Connection, names: tuple[str, ...]) -> Executable:
        if names not in self._statements:
            key, made = self._table.columns.id, self._table.columns.created_at
            insert = upsert.insert_into(connection, self._table)
            self._statements[names] = insert.on_conflict_do_update(
                index_elements=[key],
                set_={name: insert.excluded[name] for name in names if name != "id"},
                where=made <= insert.excluded.created_at,
            )
        return self._statements[names]


def _in_order(rows: Iterable[ColumnValues]) -> list[ColumnValues]:
    # Transactions that lock rows in different orders can deadlock. The params of an id, and so its
    # columns, are always the same.
    return sorted(rows, key=lambda row: (tuple(row), row["id"]))


def _is_refusal(error: Exception) -> bool:
    # What is not of the database's library is of the conversion of a value.
    return isinstance(error, (DataError, IntegrityError)) or not isinstance(error, DBAPIError)
