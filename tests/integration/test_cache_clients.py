"""A sweep through the cache whose misses a Dask cluster, or any Executor, makes."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.errors import CasesFailed, InputError
from tests.support.backends import direct_backend
from tests.support.caching import Calls, MakeStore, make_store
from tests.support.clusters import INGEST_LATER, EmulatedCluster, emulated
from tests.support.postgres import database, postgres

__all__ = ["database", "direct_backend", "emulated", "make_store", "postgres"]

# Model and runner in the script itself, as in a notebook.
SCRIPT = """\
import os
import numpy as np
from dask.distributed import Client, LocalCluster
from hpcsweep import Base, CasesFailed, Mapped, Store

class SimResult(Base):
    __tablename__ = "results"
    n: Mapped[int]
    dt: Mapped[float]

def my_sim(params):
    if params["n"] == 13:
        raise ValueError("bad luck")
    np.save(params["result_file"], np.full(params["n"], os.getpid()))

if __name__ == "__main__":
    store = Store(my_sim, SimResult, "results", ".npy", "sqlite:///runs.sqlite3")
    grid = {"n": [50, 100], "dt": [0.01, 0.005]}
    small = dict(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
    with LocalCluster(**small) as cluster:
        with Client(cluster) as client:
            records = store.sweep(grid, client=client, note="x")
            wanted = [(50, 0.01), (50, 0.005), (100, 0.01), (100, 0.005)]
            assert [(r.n, r.dt) for r in records] == wanted
            pids = {int(np.load(r.result_file)[0]) for r in records}
            assert os.getpid() not in pids, pids
            assert {r.custom_data["note"] for r in records} == {"x"}
            again = store.sweep(grid, client=client)
            assert [r.created_at for r in again] == [r.created_at for r in records]
            try:
                store.sweep([{"n": n, "dt": 1.0} for n in (1, 13, 2)], client=client)
            except CasesFailed as error:
                print(error.what)
                assert isinstance(error.failures[1], ValueError)
                assert [r and r.n for r in error.records] == [1, None, 2]
    print(len(store.list()))
"""


def test_e13_a_dask_cluster_with_everything_in_main(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1 of 3 cases failed: ValueError: bad luck\n6\n"


ON_A_CLUSTER = """\
from pathlib import Path
from hpcsweep import CasesFailed
from sims import store

grid = {"n": [1, 2, 3], "label": [None, "{x}"]}
records = store.sweep(grid, cluster="emulated", note="{y}")
assert [(r.n, r.label) for r in records] == [(n, x) for n in (1, 2, 3) for x in (None, "{x}")]
print([Path(r.result_file).read_text() for r in records])
assert {r.custom_data["note"] for r in records} == {"{y}"}
again = store.sweep(grid, cluster="emulated")
assert [r.created_at for r in again] == [r.created_at for r in records]
Path(records[0].result_file).unlink()  # as if it had never been
assert store.sweep(grid, cluster="emulated")[0].created_at > records[0].created_at
try:
    store.sweep({"n": [12, 13, 14]}, cluster="emulated")
except CasesFailed as error:
    print(error.what[:32], sorted(error.failures))
assert store.run_or_retrieve({"n": 14}).custom_data.keys() == {"elapsed_seconds"}
"""
SIMS = """\
import os
from pathlib import Path
from hpcsweep import Base, Mapped, Store

class Result(Base):
    __tablename__ = "results"
    n: Mapped[int]
    label: Mapped[str | None]

def simulate(params):
    if params["n"] == 13:
        raise ValueError("bad luck")
    job = os.environ.get("SLURM_JOB_ID", "none")
    Path(params["result_file"]).write_text(f"{params['n']} {params.get('label')} {job != 'none'}")

store = Store(simulate, Result, "results", ".txt", "sqlite:///runs.sqlite3")
"""


def test_a_cluster_makes_what_is_missing(emulated: EmulatedCluster, tmp_path: Path) -> None:
    """The misses are a sweep, whose cases each make one result; a notebook finds them all."""
    (tmp_path / "sims.py").write_text(SIMS)
    (tmp_path / "script.py").write_text(ON_A_CLUSTER)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=emulated.env(**INGEST_LATER),
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert eval(first) == [f"{n} {x} True" for n in (1, 2, 3) for x in (None, "{x}")]  # noqa: S307
    assert second == "1 of 3 cases failed: TargetError [1]"


def test_any_executor(make_store: MakeStore) -> None:
    calls = Calls()
    store = make_store(calls)
    grid: dict[str, list[Any]] = {"n": list(range(12)), "steps": [1], "dt": [0.5]}
    with ThreadPoolExecutor(4) as pool:
        assert [record.n for record in store.sweep(grid, pool)] == list(range(12))
        bad = {"n": 1, "steps": 1, "dt": 1.0, "label": "fails"}
        with pytest.raises(CasesFailed, match="1 of 2 cases failed"):
            store.sweep([bad, bad | {"label": "good"}], client=pool)
    assert len(calls) == 14
    with pytest.raises(InputError, match="client is a str"):
        store.sweep(grid, client="tcp://127.0.0.1:8786")
