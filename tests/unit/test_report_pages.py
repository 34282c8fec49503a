"""The data of the pages Sensitivity, Run and Resources, without a browser."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import hpcsweep as hs
from hpcsweep.cli import main
from hpcsweep.errors import InputError
from hpcsweep.files import json_bytes
from hpcsweep.indexset import IndexSet
from hpcsweep.records import Resources, Status
from hpcsweep.report import overview, resources, run
from hpcsweep.report.case_table import CaseColumn, CaseTable
from hpcsweep.report.gantt import Spans, busy_nodes, lanes
from hpcsweep.report.pages import page_data
from hpcsweep.report.sensitivity import round_levels, sensitivity
from hpcsweep.report.source import report_source
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.state import core_hours
from hpcsweep.state.executions import STATUSES, Executions
from hpcsweep.tables.selection import Selection
from tests.support.past_runs import SENT, PastRun, moment, write_past
from tests.support.sweeps import MadeSweep

GIB = 1 << 30


def table(
    params: Mapping[str, Sequence[float | str]],
    metrics: Mapping[str, Sequence[float]],
    failed: Sequence[int] = (),
) -> CaseTable:
    """Cases with these values, complete but for these."""
    n_cases = len(next(iter(params.values())))
    status = np.full(n_cases, STATUSES.index(Status.COMPLETE), np.int8)
    status[list(failed)] = STATUSES.index(Status.FAILED)
    columns = [_column(name, "param", values) for name, values in params.items()]
    columns += [_column(name, "metric", values) for name, values in metrics.items()]
    return CaseTable(indices=np.arange(n_cases), status=status, columns=tuple(columns))


def _column(name: str, role: str, values: Sequence[float | str]) -> CaseColumn:
    if not any(isinstance(value, str) for value in values):
        return CaseColumn(name=name, role=role, values=np.array(values, float))
    levels = list(dict.fromkeys(map(str, values)))
    codes = np.array([levels.index(str(value)) for value in values])
    return CaseColumn(name=name, role=role, values=codes, levels=tuple(levels))


def test_a_metric_depends_on_what_it_is_made_of() -> None:
    a, b = [1.0, 1.0, 2.0, 2.0, 3.0, 3.0], ["x", "y"] * 3
    data = sensitivity(table({"a": a, "b": b, "c": [5.0] * 6}, {"m": [2 * value for value in a]}))
    assert data["is_grid"]
    assert data["params"] == ["a", "b"]
    (metric,) = data["metrics"]
    assert metric["shares"] == [{"param": "a", "share": 1.0}, {"param": "b", "share": 0.0}]
    means = {one["label"]: one["mean"] for one in metric["effects"][0]["levels"]}
    assert means == {"1": 2.0, "2": 4.0, "3": 6.0}


@pytest.mark.parametrize(
    ("params", "metrics", "failed"),
    [
        ({"a": [1.0, 2.0]}, {"m": [1.0, 2.0]}, [0, 1]),
        ({"a": [1.0]}, {"m": [1.0]}, []),
        ({"a": [1.0, 2.0]}, {"m": ["x", "y"]}, []),
        ({"a": [1.0, 2.0, 3.0]}, {"m": [4.0, 4.0, 4.0]}, []),
        ({"a": [1.0, 2.0, 3.0]}, {"m": [math.nan] * 3}, [1]),
        ({"a": [1.0, 2.0, 3.0]}, {"m": [1.7e308, -1.7e308, 1.7e308]}, []),
        ({"a": [math.nan, 2.0, 3.0]}, {"m": [1e-320, 0.0, 1.0]}, [2]),
        ({"a": ["t" * 10_000, "t" * 9_999 + "u"]}, {"m": [1.0, 2.0]}, [0]),
        ({f"p{at}": [0.0, float(at), 2.0] for at in range(40)}, {"m": [1.0, 2.0, 4.0]}, [0]),
    ],
    ids=["none", "one", "texts", "constant", "nan", "huge", "no-value", "long", "forty"],
)
def test_odd_sweeps_have_a_page_of_plain_numbers(
    params: dict[str, list[float | str]], metrics: dict[str, list[float]], failed: list[int]
) -> None:
    data = sensitivity(table(params, metrics, failed))
    text = json.dumps(data, allow_nan=False)
    assert len(text) < 100_000
    assert data["failures"]["failed"] == len(failed)


def test_parameters_that_change_together_are_named() -> None:
    a = [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]
    data = sensitivity(table({"a": a, "b": [10 * value for value in a]}, {"m": a}))
    assert data["together"] == [["a", "b"]]


def test_values_at_which_more_cases_fail_are_named() -> None:
    params = {
        "bad": [float(at % 2) for at in range(60)],
        "fine": [float(at % 3) for at in range(60)],
    }
    failed = [at for at in range(60) if at % 2 and at % 3]
    failures = sensitivity(table(params, {}, failed))["failures"]
    first, second = failures["params"]
    assert (first["param"], first["differs"]) == ("bad", True)
    rates = {one["label"]: (one["failed"], one["ended"]) for one in first["levels"]}
    assert rates == {"0": (0, 30), "1": (20, 30)}
    assert second["param"] == "fine"


def past(root: Path, *runs: PastRun, time: float | None = 0.0) -> MadeSweep:
    """A sweep of six cases that ran like this."""
    options = {"mem": "8G", "time": "01:00:00", "cpus-per-task": "2"}
    made = MadeSweep(root, grid(n=[1, 2, 3, 4, 5, 6]), resources=Resources(options=options))
    made.plan(chunk_size=2)
    if time is not None:
        path = made.directory.submission_dir(1) / "plan.json"
        path.write_bytes(json_bytes(json.loads(path.read_bytes()) | {"time": moment(time)}))
    write_past(made, runs)
    return made


def run_data(made: MadeSweep) -> dict[str, Any]:
    with report_source(made.directory, None, Settings()) as source:
        data = run.data(source)
    json.dumps(data, allow_nan=False)
    return data


def test_a_report_of_selected_cases(tmp_path: Path) -> None:
    """Its pages know no other case; of no case there is no report, and the last one stays."""
    where, indices = "n > 2 and n < 5", [2, 3]
    made = MadeSweep(tmp_path, grid(n=[1, 2, 3, 4, 5, 6]))
    made.plan()
    made.handed_in()
    made.run(0)
    with report_source(made.directory, None, Settings(), Selection(where=where)) as source:
        assert source.cases.indices.tolist() == indices
        assert sum(source.summary.counts.values()) == len(source.executions) == len(indices)
        notes = overview.data(source)["notes"]
        assert f"This report is about {len(indices)} of 6 cases: --where '{where}'" in notes
        for page in page_data(source):
            assert page.data
    path = hs.Sweep(str(made.path)).report(tmp_path / "r.html", where=where)
    written = path.read_text()
    assert f"about {len(indices)} of 6 cases" in written
    with pytest.raises(InputError, match="no case is selected: --where 'n > 9'"):
        hs.Sweep(str(made.path)).report(path, where="n > 9")
    assert path.read_text() == written


def test_a_bar_for_each_attempt_on_a_lane_of_its_node(tmp_path: Path) -> None:
    made = past(
        tmp_path,
        PastRun(index=0, begin=10, end=20, host="n1", chunk=0),
        PastRun(index=1, begin=10, end=30, host="n1", chunk=0, reason="node_fail"),
        PastRun(index=1, begin=50, end=70, host="n2", chunk=0, restart=1),
        PastRun(index=2, begin=25, end=40, host="n2", chunk=1, reason="error", error="no"),
    )
    data = run_data(made)
    gantt = data["gantt"]
    assert gantt["rows"] == [
        {"node": "n1", "slot": 0},
        {"node": "n1", "slot": 1},
        {"node": "n2", "slot": 0},
    ]
    assert gantt["index"] == [0, 1, 1, 2]
    assert gantt["status"] == ["complete", "interrupted", "complete", "failed"]
    assert [round(start - SENT.timestamp()) for start in gantt["start"]] == [10, 10, 50, 25]
    assert (data["running"]["peak"], data["waiting"]["peak"]) == (2, 3)
    # The requeued case waited from the end of its first attempt to the start of the second.
    waiting = dict(zip(data["waiting"]["times"], data["waiting"]["values"], strict=True))
    assert waiting[SENT.timestamp() + 30] == 1
    attempts = data["attempts"]
    assert (attempts["cases"], attempts["requeued"]) == ({"2": 1}, 1)
    assert attempts["earlier"] == [{"reason": "node_fail", "attempts": 1}]
    assert [one["host"] for one in attempts["most"][0]["attempts"]] == ["n1", "n2"]
    assert set(data["problems"].values()) == {0}


def test_clocks_that_disagree_are_said_and_draw_nothing_backwards(tmp_path: Path) -> None:
    made = past(
        tmp_path,
        PastRun(index=0, begin=-30, end=20),
        PastRun(index=1, begin=40, end=25),
    )
    data = run_data(made)
    assert data["problems"] == {"backwards": 1, "without_end": 0, "before_sent": 1}
    gantt = data["gantt"]
    assert all(a <= b for a, b in zip(gantt["start"], gantt["end"], strict=True))
    assert gantt["end"][1] - gantt["start"][1] == pytest.approx(15)
    assert min(data["waiting"]["values"]) >= 0


def test_of_several_attempts_the_last_one_runs(tmp_path: Path) -> None:
    made = past(
        tmp_path,
        PastRun(index=0, begin=10, end=None),
        PastRun(index=0, begin=50, end=None, restart=1),
    )
    made.handed_in()
    with report_source(made.directory, None, Settings()) as source:
        executions, now = source.executions, SENT.timestamp() + 90
        sent = run.Sent(times={}, waiting={})
        data = run.run_data(executions, IndexSet.of([0]), sent, [], now)
    assert [end - SENT.timestamp() for end in data["gantt"]["end"]] == [10, 90]
    assert data["problems"]["without_end"] == 1


def test_a_sweep_without_times_or_cases(tmp_path: Path) -> None:
    data = run_data(past(tmp_path, time=None))
    assert (data["executions"], data["gantt"], data["waiting"]) == (0, None, None)


def test_many_executions_take_little_memory() -> None:
    n = 200_000
    zeros, starts = np.zeros(n), np.linspace(0.0, 1e5, n)
    executions = Executions(
        index=np.arange(n),
        start=starts,
        end=starts + 5,
        wall=zeros + 5,
        cpu=zeros,
        peak=zeros,
        host=np.zeros(n, np.int32),
        task=np.zeros(n, np.int32),
        status=np.zeros(n, np.int8),
        reason=np.zeros(n, np.int8),
        submission=np.ones(n, np.int32),
        restart=np.zeros(n, np.int32),
        hosts=["a"],
    )
    sent = run.Sent(times={1: 0.0}, waiting={})
    tracemalloc.start()
    try:
        run.run_data(executions, IndexSet(), sent, [], 2e5)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 80 * n  # bytes: nine arrays of floats at once


def test_many_attempts_become_a_row_for_each_node() -> None:
    n = 5000
    spans = Spans(
        start=np.arange(n, dtype=float),
        end=np.arange(10, n + 10, dtype=float),
        host=np.arange(n) % 100,
        task=np.arange(n),
    )
    assert lanes(spans) is None
    busy = busy_nodes(spans, [f"n{at}" for at in range(100)])
    assert (len(busy["nodes"]), busy["others"]) == (61, 40)
    assert sum(map(sum, busy["running"])) * busy["step"] == pytest.approx(10 * n, rel=1e-2)


def test_resources_show_what_efficiency_says(tmp_path: Path) -> None:
    made = past(
        tmp_path,
        *(
            PastRun(index=at, begin=100 * at, end=100 * at + 60, chunk=at // 2, memory=GIB + at)
            for at in range(6)
        ),
    )
    told = CliRunner().invoke(main, ["efficiency", str(made.path), "--json"])
    (use,) = json.loads(told.stdout)["uses"]
    with report_source(made.directory, None, Settings()) as source:
        (shown,) = resources.data(source)["uses"]
    assert {name: shown[name] for name in use if name != "advice"} == {
        name: use[name] for name in use if name != "advice"
    }
    advice = [{name: one[name] for name in use["advice"][0]} for one in shown["advice"]]
    assert advice == use["advice"]
    assert [one["option"] for one in advice] == ["mem", "time", "cpus-per-task"]
    assert shown["advice"][0]["text"].startswith("mem: 1300M  # instead of 8G")
    assert sum(one["count"] for one in shown["memory"]) == 6
    assert sum(one["count"] for one in shown["time"]) == 3


def test_status_has_the_core_hours_of_efficiency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = past(
        tmp_path,
        PastRun(index=0, begin=0, end=100, chunk=0, cpu=50),
        PastRun(index=1, begin=100, end=400, chunk=0, cpu=200, reason="node_fail"),
        PastRun(index=1, begin=500, end=700, chunk=0, cpu=90, restart=1),
        PastRun(index=2, begin=10, end=50, chunk=1, cpu=30, reason="error", error="no"),
        PastRun(index=3, begin=60, end=None, chunk=1),
    )
    runner = CliRunner()
    used = runner.invoke(main, ["efficiency", str(made.path), "--json"]).stdout
    (use,) = json.loads(used)["uses"]
    told = json.loads(runner.invoke(main, ["status", str(made.path), "--json"]).stdout)
    assert told["core_hours"] == {
        name: pytest.approx(seconds / 3600) for name, seconds in use["cpu_seconds"].items()
    }
    assert told["core_hours"]["asked"] == pytest.approx(2 * (700 + 40) / 3600)
    text = runner.invoke(main, ["status", str(made.path)]).stdout
    assert "0.103 of 0.411 core-hours used (25 %)" in text

    monkeypatch.setattr(core_hours, "CASES_MAX", 3)
    many = runner.invoke(main, ["status", str(made.path)]).stdout
    assert "core-hours" not in many
    asked = runner.invoke(main, ["status", str(made.path), "--check"]).stdout
    assert "0.103 of 0.411 core-hours used (25 %)" in asked


def test_levels_keep_the_digits_in_which_they_differ() -> None:
    levels: list[dict[str, Any]] = [
        {"label": "1", "place": 1.0, "cases": 2, "mean": 1e6 + 1 / 3e5, "low": None},
        {"label": "2", "place": 2.0, "cases": 2, "mean": 1e6 + 1 / 7e5, "low": 1 / 3},
    ]
    round_levels(levels)
    assert levels[0]["mean"] - levels[1]["mean"] == pytest.approx(1 / 3e5 - 1 / 7e5, rel=1e-3)
    assert [one["low"] for one in levels] == [None, 1 / 3]
    levels = [{"mean": 1 / 3}, {"mean": 2 / 3}]
    round_levels(levels)
    assert levels == [{"mean": 0.3333333}, {"mean": 0.6666667}]
