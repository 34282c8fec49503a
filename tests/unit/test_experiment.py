"""An experiment: one run per set of params, and an index that says what the runs say."""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcsweep import Experiment, ExperimentReader, Logbook
from hpcsweep.errors import IdentityError, InputError, RunExists
from hpcsweep.files import names
from hpcsweep.logbook.experiment.index import Index
from tests.support.experiments import FORK, added, exp, together
from tests.support.fixtures import Scale
from tests.support.wait import wait_until

__all__ = ["exp"]


def table(exp: Experiment) -> list[dict[str, str]]:
    with exp.refresh().open(newline="") as stream:
        return list(csv.DictReader(stream))


# --- ids -----------------------------------------------------------------------------------------


def test_ids_are_readable(exp: Experiment) -> None:
    log = added(exp, omega=1.0, dt=1e-3, steps=10_000, method="velocity verlet", path="a/b")
    assert log.run_id == "e_dt_0.001_method_velocity_verlet_omega_1_path_a_b_steps_10000"
    assert log.path == exp.runs_dir / f"log_{log.run_id}"
    # All that a file's name can hold stays, as it was with the ancestor.
    assert added(exp, glob="a*?", by="σ ~ 1", line="a\nb").run_id == "e_by_σ_~_1_glob_a*?_line_a_b"


def test_the_name_of_an_experiment_begins_its_ids(tmp_path: Path) -> None:
    assert added(Experiment("my sweep", tmp_path), x=1).run_id == "my sweep_x_1"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"x": 1.0000001}, {"x": 1.0000002}),
        ({"x": 1}, {"x": "1"}),
        ({"x": 123456.0}, {"x": 123456.4}),
        ({"x": "a/b"}, {"x": "a b"}),
        ({"a": "1_b_2"}, {"a": "1", "b": 2}),
        ({"x": True}, {"x": "True"}),
    ],
)
def test_a_hash_follows_only_where_other_params_have_the_id(
    exp: Experiment, first: dict[str, Any], second: dict[str, Any]
) -> None:
    one, two = added(exp, **first), added(exp, **second)
    assert two.run_id.startswith(f"{one.run_id}-")
    assert (dict(one.params), dict(two.params)) == (first, second)
    for log in (one, two):
        log.mark_complete()
    assert exp.add(skip_existing=True, **first) is None
    assert exp.add(skip_existing=True, **second) is None
    assert len(exp.to_dataframe()) == 2


def test_equal_params_are_one_run(exp: Experiment) -> None:
    added(exp, x=1, y=0.0).mark_complete()
    for same in ({"x": 1.0, "y": 0}, {"y": -0.0, "x": np.int64(1)}):
        with pytest.raises(FileExistsError):
            exp.add(**same)


def test_long_values_have_an_id(exp: Experiment) -> None:
    for letter in "aσ😀":
        one, two = added(exp, x=letter * 300), added(exp, x=letter * 301)
        assert one.run_id != two.run_id
        assert len(one.path.name.encode()) < 255


def test_params_of_any_name(exp: Experiment) -> None:
    log = added(exp, self=1, ext="png", name="n", run_id="r", status="s")
    log.json("metrics", {"self": 2, "run_id": 3, "energy": 4})
    log.mark_complete()
    other = exp.add_params({"skip_existing": True, "with space": 1})
    assert other is not None
    assert dict(other.params) == {"skip_existing": True, "with space": 1}
    (row,) = [row for row in table(exp) if row["run_id"] == log.run_id]
    wanted = {
        "self": "1",
        "ext": "png",
        "name": "n",
        "param.run_id": "r",
        "param.status": "s",
        "status": "complete",
        "metric.self": "2",
        "metric.run_id": "3",
        "energy": "4",
    }
    assert wanted.items() <= row.items()


def test_numpy_values_are_params(exp: Experiment) -> None:
    for x in np.linspace(0, 1, 3):
        added(exp, x=x).mark_complete()
    assert exp.to_dataframe()["x"].tolist() == [0.0, 0.5, 1.0]
    assert exp.add(skip_existing=True, x=0.5) is None


