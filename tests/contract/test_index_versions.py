"""Every released schema is upgraded, and ends as the present one is made."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from hpcsweep.errors import StoreError
from hpcsweep.store import SweepIndex, schema
from hpcsweep.store.migrations import STEPS
from hpcsweep.store.upsert import RowBatch
from tests.support.backends import Backend, backend
from tests.support.postgres import PrivatePostgres, database, postgres
from tests.support.small_disk import fill, mounted

__all__ = ["backend", "database", "postgres"]

DATA = Path(__file__).parents[1] / "data" / "schema"
RELEASED = range(1, schema.VERSION)
# Of the sweep in the files.
KEY, MANIFEST = "5eed5eed5eed5eed", "bbe45db1bac55b0d"


def load(backend: Backend, version: int) -> SweepIndex:
    """An index of an old version with six cases."""
    kind = "sqlite" if backend.is_file else "postgresql"
    backend.script((DATA / f"v{version}.{kind}.sql").read_text())
    return backend.sweep_index(KEY)


def shape(backend: Backend) -> list[Any]:
    """Tables, columns and indices, in the database's own words."""
    if backend.direct is not None:
        columns = backend.raw(
            "SELECT table_name, ordinal_position, column_name, data_type, is_nullable, "
            "column_default, collation_name, generation_expression "
            "FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
        )
        return columns + backend.raw(
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
        )
    found: list[Any] = []
    with closing(sqlite3.connect(str(backend.location))) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in sorted(tables):
            # Without positions: SQLite puts a new column behind all others.
            of_table = connection.execute(f"PRAGMA table_info({table})")
            found += [table, *sorted(row[1:] for row in of_table)]
            for row in sorted(connection.execute(f"PRAGMA index_list({table})")):
                of_index = connection.execute(f"PRAGMA index_info({row[1]})")
                found += [row[1:], *(name for _, _, name in of_index)]
    return found


def test_each_version_has_its_step_and_its_files() -> None:
    assert sorted(STEPS) == list(RELEASED)
    kinds = ("postgresql", "sqlite")
    assert sorted(path.name for path in DATA.iterdir()) == [
        f"v{version}.{kind}.sql" for version in RELEASED for kind in kinds
    ]


