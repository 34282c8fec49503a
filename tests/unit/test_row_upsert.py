"""Rows of the cache that a database refuses, and errors that say nothing of a row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from hpcsweep.cache.row_upsert import RowRefused, RowUpsert
from tests.support.caching import SimResult

TABLE = SimResult.__table__


def row(id_: str, n: int) -> dict[str, Any]:
    """A row of the table."""
    params = {"n": n, "steps": 1, "dt": 0.5}
    others = {"result_file": "x", "created_at": datetime.now(UTC), "custom_data": {}}
    return {"id": id_} | params | others


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """A connection to an empty table, which does not wait for locks."""
    location = f"sqlite:///{tmp_path}/x.sqlite3"
    engine = create_engine(location, poolclass=NullPool, connect_args={"timeout": 0})
    TABLE.create(engine)
    with engine.connect() as made:
        yield made


def test_a_value_that_the_library_refuses(connection: Connection) -> None:
    rows = [row("a", 1), row("b", 2**63), row("c", 3)]
    with pytest.raises(RowRefused), connection.begin():
        RowUpsert(TABLE).all_at_once(connection, rows)
    refused: dict[str, str] = {}
    RowUpsert(TABLE).one_by_one(connection, rows, refused)
    assert refused.keys() == {"b"}
    assert "too large" in refused["b"]
    assert connection.scalars(select(TABLE.c.id)).all() == ["a", "c"]


def test_a_lock_refuses_no_row(connection: Connection, tmp_path: Path) -> None:
    refused: dict[str, str] = {}
    with closing(sqlite3.connect(tmp_path / "x.sqlite3")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"), connection.begin():
            RowUpsert(TABLE).all_at_once(connection, [row("a", 1)])
        with pytest.raises(OperationalError, match="locked"):
            RowUpsert(TABLE).one_by_one(connection, [row("a", 1)], refused)
    assert not refused
