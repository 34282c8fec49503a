"""What running cases use: told by heartbeats, read by `status`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.cli.render.summary import print_summary
from hpcsweep.indexset import IndexSet
from hpcsweep.recordcheck import record_problem
from hpcsweep.records import CaseNeeds, Status
from hpcsweep.sources import grid, manual
from hpcsweep.state import running
from hpcsweep.state.running import RunningCase, running_cases
from hpcsweep.state.summary import Summary
from hpcsweep.store.ingest import fresh_index
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

MIB = 1 << 20
# Twenty mebibytes, and another process that has as many and computes.
USES = """\
import os, subprocess, sys, time
CODE = "held = bytearray(20 << 20)\\nwhile True: pass"

def run(x):
    if x == 0: return
    held = bytearray(20 << 20)
    subprocess.run([sys.executable, "-c", CODE])
"""


@contextmanager
def started(made: MadeSweep, **how: Any) -> Iterator[None]:
    """A task of a sweep whose cases do not end."""
    with made.start(**how) as task:
        try:
            yield
        finally:
            task.send_signal(signal.SIGTERM)
            task.communicate(timeout=60)


def told(made: MadeSweep) -> list[dict[str, Any]]:
    """The running cases of the last heartbeat."""
    beats = made.records("beat")
    return list(beats[-1]["running"]) if beats else []


@pytest.mark.parametrize("isolation", ["case", "task", "command"])
def test_a_heartbeat_tells_what_running_cases_use(tmp_path: Path, isolation: str) -> None:
    how: dict[str, Any] = {"python": USES, "isolation": isolation}
    if isolation == "command":
        (tmp_path / "program.py").write_text(f"{USES}\nrun(int(sys.argv[1]))\n")
        how = {"argv": [sys.executable, "program.py", "{x}"]}
    made = MadeSweep(tmp_path, grid(x=[0, 1, 2]), needs=CaseNeeds(slots=2), **how)
    made.plan(beat_s=0.2)
    with started(made, SLURM_CPUS_ON_NODE="2"):
        wait_until(
            lambda: [case["cpu_seconds"] > 0.1 for case in told(made)] == [True, True],
            60,
            "two cases compute",
        )
        cases = told(made)
        with fresh_index(made.directory) as sweep_index:
            found = running_cases(made.directory, sweep_index, IndexSet.of([1, 2]))
    assert sorted(case["index"] for case in cases) == [1, 2]
    for case in cases:
        assert 40 * MIB < case["memory_bytes"] < 400 * MIB
        assert case["seconds"] > 0
    assert sorted(case.index for case in found) == [1, 2]
    for shown in found:
        assert shown.case_id == made.source[shown.index].case_id
        assert shown.seconds is not None
        assert shown.seconds_ago is not None
        assert (shown.memory_bytes or 0) > 40 * MIB
        assert (shown.cpu_seconds or 0) > 0.1


def test_what_all_processes_use_together_is_the_memory_of_a_case(tmp_path: Path) -> None:
    python = """\
import os, subprocess, sys, time
from pathlib import Path
CODE = "import sys; held = bytearray(40 << 20); sys.stdin.read()"

def run():
    held = bytearray(40 << 20)
    with subprocess.Popen([sys.executable, "-c", CODE], stdin=subprocess.PIPE) as process:
        while not Path(__file__).with_name("told").exists(): time.sleep(0.02)
"""
    made = MadeSweep(tmp_path, manual([{}]), python=python)
    made.plan(beat_s=0.1)
    with made.start() as task:
        wait_until(
            lambda: [case["memory_bytes"] > 80 * MIB for case in told(made)] == [True],
            60,
            "both processes are measured",
        )
        (tmp_path / "told").touch()
        task.communicate(timeout=60)
    assert made.ends()[0]["max_rss_bytes"] > 80 * MIB


def test_short_cases_before_a_long_one_do_not_delay_the_heartbeats(tmp_path: Path) -> None:
    """One slot ends a case again and again; what the other one runs is told nevertheless."""
    python = "import time\ndef run(x): time.sleep(600 if x == 0 else 0.02)\n"
    made = MadeSweep(tmp_path, grid(x=list(range(2000))), python=python, needs=CaseNeeds(slots=2))
    made.plan(chunk_size=2000, runs="none", beat_s=0.2)
    with started(made, SLURM_CPUS_ON_NODE="2"):
        wait_until(lambda: 0 in [case["index"] for case in told(made)], 60, "the long case is told")


def test_a_case_without_a_heartbeat_runs_all_the_same(tmp_path: Path) -> None:
    python = "import time\ndef run(x): time.sleep(600)\n"
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=python)
    made.plan()
    with started(made):
        wait_until(lambda: made.records("begin"), 60, "it runs")
        with fresh_index(made.directory) as sweep_index:
            (case,) = running_cases(made.directory, sweep_index, IndexSet.of([0, 1]))
    assert case.seconds is not None
    assert (case.index, case.cpu_seconds, case.seconds_ago) == (0, None, None)


def test_those_that_began_first_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "SHOWN_MAX", 2)
    made = MadeSweep(tmp_path, grid(x=list(range(4))))
    made.plan(chunk_size=1)
    for task in (3, 1, 0, 2):
        made.run(task)
    with fresh_index(made.directory) as sweep_index:
        found = running_cases(made.directory, sweep_index, IndexSet.all(4))
        assert running_cases(made.directory, sweep_index, IndexSet()) == ()
    assert [case.index for case in found] == [3, 1]


@pytest.mark.parametrize(
    "damaged",
    [3, [3], [{}], [{"index": -1, "seconds": 1, "cpu_seconds": 1, "memory_bytes": 1}]],
)
def test_a_damaged_heartbeat_is_passed_over(damaged: Any) -> None:
    beat = {"kind": "beat", "v": 1, "manifest": "0" * 16, "chunk": 0}
    beat |= {"attempt": [0, 1, 0, "a" * 16]}
    assert record_problem(dict(beat)) == ""
    assert record_problem(beat | {"running": []}) == ""
    assert "running" in record_problem(beat | {"running": damaged})


def summary(count: int, *cases: RunningCase) -> Summary:
    counts = dict.fromkeys(Status, 0) | {Status.RUNNING: count}
    nothing: dict[str, Any] = {"reasons": {}, "tasks": {}, "waiting": {}, "torn": {}}
    return Summary(
        name="s",
        path="/s",
        manifest="0" * 16,
        n_cases=count,
        counts=counts,
        unsubmitted=0,
        asked_s_ago=None,
        problem=None,
        submissions=1,
        running=cases,
        **nothing,
    )


def test_status_prints_them(capsys: pytest.CaptureFixture[str]) -> None:
    known = RunningCase(
        index=7,
        case_id="a" * 16,
        host="n1",
        seconds=7200.0,
        seconds_ago=40.0,
        cpu_seconds=3600.0,
        memory_bytes=3 << 30,
    )
    new = RunningCase(index=12, case_id="b" * 16, host=None, seconds=3.0)
    print_summary(summary(2, known, new))
    printed = capsys.readouterr().out
    assert "running:\n" in printed
    assert "7   n1  2 h, 60 min of the processor, 3.0 GiB, 40 s ago\n" in printed
    assert "  12      3 s\n" in printed
    print_summary(summary(300, *[known] * 20))
    printed = capsys.readouterr().out
    assert "running longest, of 300:\n" in printed
    assert printed.count("3.0 GiB") == 10
    assert summary(2, known, new).to_json()["running"][0]["memory_bytes"] == 3 << 30


def test_status_prints_no_list_where_nothing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(summary(0))
    assert "running" not in capsys.readouterr().out