@pytest.mark.parametrize("version", RELEASED)
def test_an_upgraded_schema_equals_a_new_one(
    backend: Backend, version: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    load(backend, version).create("s", MANIFEST)
    upgraded, values = shape(backend), backend.raw("SELECT * FROM meta ORDER BY name")

    if backend.direct is None:
        fresh = Backend("sqlite", tmp_path / "fresh.sqlite3")
    else:
        server: PrivatePostgres = request.getfixturevalue("postgres")
        place = server.database()
        request.addfinalizer(lambda: server.drop(place))
        fresh = Backend("postgresql", place.url, place)
    fresh.sweep_index(KEY).create("s", MANIFEST)
    assert upgraded == shape(fresh)
    assert values == fresh.raw("SELECT * FROM meta ORDER BY name")


@pytest.mark.parametrize("version", RELEASED)
def test_a_migration_loses_nothing(backend: Backend, version: int) -> None:
    sweep_index = load(backend, version)
    names = "case_id, rank, status, params, metrics, error, wall_seconds, seed"
    query = f"SELECT {names} FROM cases ORDER BY case_id"  # noqa: S608  # names of ours
    before = backend.raw(query)
    assert not sweep_index.exists()

    sweep_index.create("s", MANIFEST)

    assert backend.raw(query) == before
    assert len(before) == 6
    found = list(sweep_index.rows())
    assert [(row["idx"], row["attempt"], row["task_id"]) for row in found] == [
        (index, 1, None) for index in range(6)
    ]
    assert found[1]["params"] == '{"x":1,"y":"é\\u0000"}'
    assert found[1]["metrics"] == (
        '{"big":1000000000000000000000000000000,"f":1e+16,"nul":"\\u0000"}'
    )
    assert sweep_index.counts() == {
        ("complete", None): 4,
        ("failed", "error"): 1,
        ("running", None): 1,
    }
    # Before 3, journals are read again: they know of attempts that the tables had no place for.
    assert sorted(sweep_index.positions().values()) == ([] if version < 3 else [1908, 2275])
    assert (sweep_index.closed(), sweep_index.max_generation()) == (frozenset(), 0)
    assert sweep_index.kinds() == (
        {("x",): "float", ("y",): "str"},
        {("energy",): "float", ("big",): "json", ("f",): "float", ("nul",): "str"},
        {},
    )
    assert sweep_index.merge(RowBatch(manifest=MANIFEST, journals=[("j", 0, 5, 0)]))


def test_version_5_kept_all_indices_of_cases_apart(backend: Backend) -> None:
    """The lowest index goes into the row, with what it carries; others stay where they were."""
    sweep_index = load(backend, 5)
    (twice,) = backend.raw("SELECT case_id FROM places WHERE idx = 1")
    backend.raw("UPDATE places SET carried = '{\"of\":1}' WHERE idx = 1")
    backend.raw(
        "INSERT INTO places SELECT sweep, 9, case_id, '{\"of\":9}' FROM places WHERE idx = 1"
    )
    backend.raw("INSERT INTO places SELECT sweep, 12, 'eeee', NULL FROM places WHERE idx = 1")
    backend.raw("DELETE FROM places WHERE idx = 4")

    sweep_index.create("s", MANIFEST)

    (page,) = sweep_index.columns(["carried"])
    assert page == {
        "idx": (0, 1, 2, 3, 5, 9),
        "carried": (None, '{"of":1}', None, None, None, '{"of":9}'),
    }
    assert backend.raw("SELECT idx, case_id, carried FROM places ORDER BY idx") == [
        (9, twice[0], '{"of":9}'),
        (12, "eeee", None),
    ]
    assert backend.raw("SELECT count(*) FROM cases WHERE idx IS NULL") == [(1,)]


def test_a_migration_may_take_long(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """It copies tables of any size in one statement."""
    if backend.is_file:
        pytest.skip("SQLite has no limit of its own")
    limits = []
    step = STEPS[5]

    def asks(connection: Connection) -> None:
        limits.append(connection.exec_driver_sql("SHOW statement_timeout").scalar_one())
        step(connection)

    monkeypatch.setitem(STEPS, 5, asks)
    sweep_index = load(backend, 5)
    sweep_index.create("s", MANIFEST)
    assert limits == ["0"]


@pytest.mark.parametrize("version", RELEASED)
def test_an_upgrade_that_fails_leaves_the_old_version(
    backend: Backend, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_index = load(backend, version)
    before = shape(backend)

    class PowerCutError(Exception):
        """Comes when the step is done, and its record is not."""

    step = STEPS[version]

    def broken(connection: Any) -> None:
        step(connection)
        raise PowerCutError

    monkeypatch.setitem(STEPS, version, broken)
    with pytest.raises(PowerCutError):
        sweep_index.create("s", MANIFEST)
    assert shape(backend) == before
    known = dict(backend.raw("SELECT name, value FROM meta"))
    assert known["schema_version"] == str(version)
    monkeypatch.undo()
    sweep_index.create("s", MANIFEST)
    assert len(list(sweep_index.rows())) == 6


# --- SQLite: a kill and a full disk in the middle -------------------------------------------------

KILLED = """\
import os, signal, sys
from pathlib import Path
from hpcsweep.store import SweepIndex
from hpcsweep.store.migrations import STEPS
version = int(sys.argv[2])
step = STEPS[version]
def killed(connection):
    connection.exec_driver_sql("PRAGMA cache_size = 1")  # changed pages go to the file at once
    step(connection)
    os.kill(os.getpid(), signal.SIGKILL)
STEPS[version] = killed
SweepIndex(Path(sys.argv[1]), sys.argv[3]).create("s", "m")
"""


@pytest.mark.parametrize("version", RELEASED)
def test_a_migration_that_is_killed_leaves_the_old_tables(tmp_path: Path, version: int) -> None:
    backend = Backend("sqlite", tmp_path / "store.sqlite3")
    sweep_index = load(backend, version)
    before = shape(backend), backend.raw("SELECT * FROM cases"), backend.raw("SELECT * FROM places")
    argv = [sys.executable, "-c", KILLED, str(backend.location), str(version), KEY]
    assert subprocess.run(argv, check=False).returncode == -signal.SIGKILL
    assert (tmp_path / "store.sqlite3-journal").stat().st_size > 0
    after = shape(backend), backend.raw("SELECT * FROM cases"), backend.raw("SELECT * FROM places")
    assert after == before
    sweep_index.create("s", MANIFEST)
    assert len(list(sweep_index.rows())) == 6


def test_a_full_disk_leaves_the_old_tables(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=4m") as disk:
        backend = Backend("sqlite", disk / "store.sqlite3")
        sweep_index = load(backend, 3)
        backend.raw(
            "WITH RECURSIVE n (i) AS (SELECT 6 UNION ALL SELECT i + 1 FROM n WHERE i < 9000) "  # noqa: S608  # ours
            f"INSERT INTO places SELECT '{KEY}', i, '8549152f37719d3f' FROM n"
        )
        before = shape(backend), backend.raw("SELECT count(*) FROM places")
        fill(disk / "others", leave=64 * 1024)
        with pytest.raises(StoreError, match="the disk or quota is full") as caught:
            sweep_index.create("s", MANIFEST)
        assert "make room" in caught.value.next_step
        assert (shape(backend), backend.raw("SELECT count(*) FROM places")) == before
        (disk / "others").unlink()
        sweep_index.create("s", MANIFEST)
        assert sweep_index.counts()["complete", None] == 3 + 8996
