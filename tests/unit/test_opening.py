"""`hs.open`: results of sweeps, archives and other libraries as one table."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import hpcsweep as hs
from hpcsweep.errors import Damaged, InputError, SweepError
from hpcsweep.sources import grid
from tests.support.sweeps import MadeSweep

ENTROPIC = """\
CREATE TABLE results (n INTEGER NOT NULL, dt FLOAT, id VARCHAR NOT NULL PRIMARY KEY,
result_file VARCHAR NOT NULL, created_at DATETIME NOT NULL, custom_data JSON NOT NULL)
"""


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def notata_run(path: Path, status: str, params: str, metrics: Any = None, **meta: Any) -> None:
    """A run directory as notata 0.3 writes it."""
    write(path / "metadata.json", {"run_id": path.name, "status": status, **meta})
    write(path / "params.yaml", params)
    if metrics is not None:
        write(path / "artifacts/metrics.json", metrics)


@pytest.fixture
def notata(tmp_path: Path) -> Path:
    runs = tmp_path / "tried" / "runs"
    notata_run(runs / "log_b", "complete", "omega: 2.0\n", {"energy": 2.0})
    notata_run(runs / "log_a", "failed", "omega: 1.0\n", failure_reason="no good")
    # What `yaml.dump` made of a numpy scalar.
    tag = "omega: !!python/object/apply:numpy._core.multiarray.scalar []\n"
    notata_run(runs / "log_c", "complete", tag, {"energy": 9})
    return runs.parent


@pytest.fixture
def metalab(tmp_path: Path) -> Path:
    for name, status in (("one", "success"), ("two", "failed"), ("three", "odd")):
        record = {
            "run_id": name,
            "experiment_id": "e:1",
            "status": status,
            "params_resolved": {"x": len(name), "opt": {"lr": 0.5}},
            "metrics": {"loss": 0.25} if status == "success" else {},
            "started_at": "2026-02-01T00:00:00",
            "error": {"type": "E", "message": "no luck"} if status == "failed" else None,
        }
        write(tmp_path / "experiments" / "e_1" / "runs" / f"{name}.json", record)
    write(tmp_path / "experiments" / "e_1" / "runs" / "torn.json", '{"run_id": ')
    return tmp_path / "experiments"


@pytest.fixture
def entropic(tmp_path: Path) -> Path:
    path = tmp_path / "results.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute(ENTROPIC)
        connection.execute("CREATE TABLE other (id INTEGER)")
        for n in (2, 1):
            row = (n, None if n == 1 else 0.5, f"id{n}", f"{n}.h5", f"2026-01-0{n}", '{"s": 0.5}')
            connection.execute("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.close()
    return path


def test_a_sweep_and_its_archive_are_sweeps(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]))
    made.plan()
    made.handed_in()
    made.run()
    sweep = hs.open(made.path)
    assert isinstance(sweep, hs.Sweep)
    assert [row["x"] for row in sweep.query()] == [1, 2]
    archived = hs.open(sweep.archive(tmp_path / "s.tar"))
    assert archived.query(columns=["x"]) == [{"x": 1}, {"x": 2}]


def test_runs_of_notata(notata: Path) -> None:
    results = hs.open(notata)
    assert repr(results) == f"<OtherResults in {notata}: 2 complete, 1 failed of 3>"
    columns = ["index", "run_id", "status", "omega", "energy", "error"]
    assert results.query(columns=columns) == [
        {"index": 0, "run_id": "a", "status": "failed", "omega": 1.0, "error": "no good"},
        {"index": 1, "run_id": "b", "status": "complete", "omega": 2.0, "energy": 2.0},
        {"index": 2, "run_id": "c", "status": "complete", "energy": 9},
    ]
    assert hs.open(notata / "runs" / "log_b").query(columns=["energy"]) == [{"energy": 2.0}]
    # A directory of runs without an experiment.
    assert len(hs.open(notata / "runs").query()) == 3


def test_records_of_metalab(metalab: Path) -> None:
    results = hs.open(metalab)
    rows = {row["run_id"]: row for row in results.query()}
    assert {name: row["status"] for name, row in rows.items()} == {
        "one": "complete",
        "two": "failed",
        "three": "unknown",
        "torn": "unknown",
    }
    assert (rows["one"]["x"], rows["one"]["opt.lr"], rows["one"]["loss"]) == (3, 0.5, 0.25)
    assert rows["one"]["group"] == "e:1"
    assert rows["two"]["error"] == "no luck"
    assert "is damaged" in rows["torn"]["error"]
    assert len(hs.open(metalab / "e_1").query()) == 4


def test_results_of_entropic(entropic: Path, tmp_path: Path) -> None:
    columns = ["run_id", "group", "n", "dt", "s", "path"]
    assert hs.open(entropic).query(columns=columns) == [
        {"run_id": "id1", "group": "results", "n": 1, "dt": None, "s": 0.5, "path": "1.h5"},
        {"run_id": "id2", "group": "results", "n": 2, "dt": 0.5, "s": 0.5, "path": "2.h5"},
    ]
    record = {"n": 3, "params_hash": "h", "result_path": "r.h5", "created_at": "2026"}
    write(tmp_path / "old" / "entropic.json", {"_default": {"1": record | {"metadata": {"s": 1}}}})
    assert hs.open(tmp_path / "old").query(columns=["n", "s"]) == [{"n": 3, "s": 1}]


def test_a_table_is_selected_ordered_and_put_together(metalab: Path) -> None:
    results = hs.open(metalab)
    found = results.query("x == 3 and loss < 1", columns=["run_id", "x"])
    assert found == [{"run_id": "one", "x": 3}]
    assert [row["run_id"] for row in results.query(sort=["x"], desc=True, limit=1)] == ["three"]
    assert [row["run_id"] for row in results.query(status="failed")] == ["two"]
    assert [row["index"] for row in results.query(cases="0,2-3")] == [0, 2, 3]
    assert [row["run_id"] for row in results.query(cases=["tor"])] == ["torn"]
    assert results.query(group_by=["x"], stats=["mean"], notify=None) == [
        {"x": 3, "loss_mean": 0.25}
    ]
    frame = results.to_dataframe(columns=["x", "loss"], limit=2)
    assert list(frame.columns) == ["x", "loss"]
    assert results.to_arrow(columns=["x"]).num_rows == 4
    assert results.query(sql="SELECT count(*) AS n FROM cases WHERE x = 3") == [{"n": 2}]


def test_what_other_results_do_not_have(metalab: Path) -> None:
    results = hs.open(metalab)
    for arguments in ({"attempts": True}, {"last": 1}):
        with pytest.raises(InputError, match="neither attempts nor submissions"):
            results.query(**arguments)
    with pytest.raises(InputError, match="'y' is not a column"):
        results.query("y < 1")
    with pytest.raises(InputError, match="'y' is not a column"):
        results.query(columns=["y"])


def test_a_damaged_run_is_a_row_that_says_so(tmp_path: Path) -> None:
    for name, text in (("torn", '{"status": '), ("list", "[1]"), ("bytes", "\udcff")):
        path = tmp_path / "runs" / f"log_{name}" / "metadata.json"
        path.parent.mkdir(parents=True)
        path.write_text(text, errors="surrogateescape")
    notata_run(tmp_path / "runs" / "log_good", "complete", "x: 1\n")
    rows = hs.open(tmp_path).query(columns=["run_id", "status", "error"])
    assert {row["run_id"]: row["status"] for row in rows} == {
        "bytes": "unknown",
        "good": "complete",
        "list": "unknown",
        "torn": "unknown",
    }
    assert all("metadata.json" in row["error"] for row in rows if row["run_id"] != "good")


def test_records_of_other_types_are_rows_that_say_so(tmp_path: Path) -> None:
    runs = tmp_path / "e" / "runs"
    write(runs / "a.json", [])
    write(runs / "b.json", {"run_id": "b", "status": [], "metrics": 7})
    rows = hs.open(tmp_path).query(columns=["run_id", "status", "error"])
    assert [row["run_id"] for row in rows] == ["a", "b"]
    assert {row["error"] for row in rows} == {
        "is damaged: a value of its record has another type than metalab writes"
    }


def test_a_damaged_file_beside_the_sweep_of_a_project(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("// a comment\n{}")
    with pytest.raises(Damaged, match=r"settings\.json: is damaged"):
        hs.open(tmp_path)
    made = MadeSweep(tmp_path, grid(x=[1, 2]))
    made.plan()
    (tmp_path / "outputs").mkdir()
    made.path.rename(tmp_path / "outputs" / made.path.name)
    assert isinstance(hs.open(tmp_path), hs.Sweep)


def test_a_path_without_results_is_an_error(tmp_path: Path, entropic: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SweepError):
        hs.open(tmp_path / "empty")
    with pytest.raises(SweepError):
        hs.open("never-submitted")
    for name in ("notes.txt", "foreign.tar", "x.npz"):
        (tmp_path / name).write_bytes(b"no results")
        with pytest.raises(SweepError, match=f"{name}: has no results that are known"):
            hs.open(tmp_path / name)
    # Python 3.14 says of such a name that there is no file.
    with pytest.raises(SweepError, match=r"File name too long|there is no sweep"):
        hs.open("x" * 300)
    entropic.write_bytes(entropic.read_bytes()[:100])
    with pytest.raises(Damaged, match="cannot be read"):
        hs.open(entropic)
