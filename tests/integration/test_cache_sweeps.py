"""A notebook and sweeps share one cache: each finds the results of the other, on both clusters."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support import preloaded
from tests.support.clusters import (
    HPCSWEEP,
    INGEST_LATER,
    Cluster,
    EmulatedCluster,
    cluster,
    emulated,
)

__all__ = ["cluster", "emulated"]

SIMS = """\
import os
from pathlib import Path
from hpcsweep import Base, Mapped, Store

class SimResult(Base):
    __tablename__ = "results"
    n: Mapped[int]
    dt: Mapped[float]
    label: Mapped[str | None]

class Labelled(Base):
    __tablename__ = "labelled"
    n: Mapped[str]
    dt: Mapped[float]

def simulate(params):
    with Path(__file__).with_name("calls").open("a") as stream:
        stream.write(f"{params['n']} {'SLURM_JOB_ID' in os.environ}\\n")
    Path(params["result_file"]).write_text(f"{params['n']} {params['dt']}")

def asks_for_nothing(n, dt):
    pass

def store():
    here = Path(__file__).parent
    url = f"sqlite:///{here}/runs.sqlite3"
    return Store(simulate, SimResult, here / "results", ".txt", url)
"""
MANIFEST = {
    "name": "sims",
    "target": "sims.py:simulate",
    "source": {"grid": {"n": [1, 2, 3], "dt": [0.5]}},
    "result_cls": "sims.py:SimResult",
    "results_dir": "results",
    "file_suffix": ".txt",
    "db_url": "sqlite:///runs.sqlite3",
    "use_cache": True,
}


class Place:
    """A directory with a model, a runner and a manifest, beside a cluster."""

    def __init__(self, root: Path, cluster: Cluster) -> None:
        self.root, self.cluster = root, cluster
        (root / "sims.py").write_text(SIMS)

    def hpcsweep(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ours."""
        return preloaded.run([HPCSWEEP, *argv], self.root, self.cluster.env(**INGEST_LATER), 200)

    def submit(self, **keys: Any) -> None:
        """Submit the manifest with other keys, and wait."""
        self.write(**keys)
        done = self.hpcsweep("submit", "manifest.json", "--wait")
        assert done.returncode == 0, done.stdout + done.stderr

    def write(self, **keys: Any) -> None:
        """Write the manifest; a key that is None is left out."""
        whole = {key: value for key, value in (MANIFEST | keys).items() if value is not None}
        (self.root / "manifest.json").write_text(json.dumps(whole))

    def notebook(self, code: str) -> Any:
        """The JSON that a notebook prints at last."""
        start = "import json\nfrom sims import *\nstore = store()\n"
        done = subprocess.run(
            [sys.executable, "-c", start + code],
            cwd=self.root,
            env=self.cluster.env(),
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def rows(self) -> list[int]:
        """The values of n in the table."""
        with closing(sqlite3.connect(self.root / "runs.sqlite3")) as connection:
            return [n for (n,) in connection.execute("SELECT n FROM results ORDER BY n")]

    @property
    def calls(self) -> list[tuple[int, bool]]:
        """Which n was computed, and whether in a job."""
        path = self.root / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return sorted((int(line.split()[0]), line.split()[1] == "True") for line in lines)


@pytest.fixture
def place(tmp_path: Path, cluster: Cluster) -> Place:
    return Place(tmp_path, cluster)


@pytest.fixture
def near(tmp_path: Path, emulated: EmulatedCluster) -> Place:
    return Place(tmp_path, emulated)


def test_a_notebook_and_sweeps_share_results_both_ways(place: Place) -> None:
    first = place.notebook("print(json.dumps(store.run({'n': 2, 'dt': 0.5}).id))")
    place.submit()
    assert place.calls == [(1, True), (2, False), (3, True)]
    found = place.hpcsweep("collect", "sims", "--format", "jsonl")
    assert found.stderr == ""
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert [row["status"] for row in rows] == ["complete"] * 3
    assert rows[1]["case_id"] == first
    # `collect` has filled the table: no Store was constructed since.
    assert place.rows() == [1, 2, 3]
    code = "print(json.dumps([[r.id, open(r.result_file).read()] for r in store.list()]))"
    assert sorted(place.notebook(code)) == sorted(
        [row["case_id"], f"{row['n']} {row['dt']}"] for row in rows
    )
    # The other way round: a sweep of the notebook's misses only one case.
    more = f"store.sweep({{'n': [1, 2, 3, 4], 'dt': [0.5]}}, cluster='{place.cluster.kind}')"
    assert place.notebook(f"print(json.dumps([r.n for r in {more}]))") == [1, 2, 3, 4]
    assert place.calls == [(1, True), (2, False), (3, True), (4, True)]


def test_a_store_fills_its_table_where_no_db_url_is_named(near: Place) -> None:
    near.submit(db_url=None, result_cls=None)
    assert near.hpcsweep("collect", "sims").returncode == 0
    assert not (near.root / "runs.sqlite3").exists()
    found = near.notebook("print(json.dumps([r.n for r in store.list(where={'dt': 0.5})]))")
    assert sorted(found) == [1, 2, 3]


def test_running_one_case_does_not_change_the_cache(near: Place) -> None:
    near.write()
    assert near.hpcsweep("run", "manifest.json", "--index", "0").returncode == 0
    (result,) = near.root.glob("outputs/sims.local/log_*/result.txt")
    assert result.read_text() == "1 0.5"
    assert not (near.root / "results").exists()


def test_a_table_that_cannot_be_filled_costs_no_result(near: Place) -> None:
    near.submit(db_url="sqlite:///away/runs.sqlite3")
    (near.root / "away").write_text("")
    found = near.hpcsweep("collect", "sims", "--format", "jsonl")
    assert len(found.stdout.splitlines()) == 3
    assert "away" in found.stderr
    assert found.returncode == 0
    assert len(near.notebook("print(json.dumps([r.n for r in store.list()]))")) == 3


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"replicates": 2}, "a cache has one result for the same params"),
        (
            {
                "source": {
                    "type": "ReplicatedSource",
                    "replicates": 2,
                    "source": {"type": "GridSource", "spec": {"n": [1], "dt": [0.5]}},
                }
            },
            "has 2 replicates, and a cache has one result",
        ),
        ({"source": {"grid": {"n": [1], "id": [1]}}}, "id is filled by the cache"),
        ({"source": {"grid": {"n": [1], "m": [1], "dt": [0.5]}}}, "no column for the parameter m"),
        ({"source": {"grid": {"n": [1]}}}, "the parameter dt is missing"),
        (
            {"source": {"manual": [{"n": 1, "dt": 1.0}, {"n": 2.5, "dt": 1.0}]}},
            "index 1: the column n holds int, not 2.5",
        ),
        ({"result_cls": "sims.py:simulate"}, "not a model"),
        ({"result_cls": "sims.py:Missing"}, "sims.py:Missing: there is no 'Missing' in it"),
        ({"result_cls": "no_such_module:Model"}, "result_cls cannot be imported: ModuleNotFound"),
        ({"result_cls": "sim.py:SimResult"}, "Did you mean 'sims.py'"),
        ({"result_cls": "SimResult"}, "names no Class"),
        ({"result_cls": "sims.py:Labelled"}, "holds str, not 1"),
        ({"target": "sims.py:asks_for_nothing"}, "it takes no result_file"),
        ({"target": None, "command": ["true", "{params_json}"]}, "has no {result_file}"),
        ({"result_cls": None, "results_dir": None}, "needs a cache, and the manifest has none"),
        ({"file_suffix": "/../x"}, "not the end of a file's name"),
        ({"use_cache": "yes"}, "Write true or false"),
        ({"results_dir": 5}, "not a line of text"),
        ({"custom_data": [1]}, "not a mapping"),
        ({"db_url": "sqlite://"}, "names no database"),
        ({"db_url": "postgresql://me:hunter2@db/x"}, "holds a password"),
    ],
)
def test_mistakes_that_submit_refuses_before_sending(
    near: Place, keys: dict[str, Any], says: str
) -> None:
    near.write(**keys)
    done = near.hpcsweep("submit", "manifest.json")
    assert done.returncode in (3, 4), done.stdout
    assert says in re.sub(r"\s+", " ", done.stderr)
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    assert not (near.root / "outputs").exists()
    left = {path.name for path in near.root.iterdir()}
    assert left - {"__pycache__"} == {"manifest.json", "sims.py"}
