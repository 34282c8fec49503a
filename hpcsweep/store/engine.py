"""Transactions: short, patient, and with errors that name the cause and the remedy."""

from __future__ import annotations

import os
import random
import sqlite3
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from hpcsweep.errors import StoreError
from hpcsweep.store.database_errors import store_error
from hpcsweep.store.filesystem import is_local
from hpcsweep.store.location import shown

T = TypeVar("T")

# Seconds that a writer waits for another: commits cost four fsyncs in rollback mode, and the
# busy handler is not fair.
SQLITE_TIMEOUT_S = 60.0
# Seconds for which a command tries again while PostgreSQL is away, full or busy.
PATIENCE_S = 30.0
# Seconds: the first pause is up to the one, the longest up to the other. Any moment up to that is
# taken ("full jitter"): all tasks that end together would come back together otherwise.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0

# Settings of psycopg and libpq, unless the URL has its own. Prepared statements are a session's,
# and PgBouncer before 1.22 gives every transaction another session. Keepalives: a node that dies
# says nothing, and its half of a connection would be waited for.
CONNECTING: dict[str, Any] = {
    "connect_timeout": 10,
    "prepare_threshold": None,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "application_name": "hpcsweep",
}
# For one transaction each (PgBouncer passes no setting of a session on): a client that was stopped
# in the middle keeps nobody waiting for longer.
LIMITS = (
    "SELECT set_config('statement_timeout', '300s', true), set_config('lock_timeout', '60s', true),"
    " set_config('idle_in_transaction_session_timeout', '60s', true)"
)

# Execution options of a connection that only reads: it takes no lock until its first SELECT.
_READING = {"hpcsweep_reading": True}


class Database:
    """Transactions in one database, each on a connection of its own.

    With `keeps` the connections of a SQLite file are kept for the next one, and a commit waits for
    no disk: for a file of its own whose rows can be made again one by one.

    `work` may be called several times: while PostgreSQL cannot be reached, has no connection free
    or broke a transaction off, it is tried again for `patience_s` seconds. So it must be safe to
    repeat, also when the answer to its commit was lost. *Raises* StoreError, whose text and chain
    hold no password.
    """

    def __init__(
        self, location: Path | URL, patience_s: float | None = None, *, keeps: bool = False
    ) -> None:
        # As people may read it.
        self.where = shown(location)
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._engine = _open(location, keeps=keeps)
        self._reader = self._engine.execution_options(**_READING)
        # Kept connections end with whoever keeps them: Python 3.13 warns of one that is collected.
        weakref.finalize(self, _close, self._engine, os.getpid())
        self._failures = (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error)

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the kind of database."""
        return self._engine.dialect.name

    def write(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, after its commit."""
        return self._run(self._engine, work)

    def read(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns; it sees one moment and changes nothing."""
        return self._run(self._reader, work)

    def _run(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        deadline, longest = time.monotonic() + self._patience_s, FIRST_PAUSE_S
        while True:
            try:
                with engine.begin() as connection:
                    return work(connection)
            except self._failures as error:
                problem = store_error(error, self.where)
                # Of a connection that was never made the error may know the URL.
                unmade = not isinstance(error, DBAPIError) or error.statement is None
                cause = None if unmade else error
            pause = random.uniform(0, longest)  # noqa: S311  # no secret
            last = time.monotonic() + pause >= deadline or self.dialect == "sqlite"
            if last or not problem.transient:
                raise problem from cause
            time.sleep(pause)
            longest = min(2 * longest, LONGEST_PAUSE_S)


def _close(engine: Engine, pid: int) -> None:
    engine.dispose(close=os.getpid() == pid)  # a fork's copies are its parent's


def _open(location: Path | URL, *, keeps: bool) -> Engine:
    if isinstance(location, Path):
        return _open_sqlite(location, keeps=keeps)
    return _open_postgresql(location)


def _open_sqlite(path: Path, *, keeps: bool) -> Engine:
    """An engine for one SQLite file.

    Every transaction begins IMMEDIATE: one that reads first and writes later is refused at once
    when another wrote in between, whatever the timeout says (DESIGN invariant 23).
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)),  # in a text, `?` would end the path
        # Of threads there may be any number, and none waits for another's connection.
        **({"max_overflow": -1} if keeps else {"poolclass": NullPool}),
        connect_args={"timeout": SQLITE_TIMEOUT_S},
    )
    # WAL needs all processes on one host; a rollback journal works wherever locks do.
    mode = ("WAL" if keeps else "DELETE") if is_local(path.parent) else "PERSIST"

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        record.info["made"] = os.getpid(), _inode(path)
        connection.isolation_level = None
        cursor = connection.cursor()
        try:
            found = cursor.execute(f"PRAGMA journal_mode={mode}").fetchone()
        except sqlite3.OperationalError:
            # The mode cannot change while another uses the file, and nobody waits for it: this
            # connection goes on in the mode that the file has.
            if mode != "WAL":
                raise
            found = None
        # A WAL that is synced at its checkpoints alone loses no more than its last rows.
        level = "NORMAL" if found == ("wal",) else "FULL"
        cursor.execute(f"PRAGMA synchronous={level}")
        cursor.close()

    @event.listens_for(engine, "checkout")
    def _check(_connection: Any, record: Any, _proxy: Any) -> None:
        # Not to be used behind a fork, nor when the file was removed or another moved there.
        if record.info["made"] != (os.getpid(), _inode(path)):
            raise DisconnectionError

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("hpcsweep_reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _open_postgresql(url: URL) -> Engine:
    """An engine for one PostgreSQL database that leaves nothing behind after a transaction."""
    settings = {name: value for name, value in CONNECTING.items() if name not in url.query}
    try:
        # Looking for hstore would be a question more on the first connection, which is the only.
        engine = create_engine(
            url, poolclass=NullPool, connect_args=settings, use_native_hstore=False
        )
    except ImportError as error:
        raise StoreError(
            "PostgreSQL needs psycopg, which is not installed here",
            where=shown(url),
            next_step="pip install 'hpcsweep[postgres]'",
        ) from error

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(LIMITS)

    return engine
