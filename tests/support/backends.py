"""The databases that an index may be in: each is a value of the fixture `backend`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from hpcsweep.store import SweepIndex
from hpcsweep.store.engine import Database
from hpcsweep.store.location import parse_url
from tests.support.postgres import Place, PrivatePostgres

KEY = "0123456789abcdef"
KINDS = (
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.postgres),
    pytest.param("pgbouncer", marks=pytest.mark.postgres),
)


@dataclass(frozen=True)
class Backend:
    """One empty database."""

    # A value of KINDS.
    kind: str
    # The file or the URL of an index.
    location: Path | str
    # Where it is for a client that goes around PgBouncer; None for a file.
    direct: Place | None = None

    @property
    def is_file(self) -> bool:
        """Whether this is SQLite."""
        return self.direct is None

    def sweep_index(self, sweep: str = KEY, patience_s: float = 30.0) -> SweepIndex:
        """The index of a sweep in it."""
        return SweepIndex(self.location, sweep, patience_s)

    def ask(self, sql: str) -> Any:
        """Return one value, by the connection that an index uses."""
        where = self.location
        location = parse_url(where, "test") if isinstance(where, str) else where

        def work(connection: Connection) -> Any:
            return connection.exec_driver_sql(sql).scalar()

        return Database(location).read(work)

    def raw(self, sql: str) -> list[tuple[Any, ...]]:
        """Run statements without hpcsweep, as a user with psql or sqlite3 can."""
        if self.direct is None:
            with closing(sqlite3.connect(str(self.location), isolation_level=None)) as connection:
                return connection.execute(sql).fetchall()
        with psycopg.connect(self.direct.url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def script(self, sql: str) -> None:
        """Run a file of statements."""
        if self.direct is None:
            with closing(sqlite3.connect(str(self.location))) as connection:
                connection.executescript(sql)
        else:
            self.raw(sql)


@pytest.fixture(params=KINDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Each kind of database in turn, empty."""
    return _empty(request, tmp_path)


@pytest.fixture(params=KINDS[:2])
def direct_backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """A file, and a PostgreSQL without PgBouncer, empty."""
    return _empty(request, tmp_path)


def _empty(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "sqlite":
        return Backend("sqlite", tmp_path / "store.sqlite3")
    server: PrivatePostgres = request.getfixturevalue("postgres")
    direct: Place = request.getfixturevalue("database")
    way = direct if request.param == "postgresql" else server.through_bouncer(direct)
    return Backend(request.param, way.url, direct)
