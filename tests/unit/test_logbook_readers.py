"""The readers: what was written comes back, wherever the layout keeps it."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcsweep import Experiment, ExperimentReader, Logbook, LogReader
from hpcsweep.errors import Damaged, ExtraMissing, InputError, RunMissing, SweepError
from hpcsweep.logbook.parameters import parse_yaml


def test_a_reader_returns_what_was_written(tmp_path: Path) -> None:
    with Logbook("my_log_run", tmp_path, params={"omega": 1.0, "name": "on"}) as log:
        log.array("deep/a", [1, 2])
        log.array("a", [3])
        log.array("odd:name", [4])
        log.arrays("b:undle", **{"k:ey": [5], "k": [6]})
        log.json("metrics", {"x": 1})
        log.json("deep/config", {"y": 2})
        log.metric("loss", 0.5, step=1)
        log["plots/deep/line.png"].write_bytes(b"PNG")
    run = LogReader(log.path)
    assert run.run_id == "my_log_run"
    assert run.status == run.meta["status"] == "complete"
    assert run.params == {"omega": 1.0, "name": "on"}
    assert run.metrics == run.load_json("metrics") == {"x": 1}
    assert run.load_json("deep/config.json") == {"y": 2}
    assert run.load_json("none") == {}
    assert run.steps == [("loss", 1, 0.5)]
    assert run.arrays == ["a", "b:undle:k", "b:undle:k:ey", "deep/a", "odd:name"]
    assert [run.load_array(name).tolist() for name in run.arrays] == [[3], [6], [5], [1, 2], [4]]
    assert run.artifacts == ["deep/config.json", "metrics.json", "metrics_steps.csv"]
    assert run.plots == ["deep/line.png"]
    assert run.read("plots/deep/line.png") == b"PNG"
    text = str(run).splitlines()
    assert text[:3] == [
        "<LogReader 'my_log_run'>",
        "  params: name=on, omega=1.0",
        "  meta: status=complete",
    ]
    assert "  arrays:" in text
    assert "    - deep/a" in text


def test_missing_runs_and_values(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogReader(tmp_path / "none")
    with pytest.raises(ValueError, match="no metadata"):
        LogReader(tmp_path)
    with Logbook("a", tmp_path) as log:
        log.arrays("b", k=[1])
    run = LogReader(log.path)
    with pytest.raises(RunMissing):
        run.load_array("none")
    with pytest.raises(KeyError):
        run.load_array("b:none")
    with pytest.raises(RunMissing):
        run.read("artifacts/none")
    with pytest.raises(SweepError, match="would leave"):
        run.read("../x")


def test_an_archive_lists_only_what_can_be_loaded(tmp_path: Path) -> None:
    """A damaged central directory may name a member that is no array."""
    with Logbook("a", tmp_path) as log, zipfile.ZipFile(log["data/b.npz"], "w") as archive:
        with archive.open("k.npy", "w") as member:
            np.save(member, np.arange(3))
        archive.writestr("k.np{", b"")
    run = LogReader(log.path)
    assert run.arrays == ["b:k"]
    assert [list(run.load_array(name)) for name in run.arrays] == [[0, 1, 2]]


def test_damage_is_reported(tmp_path: Path) -> None:
    with Logbook("a", tmp_path) as log:
        log.json("metrics", {})
    (log["data/x.npz"]).write_text("no archive")
    np.save(log["data/o.npy"], np.array([object()]), allow_pickle=True)
    (log.path / ".123.4").write_text("left by a kill")
    (log.artifactsdir / "metrics.json").write_text("{")
    run = LogReader(log.path)
    assert run.arrays == ["o"]
    with pytest.raises(InputError, match="cannot be read"):
        run.load_array("o")
    with pytest.raises(SweepError, match="is damaged"):
        run.load_json("metrics")
    assert ".123.4" not in run.files.names()


def test_yaml_of_others_is_read() -> None:
    assert parse_yaml(b"a: 1e-3\nb: on\nc: [1, x]\nd:\n  e: null\n") == {
        "a": 1e-3,
        "b": "on",
        "c": [1, "x"],
        "d": {"e": None},
    }
    assert parse_yaml(b"") == {}
    assert parse_yaml(b"{}\n") == {}
    for bad in (b"a: !!python/object:os.system 1\n", b"- 1\n", b"a: 1\na: 2\n"):
        with pytest.raises(InputError):
            parse_yaml(bad)


# --- many runs -----------------------------------------------------------------------------------


@pytest.fixture
def exp(tmp_path: Path) -> Experiment:
    exp = Experiment("e", tmp_path)
    for x in (10, 1, 2):  # not in the order of readers
        log = exp.add(x=x)
        assert log is not None
        log.json("metrics", {"y": x * 2})
        log.mark_complete()
    return exp


def test_runs_by_id_and_by_number(exp: Experiment) -> None:
    reader = ExperimentReader(exp.exp_dir)
    assert len(reader) == 3
    assert reader.ids == ["e_x_1", "e_x_2", "e_x_10"]
    assert [run.params["x"] for run in reader] == [1, 2, 10]
    assert reader[2].run_id == reader["e_x_10"].run_id == "e_x_10"
    assert reader.params["e_x_2"] == {"x": 2}
    assert reader.meta["e_x_2"]["status"] == "complete"
    assert reader.metrics["e_x_2"] == {"y": 4}
    assert "e_x_2" in reader
    assert reader.index_path == exp.index_file
    assert [row["y"] for row in reader.index()] == ["20", "2", "4"]
    assert reader.to_dataframe()["y"].tolist() == [2, 4, 20]
    for wrong, error in ((3, IndexError), (-1, IndexError), ("none", KeyError), (1.5, TypeError)):
        with pytest.raises(error):
            reader[wrong]  # type: ignore[index]
    for outside in ("../e", "..", "x/../../../e", "x" * 5000, "\0"):
        with pytest.raises(KeyError):
            reader[outside]


def test_a_damaged_run_does_not_affect_others(exp: Experiment) -> None:
    (exp.runs_dir / "log_e_x_2" / "metadata.json").write_text("{")
    (exp.runs_dir / "log_empty").mkdir()
    reader = ExperimentReader(exp.exp_dir)
    assert reader.meta["e_x_2"] == {}
    assert reader.meta["e_x_1"]["status"] == "complete"
    assert "- e_x_2: unknown" in str(reader)
    assert "- e_x_10: complete" in str(reader)


@pytest.mark.parametrize("pid", ["12", 10**30, None, [1]])
def test_an_invalid_process_is_not_alive(exp: Experiment, pid: object) -> None:
    path = exp.runs_dir / "log_e_x_2" / "metadata.json"
    found = json.loads(path.read_text()) | {"status": "initialized", "pid": pid}
    path.write_text(json.dumps(found))
    os.utime(path, (0, 0))
    os.utime(path.with_name("log.txt"), (0, 0))
    os.utime(path.parent, (0, 0))
    assert ExperimentReader(exp.exp_dir)["e_x_2"].status == "interrupted"


def test_a_run_by_its_id_touches_no_other(exp: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[str] = []
    for name in ("open", "stat", "scandir", "listdir"):
        real = getattr(os, name)

        def noted(path: Any = ".", *rest: Any, real: Any = real, **more: Any) -> Any:
            touched.append(str(path))
            return real(path, *rest, **more)

        monkeypatch.setattr(os, name, noted)
    assert ExperimentReader(exp.exp_dir)["e_x_10"].params == {"x": 10}
    assert [path for path in touched if "log_e_x_" in path and "log_e_x_10" not in path] == []
    assert 0 < len(touched) < 20


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ExperimentReader(tmp_path)
    (tmp_path / "runs").mkdir()
    reader = ExperimentReader(tmp_path)
    assert (len(reader), list(reader), list(reader.index())) == (0, [], [])
    assert str(reader).splitlines() == [
        f"<ExperimentReader '{tmp_path.name}'>",
        "Index file: index.csv with 0 entries",
        "Fields: (missing)",
        "Runs directory: runs with 0 runs",
    ]


def test_an_index_of_others_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "runs" / "log_1").mkdir(parents=True)
    (tmp_path / "runs" / "log_1" / "metadata.json").write_text(json.dumps({"status": "failed"}))
    (tmp_path / "index.csv").write_text("run_id,status\n1,complete\n")
    reader = ExperimentReader(tmp_path)
    assert list(reader.index()) == [{"run_id": "1", "status": "complete"}]
    assert "Fields: run_id, status" in str(reader)
    # A quote that nothing ends, and more than the csv module takes as one value.
    (tmp_path / "index.csv").write_text('"' + "run_id,status\n" * 10_000)
    for look in (lambda: list(reader.index()), lambda: str(reader)):
        with pytest.raises(Damaged, match=r"index\.csv"):
            look()


def test_steps_with_a_quote_that_nothing_ends(tmp_path: Path) -> None:
    with Logbook("a", tmp_path) as log:
        log.metric("loss", 0.5, step=1)
    (steps,) = log.path.rglob("*.csv")
    with steps.open("a") as stream:
        stream.write('"' + "loss,2,0.5\n" * 15_000)
    with pytest.raises(Damaged, match=steps.name):
        _ = LogReader(log.path).steps


def test_a_built_in_that_programs_expect_is_raised(tmp_path: Path) -> None:
    """Programs written for the ancestors catch Python's own exceptions by these names."""
    log = Logbook("a", tmp_path)
    log.arrays("both", x=np.zeros(1))
    runs = Experiment("e", tmp_path)
    runs.add(x=1)
    (tmp_path / "log_none").mkdir()
    calls: dict[Any, type[Exception]] = {
        lambda: Logbook("a", tmp_path): FileExistsError,
        lambda: runs.add(x=1): FileExistsError,
        lambda: log.params(ext="toml"): ValueError,
        lambda: LogReader(tmp_path / "absent"): FileNotFoundError,
        lambda: LogReader(tmp_path / "log_none"): ValueError,
        lambda: LogReader(log.path).load_array("absent"): FileNotFoundError,
        lambda: LogReader(log.path).load_array("both:y"): KeyError,
        lambda: ExperimentReader(tmp_path / "log_none"): FileNotFoundError,
        lambda: ExperimentReader(runs.exp_dir)["absent"]: KeyError,
        lambda: ExperimentReader(runs.exp_dir)[7]: IndexError,
        lambda: ExperimentReader(runs.exp_dir)[1.5]: TypeError,  # type: ignore[index]
        lambda: runs.select(absent=1): KeyError,
    }
    for call, expected in calls.items():
        with pytest.raises(expected):
            call()
    # matplotlib and pandas that are not installed: RuntimeError and ImportError.
    assert issubclass(ExtraMissing, RuntimeError)
    assert issubclass(ExtraMissing, ImportError)
