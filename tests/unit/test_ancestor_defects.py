"""The 27 recorded defects of the ancestor, one test each."""

from __future__ import annotations

import csv
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import yaml

from hpcsweep import Experiment, ExperimentReader, Logbook, LogReader
from hpcsweep.errors import ExtraMissing, HpcsweepError
from tests.support.experiments import added, exp
from tests.support.fixtures import Scale

__all__ = ["exp"]

FORK = multiprocessing.get_context("fork")


def ended(exp: Experiment, metrics: dict[str, Any] | None = None, **params: Any) -> Logbook:
    with added(exp, **params) as log:
        if metrics is not None:
            log.json("metrics", metrics)
    return log


def rows(exp: Experiment) -> list[dict[str, Any]]:
    found: list[Any] = exp.to_dataframe().to_dict("records")
    return found


def meta(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "metadata.json").read_text())
    return found


def together(work: Any, processes: int) -> None:
    """Run `work(number)` in so many forks at once, and expect each to end well."""
    started = [FORK.Process(target=work, args=(number,)) for number in range(processes)]
    for process in started:
        process.start()
    for process in started:
        process.join()
        assert process.exitcode == 0


def test_n1_a_complete_run_without_metrics_is_complete(exp: Experiment) -> None:
    ended(exp, x=1)
    assert [row["status"] for row in rows(exp)] == ["complete"]


def test_n2_a_failed_run_with_metrics_is_failed(exp: Experiment) -> None:
    log = added(exp, x=1)
    log.json("metrics", {"loss": 1.0})
    log.mark_failed("diverged")
    assert [row["status"] for row in rows(exp)] == ["failed"]


def test_n3_more_metrics_widen_the_table(exp: Experiment) -> None:
    ended(exp, {"loss": 1.0}, x=1)
    ended(exp, {"loss": 2.0, "acc": 0.5, "n": 3}, x=2)
    found = exp.to_dataframe()
    assert found["loss"].tolist() == [1.0, 2.0]
    assert found["acc"].tolist()[1] == 0.5


def test_n4_columns_go_by_name(exp: Experiment) -> None:
    ended(exp, {"loss": 0.5}, a=1)
    ended(exp, {"acc": 0.9}, b=99)
    first, second = rows(exp)
    assert (first["a"], first["loss"]) == (1, 0.5)
    assert (second["b"], second["acc"]) == (99, 0.9)


def test_n5_other_params_are_another_run(exp: Experiment) -> None:
    given: list[dict[str, Any]] = [
        {"x": 1.0000001},
        {"x": 1.0000002},
        {"x": "1"},
        {"x": 123456.0},
        {"x": 123456.4},
        {"x": "a/b"},
        {"x": "a b"},
        {"x": "a_b"},
        {"a": "1_b_2"},
        {"a": "1", "b": 2},
    ]
    for params in given:
        log = exp.add(skip_existing=True, **params)
        assert log is not None, params
        log.mark_complete()
    assert exp.add(skip_existing=True, x=1.0000001) is None


def test_n6_a_long_value_has_an_id(exp: Experiment) -> None:
    assert ended(exp, x="v" * 300).path.is_dir()


def test_n7_params_may_have_any_name(exp: Experiment) -> None:
    ended(exp, {"run_id": 7, "energy": 2}, ext="png", self=1, run_id="mine", status="odd")
    (row,) = rows(exp)
    assert row["ext"] == "png"
    assert row["self"] == 1
    assert row["run_id"].startswith("e_")
    assert row["status"] == "complete"
    (path,) = exp.runs_dir.glob("log_*")
    assert LogReader(path).params == {"ext": "png", "self": 1, "run_id": "mine", "status": "odd"}


class Colour(Enum):
    RED = "red"


def test_n8_values_of_numpy_and_others_are_params(tmp_path: Path) -> None:
    given = {
        "x": np.linspace(0, 1, 3)[1],
        "n": np.int64(2),
        "t": (1, 2),
        "p": PurePosixPath("a/b"),
        "c": Colour.RED,
    }
    with Logbook("a", tmp_path, params=given) as log:
        log.params(more=np.float64(0.5))
    wanted = {"x": 0.5, "n": 2, "t": [1, 2], "p": "a/b", "c": "red", "more": 0.5}
    assert LogReader(log.path).params == wanted
    assert yaml.safe_load((log.path / "params.yaml").read_text()) == wanted