@pytest.mark.parametrize("value", [math.nan, object(), {1, 2}])
def test_params_without_identity_are_refused(exp: Experiment, value: Any) -> None:
    with pytest.raises((IdentityError, InputError)):
        exp.add(x=value)
    assert names(exp.runs_dir) == []


@pytest.mark.parametrize("name", ["../x", "a\nb", "", "x" * 300])
def test_invalid_names(tmp_path: Path, name: str) -> None:
    with pytest.raises((InputError, OSError, Exception), match=r"directory|name"):
        Experiment(name, tmp_path)
    assert names(tmp_path) == []


# --- again ---------------------------------------------------------------------------------------


def test_a_complete_run_and_a_running_one_are_left_alone(exp: Experiment) -> None:
    log = added(exp, x=1)
    with pytest.raises(RunExists):
        exp.add(x=1)
    assert exp.add(x=1, skip_existing=True) is None
    log.mark_complete()
    with pytest.raises(RunExists):
        exp.add(x=1)
    assert exp.add(x=1, skip_existing=True) is None


def test_a_failed_run_begins_again(exp: Experiment) -> None:
    log = added(exp, x=1)
    log.array("stale", [1])
    log.mark_failed("bad")
    again = exp.add(x=1, skip_existing=True)
    assert again is not None
    assert again.path == log.path
    assert not (again.datadir / "stale.npy").exists()
    with again:
        again.json("metrics", {"y": 1})
    frame = exp.to_dataframe()
    assert frame["status"].tolist() == ["complete"]
    (kept,) = (exp.runs_dir / ".attempts").iterdir()
    assert (kept / "data" / "stale.npy").exists()


def test_a_frame_takes_numbers_of_any_size(exp: Experiment) -> None:
    for x, metrics in enumerate(({"y": 2**70}, {})):
        with added(exp, x=x) as log:
            log.json("metrics", metrics)
    assert exp.to_dataframe()["y"].tolist() == [2**70, None]


