"""Short transactions with retries, and errors that name the cause and the remedy."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, CompoundSelect, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from hpcsweep.errors import StoreError
from hpcsweep.redact import redact
from hpcsweep.store.arrow_pages import arrow_page
from hpcsweep.store.database_errors import database_error
from hpcsweep.store.filesystem import is_local
from hpcsweep.store.location import public_location
from hpcsweep.store.same_values import ArrowPage
from hpcsweep.store.sqlite_opening import opening

_log = logging.getLogger(__name__)

T = TypeVar("T")

# Lock timeout in seconds. It is long: a commit costs four fsyncs in rollback mode, and SQLite's
# busy handler is not fair.
SQLITE_TIMEOUT_S = 60.0
# Cache of a connection that writes, in KiB. Case ids are random, so a large ingest changes nearly
# all pages of their index; with SQLite's default, 2 MB, it writes most of them several times.
WRITING_CACHE_KIB = 256 << 10
# Seconds for which a command retries while PostgreSQL is unreachable, full or busy.
PATIENCE_S = 30.0
# First and longest back-off in seconds. Each pause is random up to the limit ("full jitter"):
# otherwise all tasks that end together would also retry together.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0

# Defaults of psycopg and libpq; the URL may override them. No prepared statements: they belong to
# a session, and PgBouncer before 1.22 gives each transaction another session. Keepalives: a node
# that dies does not close its connection, and the other end would wait for it.
CONNECTING: dict[str, Any] = {
    "connect_timeout": 10,
    "prepare_threshold": None,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "application_name": "hpcsweep",
}
# Per transaction, since PgBouncer does not keep session settings. They limit how long a stopped
# client blocks others.
LIMITS = (
    "SELECT set_config('statement_timeout', '300s', true), set_config('lock_timeout', '60s', true),"
    " set_config('idle_in_transaction_session_timeout', '60s', true)"
)

# Of a merge: a commit need not wait for the disk. A server that crashes loses the last merges as a
# whole, with the positions that they advanced, and never one before another: the next ingest reads
# the same bytes of the journals again.
UNSYNCED = ", set_config('synchronous_commit', 'off', true)"

# Engines that are shared: a process that waits, or serves a page, opens the same index again and
# again, and to compile its statements takes longer than to execute them.
SHARED_MAX = 16

# Execution option of a read-only connection: no lock before its first SELECT.
_READING = {"hpcsweep_reading": True}
# That of a merge.
_MERGING = {"hpcsweep_merging": True}


class Database:
    """Runs transactions in one database, each on its own connection.

    With `keeps`, connections to a SQLite file are reused and a commit does not wait for the disk:
    for a file with a single user whose rows can be made again one by one. With `is_read_only` every
    `write` *raises* StoreError at once.

    `work` may be called several times: while PostgreSQL is unreachable, has no free connection or
    aborts the transaction, it is retried for `patience_s` seconds. It must be safe to repeat, also
    when the answer to its commit was lost. *Raises* StoreError; neither its text nor its chained
    errors contain a password.
    """

    def __init__(
        self,
        location: Path | URL,
        patience_s: float | None = None,
        *,
        keeps: bool = False,
        is_read_only: bool = False,
    ) -> None:
        # The location without a password, for messages.
        self.where = public_location(location)
        self._patience_s = PATIENCE_S if patience_s is None else patience_s
        self._is_read_only = is_read_only
        # The file of an index, which anyone may remove.
        self._file = None if keeps or not isinstance(location, Path) else location
        self._engine = _open(location, keeps=keeps)
        self._reader = self._engine.execution_options(**_READING)
        self._merger = self._engine.execution_options(**_MERGING)
        self._is_keeping = False
        # The connection of the last transaction, while it is kept.
        self._kept: Connection | None = None
        # Close kept connections with their owner: Python 3.13 warns if one is garbage-collected.
        if keeps:
            weakref.finalize(self, _close, self._engine, os.getpid())
        self._failures = (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error)

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the database kind."""
        return self._engine.dialect.name

    def write(self, work: Callable[[Connection], T]) -> T:
        """Commit a transaction; returns the result of `work`."""
        return self._write(self._engine, work)

    def merge(self, work: Callable[[Connection], T]) -> T:
        """Like `write`, of what journals have: a crash of the server may lose it."""
        return self._write(self._merger, work)

    @contextlib.contextmanager
    def kept_connection(self) -> Iterator[None]:
        """Let the transactions within use one connection to PostgreSQL, not one each.

        For what is done at once: a server has few connections. To make one takes as long as to
        copy 500 rows. No other thread may use this object meanwhile.
        """
        if self._is_keeping or self.dialect != "postgresql":
            yield
            return
        self._is_keeping = True
        try:
            yield
        finally:
            self._is_keeping = False
            self.close_connection()

    def close_connection(self) -> None:
        """Close a kept connection, as before a fork; the next transaction makes another one."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run a read-only transaction on one snapshot; returns the result of `work`."""
        return self._run(self._reader, work)

    def read_arrow(self, query: CompoundSelect[Any]) -> ArrowPage | None:
        """What the query of a page returns, as Arrow arrays; None where `read` has to."""
        return arrow_page(self._file, query) if self._file else None

    def _write(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        if self._is_read_only:
            raise StoreError("is only read here", where=self.where)
        return self._run(engine, work)

    def _run(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        deadline, longest = time.monotonic() + self._patience_s, FIRST_PAUSE_S
        while True:
            try:
                with self._begun(engine) as connection:
                    return work(connection)
            except self._failures as error:
                problem = self._problem(error)
                # Do not chain: the error of a failed connection may contain the URL.
                unmade = not isinstance(error, DBAPIError) or error.statement is None
                cause = None if unmade else error
            pause = random.uniform(0, longest)  # noqa: S311  # not cryptographic
            last = time.monotonic() + pause >= deadline or self.dialect == "sqlite"
            if last or not problem.transient:
                raise problem from cause
            _log.info("trying again in %.2f s: %s", pause, redact(str(problem)))
            time.sleep(pause)
            longest = min(2 * longest, LONGEST_PAUSE_S)

    @contextlib.contextmanager
    def _begun(self, engine: Engine) -> Iterator[Connection]:
        """A transaction, committed at the end."""
        if not self._is_keeping:
            with engine.begin() as connection:
                yield connection
            return
        if self._kept is None:
            self._kept = self._engine.connect()
        self._kept.execution_options(hpcsweep_merging=engine is self._merger)
        try:
            with self._kept.begin():
                yield self._kept
        except BaseException:
            self.close_connection()  # it may be broken
            raise

    def _problem(self, error: Exception) -> StoreError:
        if self._file is None or self._file.exists() or not self._file.parent.exists():
            return database_error(error, self.where)
        return StoreError(
            "the index was removed while it was used",
            where=self.where,
            next_step="Run the command again: it makes another one from the journals.",
        )


def _close(engine: Engine, pid: int) -> None:
    engine.dispose(close=os.getpid() == pid)  # a fork's copies belong to its parent


def _open(location: Path | URL, *, keeps: bool) -> Engine:
    """An engine; one that keeps no connections is shared, with the statements that it compiled."""
    if not isinstance(location, Path):
        return _open_postgresql(location)
    # WAL needs all processes on one host; a rollback journal works wherever locks work.
    mode = ("WAL" if keeps else "DELETE") if is_local(location.parent) else "PERSIST"
    make = _open_sqlite if keeps else _shared_sqlite
    return make(location, mode, SQLITE_TIMEOUT_S, keeps=keeps)


def _open_sqlite(path: Path, mode: str, timeout_s: float, *, keeps: bool) -> Engine:
    """An engine for one SQLite file in a journal mode.

    Every transaction begins IMMEDIATE. A deferred one that reads first and writes later fails at
    once, without the busy timeout, if another wrote in between (DESIGN invariant 23).
    """
    # SQLite would make a missing index, with the mode of the umask.
    address = f"{path.absolute().as_uri()}?mode={'rwc' if keeps else 'rw'}"

    def connect() -> sqlite3.Connection:
        with opening():
            return sqlite3.connect(
                address, uri=True, timeout=timeout_s, check_same_thread=not keeps
            )

    # Any number of threads may connect; none waits for another's connection.
    pool: dict[str, Any] = {"max_overflow": -1} if keeps else {"poolclass": NullPool}
    # In a URL string, `?` would end the path.
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, creator=connect, **pool)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        record.info["made"] = os.getpid(), _inode(path)
        connection.isolation_level = None
        cursor = connection.cursor()
        try:
            actual = cursor.execute(f"PRAGMA journal_mode={mode}").fetchone()
        except sqlite3.OperationalError:
            # SQLite cannot change the mode while another connection is open, and does not wait for
            # that: continue in the mode that the file has.
            if mode != "WAL":
                raise
            actual = None
        # WAL with synchronous=NORMAL loses at most its last rows in a power failure.
        level = "NORMAL" if actual == ("wal",) else "FULL"
        cursor.execute(f"PRAGMA synchronous={level}")
        cursor.close()

    @event.listens_for(engine, "checkout")
    def _check(_connection: Any, record: Any, _proxy: Any) -> None:
        # Discard a connection that was inherited by a fork, or whose file was removed or replaced.
        if record.info["made"] != (os.getpid(), _inode(path)):
            raise DisconnectionError

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("hpcsweep_reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
        if not reading and not keeps:
            connection.exec_driver_sql(f"PRAGMA cache_size=-{WRITING_CACHE_KIB}")

    return engine


_shared_sqlite = lru_cache(maxsize=SHARED_MAX)(_open_sqlite)


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


@lru_cache(maxsize=SHARED_MAX)
def _open_postgresql(url: URL) -> Engine:
    """An engine for one PostgreSQL database; no state survives a transaction."""
    settings = {name: value for name, value in CONNECTING.items() if name not in url.query}
    try:
        # Skip the search for hstore: it costs a query on each connection.
        engine = create_engine(
            url, poolclass=NullPool, connect_args=settings, use_native_hstore=False
        )
    except ImportError as error:
        raise StoreError(
            "PostgreSQL needs psycopg, which is not installed here",
            where=public_location(url),
            next_step="pip install 'hpcsweep[postgres]'",
        ) from error

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        is_merge = connection.get_execution_options().get("hpcsweep_merging", False)
        connection.exec_driver_sql(LIMITS + UNSYNCED if is_merge else LIMITS)

    return engine