def test_n9_what_failed_is_tried_again(exp: Experiment) -> None:
    added(exp, x=1).mark_failed("bad")
    log = exp.add(skip_existing=True, x=1)
    assert log is not None
    log.mark_complete()
    assert exp.add(skip_existing=True, x=1) is None


WAITS = """
import sys, time
from hpcsweep import Experiment
with Experiment("e", sys.argv[1]).add(x=1) as log:
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_n10_a_run_that_was_ended_is_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    argv = [sys.executable, "-c", WAITS, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
    (run,) = ExperimentReader(tmp_path / "e")
    assert run.status == "interrupted"
    assert [row["status"] for row in rows(Experiment("e", tmp_path))] == ["interrupted"]


def test_n11_runs_hold_no_descriptor(tmp_path: Path) -> None:
    with Logbook("first", tmp_path) as log:
        log.info("hello")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for number in range(30):
        with Logbook(str(number), tmp_path) as log:
            log.info("hello")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_n12_equal_ids_have_their_own_logs(tmp_path: Path) -> None:
    first, second = Logbook("a", tmp_path / "1"), Logbook("a", tmp_path / "2")
    first.info("to one")
    second.info("to two")
    assert "to two" not in first.log_path.read_text()
    assert "to two" in second.log_path.read_text()


def test_n13_overwriting_keeps_nothing(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path, {"old": 1})
    log.array("stale", [1])
    log.mark_failed("bad")
    again = Logbook("a", tmp_path, {"new": 2}, overwrite=True)
    assert LogReader(again.path).arrays == []
    assert LogReader(again.path).params == {"new": 2}
    assert not {"end_time", "failure_reason"} & meta(again.path).keys()


def test_n14_one_of_many_processes_creates_the_run(tmp_path: Path) -> None:
    barrier, rounds = FORK.Barrier(4), 200

    def claim(number: int) -> None:
        for one in range(rounds):
            barrier.wait(60)
            try:
                Logbook(f"r{one}", tmp_path)
            except FileExistsError:
                continue
            with (tmp_path / f"won.{number}").open("a") as stream:
                stream.write(f"{one}\n")

    together(claim, 4)
    won = Counter(one for path in tmp_path.glob("won.*") for one in path.read_text().split())
    assert len(won) == rounds
    assert set(won.values()) == {1}


def test_n15_one_header_whoever_begins(tmp_path: Path, scale: Scale) -> None:
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


def test_n16_no_field_of_the_metadata_is_lost(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path)

    def add(number: int) -> None:
        for key in range(50):
            log.meta(**{f"k{number}_{key}": key})

    together(add, 4)
    assert sum(name.startswith("k") for name in meta(log.path)) == 200


def test_n17_what_cannot_be_written_leaves_what_there_was(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path, {"a": 1})
    log.json("config", {"x": 1})
    writes: list[Callable[[], object]] = [
        lambda: log.json("config", {"x": object()}),
        lambda: log.params(b=object()),
    ]
    for write in writes:
        with pytest.raises((TypeError, ValueError, yaml.YAMLError)):
            write()
    assert json.loads((log.artifactsdir / "config.json").read_text()) == {"x": 1}
    assert LogReader(log.path).params == {"a": 1}


def test_n18_one_row_per_run(exp: Experiment) -> None:
    log = added(exp, x=1)
    log.mark_complete()
    log.mark_complete()
    with pytest.raises(ZeroDivisionError), log:
        raise ZeroDivisionError
    assert [row["status"] for row in rows(exp)] == ["failed"]


def test_n19_types_survive_the_table(exp: Experiment) -> None:
    given: dict[str, Any] = {"a": "001", "b": None, "c": 0.1 + 0.2, "d": "nan"}
    ended(exp, **given)
    (row,) = rows(exp)
    assert {name: row[name] for name in given} == given
    assert len(exp.select(a="001")) == 1
    assert len(exp.select(c=0.30000000000000004)) == 1
    assert len(exp.select(c=0.3)) == 1


def test_n20_readers_read_what_there_is(tmp_path: Path) -> None:
    exp = Experiment("e", tmp_path)
    for x in (10, 2, 1):
        ended(exp, x=x)
    with Logbook("my_log_run", tmp_path) as log:
        log.array("deep/a", [1])
        log.array("a", [2])
        log.array("odd:name", [3])
        log["plots/deep/line.png"].write_bytes(b"PNG")
    run = LogReader(log.path)
    assert run.run_id == "my_log_run"
    assert [run.load_array(name).tolist() for name in run.arrays] == [[2], [1], [3]]
    assert run.plots == ["deep/line.png"]
    reader = ExperimentReader(exp.exp_dir)
    assert [one.params["x"] for one in reader] == [1, 2, 10]
    (exp.runs_dir / "log_e_x_2" / "metadata.json").write_text("{")
    assert reader.meta["e_x_10"]["status"] == "complete"
    assert "e_x_2: unknown" in str(reader)


def test_n20_what_cannot_be_read_again_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(HpcsweepError):
        Logbook("a", tmp_path).array("odd", np.array([{}], dtype=object))


def test_n21_names_of_arrays_are_free(tmp_path: Path) -> None:
    with Logbook("a", tmp_path) as log:
        log.arrays("q", name=[1], compressed=[2], file=[3])
    assert LogReader(log.path).arrays == ["q:compressed", "q:file", "q:name"]


def test_n22_exit_zero_is_no_failure(tmp_path: Path) -> None:
    with pytest.raises(SystemExit), Logbook("a", tmp_path) as log:
        sys.exit(0)
    assert log.status == "complete"


def test_n23_a_traceback_is_kept_and_lines_are_lines(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Logbook("a", tmp_path) as log:
        raise RuntimeError("boom\nover two lines")
    kept = json.dumps(meta(log.path)) + log.log_path.read_text()
    assert "test_n23_a_traceback_is_kept" in kept
    assert all(line[0] in "[ " for line in log.log_path.read_text().splitlines())


def test_n24_json_is_json(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path)
    log.json("metrics", {"loss": math.nan, "n": np.int64(2), 3: np.float32(0.5)})

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    text = (log.artifactsdir / "metrics.json").read_text()
    assert json.loads(text, parse_constant=refuse) == {
        "loss": {"$float": "nan"},
        "n": 2,
        "3": 0.5,
    }


def test_n25_nothing_leaves_the_run_directory(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path / "in")
    for name in ("../x", "a/../../../x", "../../../x"):
        with pytest.raises(HpcsweepError):
            log[name]
        for save in (log.text, log.array, log.json):
            with pytest.raises(HpcsweepError):
                save(name, "1")
        with pytest.raises(HpcsweepError):
            Logbook(f"a/{name}", tmp_path / "in")
    with pytest.raises(HpcsweepError):
        log["/x"]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").glob("[!.]*")] == ["log_a"]


def test_n26_params_are_read_by_name(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path, {"omega": 1.5})
    assert log.params["omega"] == 1.5
    log.params(dt=0.1)
    assert dict(log.params) == {"omega": 1.5, "dt": 0.1}


def test_n27_a_run_by_its_id_touches_no_other(
    exp: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for x in range(20):
        ended(exp, x=x)
    touched: list[str] = []
    for name in ("open", "stat", "scandir", "listdir"):
        real = getattr(os, name)

        def noted(path: Any = ".", *rest: Any, real: Any = real, **more: Any) -> Any:
            touched.append(str(path))
            return real(path, *rest, **more)

        monkeypatch.setattr(os, name, noted)
    reader = ExperimentReader(exp.exp_dir)
    assert reader["e_x_7"].params == {"x": 7}
    others = [path for path in touched if "log_e_x_" in path and "log_e_x_7" not in path]
    assert others == []
    assert len(touched) < 20


def test_every_defect_has_its_test() -> None:
    here = Path(__file__).read_text()
    assert [n for n in range(1, 28) if f"def test_n{n}_" not in here] == []


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
