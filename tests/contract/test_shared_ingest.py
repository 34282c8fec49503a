"""A first ingest into PostgreSQL by several processes leaves what one process leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Pool, event

from hpcsweep import sources
from hpcsweep.journal import all_journals
from hpcsweep.settings import Settings
from hpcsweep.state.status import status
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import Ingest
from tests.contract.test_index_crowd import CASES_PER_CHUNK, ended, whole
from tests.support.postgres import Place, PrivatePostgres, database, own_postgres, postgres
from tests.support.sweeps import MadeSweep

__all__ = ["database", "own_postgres", "postgres"]

CHUNKS = 12
# Its own process: a fork wants one without threads.
PROGRAM = """\
import os, signal, sys
from pathlib import Path
from hpcsweep.store import SweepIndex, decoding, pieces, sweep_index
from hpcsweep.store.ingest import Ingest
from hpcsweep.sweepdir.directory import SweepDirectory
path, location, how = sys.argv[1:]
os.sched_getaffinity = lambda _: {0, 1, 2}
decoding.pays = lambda root, names: bool(names)
decoding.with_children = lambda *_: iter(())
pieces.PIECE_BYTES = 1
me, merged, merge = os.getpid(), [], sweep_index.merge
disturbance = Path(path) / "disturbed"
def disturbed(connection, *batch):
    while how and os.getpid() == me and not disturbance.exists():
        pass
    merge(connection, *batch)
    merged.append(connection.connection.dbapi_connection.info.backend_pid)
    if os.getpid() != me and len(merged) == 2:
        disturbance.touch()
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "cut off":
            connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
sweep_index.merge = disturbed
sweep = SweepDirectory.open(Path(path))
index = SweepIndex(location, sweep.key, 200.0)
done = Ingest(sweep, index).run()
print(done.records, len(set(merged)))
"""


def made_sweep(root: Path, place: Place) -> MadeSweep:
    """A sweep of tasks that all ended, with an empty index."""
    made = MadeSweep(root, sources.grid(x=list(range(CHUNKS * CASES_PER_CHUNK))), runs="none")
    ended(made, CHUNKS)
    SweepIndex(place.url, made.directory.key).create("s", made.manifest.fingerprint)
    return made


def start(made: MadeSweep, place: Place, how: str = "") -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", PROGRAM, str(made.path), place.url, how]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.postgres
@pytest.mark.parametrize("how", ["", "killed", "cut off"])
def test_several_processes_merge_everything(database: Place, tmp_path: Path, how: str) -> None:
    made = made_sweep(tmp_path, database)
    said, errors = start(made, database, how).communicate()
    # A start and an end of each task, and an end of each case.
    records = CHUNKS * (2 + 2 * CASES_PER_CHUNK)
    assert errors == ""
    count, connections = map(int, said.split())
    assert count == records
    # All pieces of this process used one connection; what a killed fork left, another one.
    assert connections == (2 if how == "killed" else 1)
    whole(made, database.url, tmp_path / "reference.sqlite3")


@pytest.mark.postgres
def test_two_such_commands_at_once(database: Place, tmp_path: Path) -> None:
    made = made_sweep(tmp_path, database)
    commands = [start(made, database) for _ in range(2)]
    assert [command.communicate()[1] for command in commands] == ["", ""]
    whole(made, database.url, tmp_path / "reference.sqlite3")


@pytest.mark.postgres
def test_one_free_connection_is_enough(own_postgres: PrivatePostgres, tmp_path: Path) -> None:
    place = own_postgres.database()
    made = made_sweep(tmp_path, place)
    own_postgres.limit_connections(1)
    assert start(made, place).communicate()[1] == ""
    whole(made, place.url, tmp_path / "reference.sqlite3")


@pytest.mark.postgres
def test_a_look_connects_twice(
    database: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For its ingest, and for all that it reads."""
    monkeypatch.setenv("INDEX_OF_LOOKS", database.url)
    made = MadeSweep(tmp_path, sources.grid(x=[0, 1]), store="INDEX_OF_LOOKS")
    made.plan()
    status(made.directory, None, Settings())
    connections: list[Any] = []

    def note(*one: Any) -> None:
        connections.append(one)

    event.listen(Pool, "connect", note)
    try:
        assert status(made.directory, None, Settings()).n_cases == 2
    finally:
        event.remove(Pool, "connect", note)
    assert len(connections) == 2


@pytest.mark.postgres
def test_an_ingest_of_a_task_connects_once(database: Place, tmp_path: Path) -> None:
    made = made_sweep(tmp_path, database)
    sweep_index = SweepIndex(database.url, made.directory.key)
    connections: list[Any] = []
    engine = sweep_index._database._engine  # noqa: SLF001  # counts connections
    event.listen(engine, "connect", lambda *one: connections.append(one))
    name = next(iter(all_journals(made.directory.journal_root)))
    Ingest(made.directory, sweep_index).run([name])
    assert len(connections) == 1
    assert sweep_index.positions().keys() == {name}
