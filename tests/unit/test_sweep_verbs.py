"""Verbs of `Sweep` without a cluster: what they refuse, and what they ask of a use case."""

from __future__ import annotations

from pathlib import Path

import pytest

import hpcsweep as hs
from hpcsweep.errors import InputError, SweepError, TargetError
from hpcsweep.sources import grid
from tests.support.sweeps import MadeSweep

TARGET = "def run(x):\n    return {'y': 1 / (2 - x)}\n"


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> hs.Sweep:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "target.py").write_text(TARGET)
    return hs.Sweep("s", grid(x=[1, 2, 3, 4]), target="target.py:run")


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> hs.Sweep:
    """Of three cases the second has failed."""
    made = MadeSweep(tmp_path, grid(x=[1, 2, 3]), python=TARGET)
    made.plan()
    made.handed_in()
    made.run()
    monkeypatch.chdir(tmp_path)
    return hs.Sweep(str(made.path))


def test_a_canary_of_an_argument_goes_first(described: hs.Sweep) -> None:
    (first,) = described.plan(canary=1, notify=None).submissions
    assert (first.plan.canary, first.plan.indices.count) == (True, 1)
    assert [one.plan.canary for one in described.plan(canary=0, notify=None).submissions] == [False]
    with pytest.raises(InputError, match="a canary of 9 cases is none of 4"):
        described.plan(canary=9)


def test_before_a_submit_there_is_nothing_to_read(described: hs.Sweep) -> None:
    with pytest.raises(SweepError, match="nothing was submitted yet") as caught:
        described.status()
    assert caught.value.next_step == "Call `submit()` first."


def test_a_plan_is_of_selected_cases(described: hs.Sweep) -> None:
    planned = described.plan(where="x > 2", throttle=1, notify=None)
    assert (planned.n_planned, planned.submissions[0].plan.parts[0].throttle) == (2, 1)
    assert "--array=0-1%1" in planned.submissions[0].calls[0]
    with pytest.raises(InputError, match="nothing that can be computed again"):
        described.plan(rerun="none")


def test_a_case_is_run_here(described: hs.Sweep) -> None:
    done = described.run(0)
    assert (done.is_complete, done.metrics) == (True, {"y": 1.0})
    assert hs.LogReader(done.path).metrics == {"y": 1.0}
    failed = described.run(case=described.case(1).case_id[:10])
    assert failed.to_json()["reason"] == "error"
    assert repr(failed).endswith("failed: error>")
    assert not described.is_submitted
    for arguments in ({}, {"index": 1, "case": "0"}, {"index": 99}):
        with pytest.raises(InputError):
            described.run(**arguments)


@pytest.mark.usefixtures("described")
def test_a_run_behind_setup_lines_that_fail_is_an_error() -> None:
    sweep = hs.Sweep("t", grid(x=[1]), target="target.py:run", setup=["echo no luck", "false"])
    with pytest.raises(TargetError, match="the setup line `false` ended with exit code 1"):
        sweep.run(0)


def test_logs_are_of_a_case_or_of_a_selection(ended: hs.Sweep) -> None:
    assert [logs.index for logs in ended.logs(cases=[0, 2])] == [0, 2]
    assert "ZeroDivisionError" in ended.logs(1)
    assert str(ended.logs(1)).startswith("case ")
    with pytest.raises(InputError, match="logs are of one case"):
        ended.logs()
    with pytest.raises(InputError, match="logs are of one case"):
        ended.logs(1, status="failed")  # type: ignore[call-overload]


def test_files_that_are_gone_are_named(ended: hs.Sweep) -> None:
    name = "artifacts/metrics.json"
    first, _ = ended.files(name)
    assert first.path is not None
    first.path.unlink()
    lines: list[str] = []
    assert [one.index for one in ended.files(name, notify=lines.append)] == [2]
    assert "gone" in lines[0]
    found = ended.check()
    assert (found.checked, found.gone, found.is_intact) == (2, 1, False)


def test_a_table_is_written_in_a_format(ended: hs.Sweep, tmp_path: Path) -> None:
    for name, form in (("a.csv", None), ("a.parquet", None), ("a.txt", "jsonl")):
        path = ended.collect(tmp_path / name, format=form, columns=["x", "y"])
        assert path.stat().st_size
    assert (tmp_path / "a.txt").read_text().splitlines()[0] == '{"x": 1, "y": 1.0}'
    for name, form in (("a.txt", None), ("a.csv", "excel")):
        with pytest.raises(InputError, match="format"):
            ended.collect(tmp_path / name, format=form)