KILLED = """
import sys, time
from hpcsweep import Experiment
exp = Experiment("e", sys.argv[1])
exp.add(x=0).mark_complete()
log = exp.add(x=1)
log.json("metrics", {"y": 1})
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_was_ended_has_its_row_and_begins_again(
    exp: Experiment, tmp_path: Path, number: signal.Signals
) -> None:
    argv = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        assert exp.to_dataframe()["status"].tolist() == ["complete", "initialized"]
        assert exp.add(x=1, skip_existing=True) is None
        process.send_signal(number)
    if number == signal.SIGTERM:
        assert ",interrupted," in exp.index_file.read_text()
    assert ExperimentReader(exp.exp_dir)["e_x_1"].status == "interrupted"
    frame = exp.to_dataframe()
    assert frame["status"].tolist() == ["complete", "interrupted"]
    assert frame["y"].tolist()[1] == 1
    assert exp.add(x=1, skip_existing=True) is not None


def test_a_run_that_another_process_restarted_is_left_alone(
    exp: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(exp, x=1).mark_failed("bad")
    theirs: list[Logbook] = []
    real = exp._set_aside  # noqa: SLF001  # between a look at a run and its move

    def somebody_is_quicker(path: Path) -> None:
        if not theirs:
            theirs.append(added(Experiment("e", tmp_path), x=1))
        real(path)

    monkeypatch.setattr(exp, "_set_aside", somebody_is_quicker)
    assert exp.add(x=1, skip_existing=True) is None
    theirs[0].mark_complete()
    assert exp.to_dataframe()["status"].tolist() == ["complete"]


def test_a_run_that_is_being_made_is_left_alone(
    exp: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exp.runs_dir / "log_e_x_1"

    def meanwhile_made(*_: object) -> str:
        path.mkdir()
        return "interrupted"  # as of the metadata that was not there yet

    monkeypatch.setattr("hpcsweep.logbook.experiment.writer.run_status", meanwhile_made)
    exp._set_aside(path)  # noqa: SLF001
    path.mkdir(exist_ok=True)
    assert names(exp.runs_dir / ".attempts") == []


def test_one_of_many_processes_restarts_a_run(exp: Experiment, scale: Scale) -> None:
    rounds, barrier = scale(20, 200), FORK.Barrier(4)
    for x in range(rounds):
        added(exp, x=x).mark_failed("bad")
    won = exp.exp_dir / "won"

    def add(_: int) -> None:
        for x in range(rounds):
            barrier.wait(60)
            log = exp.add(skip_existing=True, x=x)
            if log is not None:
                with won.open("a") as stream:
                    stream.write(f"{x}\n")
                log.mark_complete()

    together(add, 4)
    assert sorted(map(int, won.read_text().split())) == list(range(rounds))
    frame = exp.to_dataframe()
    assert sorted(frame["run_id"]) == sorted(f"e_x_{x}" for x in range(rounds))
    assert set(frame["status"]) == {"complete"}


def test_a_directory_whose_maker_died_at_once_is_taken(exp: Experiment) -> None:
    path = exp.runs_dir / "log_e_x_1"
    path.mkdir()
    os.utime(path, (0, 0))
    assert exp.add(x=1) is not None


def test_checkpoints_survive(exp: Experiment) -> None:
    log = added(exp, x=1)
    log.checkpoint.save({"step": 3})
    log.mark_failed("bad")
    assert added(exp, x=1).checkpoint.load() == {"step": 3}
    assert (exp.exp_dir / "checkpoints" / "e_x_1" / "state.checkpoint").exists()
    added(exp, x=2).mark_complete()  # without one
    assert names(exp.exp_dir / "checkpoints") == ["e_x_1"]


def test_one_of_many_processes_gets_a_run(exp: Experiment, scale: Scale) -> None:
    rounds, barrier = scale(10, 100), FORK.Barrier(4)

    def add(number: int) -> None:
        for x in range(rounds):
            barrier.wait(60)
            # Two sets of params with one readable id, at the same moment.
            log = exp.add(skip_existing=True, x=1.0 + x + 1e-9 * (number % 2))
            if log is not None:
                log.json("metrics", {"by": number})
                log.mark_complete()

    together(add, 4)
    frame = exp.to_dataframe()
    assert sorted(frame["x"]) == sorted(1.0 + x + 1e-9 * y for x in range(rounds) for y in (0, 1))
    assert set(frame["status"]) == {"complete"}
    text = exp.index_file.read_text().splitlines()
    assert len(text) == 2 * rounds + 1
    assert sum(line.startswith("run_id,") for line in text) == 1


def test_one_header_whoever_begins(tmp_path: Path, scale: Scale) -> None:
    barrier, rounds = FORK.Barrier(8), scale(20, 60)

    def begin(number: int) -> None:
        for one in range(rounds):
            log = added(Experiment(f"e{one}", tmp_path), x=number)
            barrier.wait(60)
            log.mark_complete()

    together(begin, 8)
    for one in range(rounds):
        assert len(Experiment(f"e{one}", tmp_path).to_dataframe()) == 8
        with (tmp_path / f"e{one}" / "index.csv").open(newline="") as stream:
            lines = list(csv.reader(stream))
        assert [line[0] for line in lines].count("run_id") == 1
        assert len(lines) == 9


# --- the index -----------------------------------------------------------------------------------


def test_a_run_reports_its_own_status(exp: Experiment) -> None:
    added(exp, x=1).mark_complete()  # the ancestor called it missing
    failed = added(exp, x=2)
    failed.json("metrics", {"y": 2})  # and this one complete
    failed.mark_failed("diverged,\nat once")
    added(exp, x=3)
    damaged = added(exp, x=4)
    damaged.text("note", "")
    (damaged.artifactsdir / "metrics.json").write_text("{not json")
    exp.record(damaged)
    early = added(exp, x=5)
    exp.record(early)
    rows = {row["x"]: row for row in table(exp)}
    assert [(row["status"], row["metrics_status"]) for row in rows.values()] == [
        ("complete", "missing"),
        ("failed", "complete"),
        ("initialized", ""),
        ("error", "error"),
        ("missing", "missing"),
    ]
    assert rows["2"]["failure_reason"] == "diverged,\nat once"
    assert "not JSON" in rows["4"]["error_reason"]


def test_columns_are_the_union(exp: Experiment) -> None:
    for params, metrics in (({"a": 1}, {"loss": 0.5}), ({"b": 99}, {"acc": 0.9, "n": 3})):
        log = added(exp, **params)
        log.json("metrics", metrics)
        log.mark_complete()
    rows = table(exp)
    assert list(rows[0]) == ["run_id", "a", "b", "status", "metrics_status", "acc", "loss", "n"]
    assert [(row["a"], row["b"], row["loss"], row["acc"]) for row in rows] == [
        ("1", "", "0.5", ""),
        ("", "99", "", "0.9"),
    ]
    frame = exp.to_dataframe()
    assert frame["b"].tolist()[1] == 99
    assert str(frame["b"].dtype) == "Int64"


def test_one_row_per_run_after_several_ends(exp: Experiment) -> None:
    log = added(exp, x=1)
    log.mark_complete()
    log.mark_complete()
    with pytest.raises(ZeroDivisionError), log:
        raise ZeroDivisionError
    assert [row["status"] for row in table(exp)] == ["failed"]


def test_types_survive(exp: Experiment) -> None:
    given = {"a": "001", "b": None, "c": 0.1 + 0.2, "d": True, "e": [1, 2], "f": "nan", "g": 10**20}
    log = added(exp, **given)
    log.mark_complete()
    frame = exp.to_dataframe()
    assert {name: frame.iloc[0][name] for name in given} == given
    for name, value in given.items():
        if not isinstance(value, list):
            assert len(exp.select(**{name: value})) == 1, name
    assert len(exp.select(a=1)) == 0
    assert len(exp.select(c=0.3)) == 1
    assert len(exp.select(c=0.3000001)) == 0
    assert len(exp.select(g=1e20)) == 1
    assert len(exp.select(b=0.0)) == len(exp.select(a=1.0)) == 0
    assert len(exp.select(e=(1, 2))) == len(exp.select(e=np.array([1, 2]))) == 1
    assert len(exp.select(e=[1, 3])) == 0
    with pytest.raises(KeyError):
        exp.select(nothing=1)


def test_a_table_is_read_as_it_was_written(exp: Experiment) -> None:
    given = {"cr": "a\rb", "lf": "a\n", "quote": 'a"b,', "large": 2**70, "self": 1}
    log = added(exp, **given)
    log.mark_complete()
    added(exp, x=1).mark_complete()
    (row, _) = table(exp)
    assert {name: row[name] for name in given} == {name: str(one) for name, one in given.items()}
    frame = exp.to_dataframe()
    assert {name: frame[name].tolist()[0] for name in given} == given
    assert len(exp.select(large=2**70)) == len(exp.select(self=1)) == 1


def test_an_experiment_that_may_not_be_written_is_read(
    exp: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(exp, x=1).mark_complete()
    refused: list[str] = []
    real = os.open

    def may_not(path: str, flags: int, *rest: int, **options: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR) and str(path).startswith(str(exp.exp_dir)):
            refused.append(str(path))
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", may_not)
    reader = ExperimentReader(exp.exp_dir)
    assert [row["x"] for row in reader.index()] == ["1"]
    assert "Fields: run_id, x, status" in str(reader)
    assert Experiment("e", exp.exp_dir.parent).to_dataframe()["x"].tolist() == [1]
    assert refused


def test_the_program_may_change_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exp = Experiment("e")
    log = added(exp, x=1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    log.json("metrics", {"y": 1})
    log.mark_complete()
    added(exp, x=2).mark_complete()
    assert names(tmp_path / "elsewhere") == []
    assert exp.to_dataframe()["status"].tolist() == ["complete", "complete"]


def test_no_runs_are_an_empty_frame(exp: Experiment) -> None:
    assert exp.to_dataframe().empty


def test_earlier_runs_are_adopted(tmp_path: Path) -> None:
    path = tmp_path / "e" / "runs" / "log_e_x_1"
    (path / "artifacts").mkdir(parents=True)
    (path / "params.yaml").write_text("x: 1\n")
    (path / "metadata.json").write_text('{"status": "complete", "run_id": "e_x_1"}')
    (path / "artifacts" / "metrics.json").write_text('{"y": 2}')
    (tmp_path / "e" / "index.csv").write_text("run_id,x,status,y\ne_x_1,1,complete,2\n")
    exp = Experiment("e", tmp_path)
    added(exp, x=2).mark_complete()
    assert [(row["x"], row["status"]) for row in table(exp)] == [
        ("1", "complete"),
        ("2", "complete"),
    ]


def test_runs_without_marks_have_rows(exp: Experiment) -> None:
    added(exp, x=2).mark_complete()
    with Logbook("by hand", exp.runs_dir, params={"x": 1}) as log:
        log.metric("y", 3)
    damaged = Logbook("damaged", exp.runs_dir)
    (damaged.path / "params.yaml").write_bytes(b"\xff")
    damaged.mark_failed("bad")
    rows = {row["run_id"]: (row["x"], row["status"], row["y"]) for row in table(exp)}
    assert rows == {
        "by hand": ("1", "complete", "3"),
        "damaged": ("", "failed", ""),
        "e_x_2": ("2", "complete", ""),
    }


def test_rows_of_removed_runs_go(exp: Experiment) -> None:
    log = added(exp, x=1)
    log.mark_complete()
    log.path.rename(exp.exp_dir / "elsewhere")
    assert table(exp) == []


def test_a_torn_mark_is_skipped(exp: Experiment) -> None:
    added(exp, x=1).mark_complete()
    (marks,) = [one for one in (exp.exp_dir / ".index").iterdir() if one.suffix == ".jsonl"]
    torn = marks.with_name("other.jsonl")
    torn.write_bytes(marks.read_bytes()[:-40] + b"\n" + marks.read_bytes()[:30])
    assert [row["status"] for row in table(exp)] == ["complete"]


def test_the_index_is_not_made_again_for_every_mark(
    exp: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Index] = []
    real = Index.refresh

    def refresh(index: Index, *args: Any, **how: Any) -> Any:
        made.append(index)
        return real(index, *args, **how)

    monkeypatch.setattr(Index, "refresh", refresh)
    for x in range(20):
        added(exp, x=x).mark_complete()
    assert len(made) <= 2
    assert len(exp.to_dataframe()) == 20


def test_the_end_of_a_process_makes_the_index(tmp_path: Path) -> None:
    script = (
        "import sys; from hpcsweep import Experiment; exp = Experiment('e', sys.argv[1])\n"
        "for x in range(5): exp.add(x=x).mark_complete()\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    assert len((tmp_path / "e" / "index.csv").read_text().splitlines()) == 6


def test_readers_never_see_half_an_index(exp: Experiment, scale: Scale) -> None:
    def add() -> None:
        for x in range(scale(100, 400)):
            log = added(exp, x=x)
            log.json("metrics", {f"m{x % 7}": x})
            log.mark_complete()
            exp.refresh()

    process = FORK.Process(target=add)
    process.start()
    seen = 0

    def over() -> bool:
        nonlocal seen
        if exp.index_file.exists():
            with exp.index_file.open(newline="") as stream:
                rows = list(csv.reader(stream))
            assert len({len(row) for row in rows}) == 1
            assert len(rows) >= seen
            seen = len(rows)
        return not process.is_alive()

    wait_until(over, 120, "the end of the writer", poll_s=0.0)
    process.join()
    assert process.exitcode == 0
    assert len(table(exp)) == scale(100, 400)


def test_metrics_may_lie_in_another_file(exp: Experiment) -> None:
    log = added(exp, x=1)
    (log.path / "final.json").write_text(json.dumps({"y": math.nan}))
    log.callback = None
    log.mark_complete()
    exp.record(log, metrics_file="final.json")
    (row,) = table(exp)
    assert (row["status"], row["metrics_status"], row["y"]) == ("complete", "complete", "nan")
