"""Whether another case fits into what is left of a task's time limit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcsweep.records import CaseNeeds
from hpcsweep.sources import grid
from hpcsweep.worker import runner as runner_module
from hpcsweep.worker import timelimit
from hpcsweep.worker.limit_query import FIRST_S, SPREAD_S, LimitQuery
from hpcsweep.worker.runner import NEVER, STOP_SIGNALS, Runner, Steps, Wait
from hpcsweep.worker.timelimit import TimeLeft, TimeLimit, needed_s, process_age_s
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until


@pytest.mark.parametrize(
    ("seen", "seconds"),
    [
        ([], 0.0),
        ([10.0], 15.0),
        ([1.0, 10.0], 15.0),
        ([10.0, 1.0, 1.0], 15.0),
        # From twenty on, one that takes very long does not count.
        ([1.0] * 19 + [100.0], 1.5),
        ([100.0] + [1.0] * 18, 150.0),
        ([2.0] * 95 + [50.0] * 5, 3.0),
        ([2.0] * 94 + [50.0] * 6, 75.0),
    ],
)
def test_the_time_that_another_case_needs(seen: list[float], seconds: float) -> None:
    assert needed_s(seen) == seconds


@pytest.mark.parametrize(
    ("limit_s", "age_s", "seen", "begins"),
    [
        (100.0, 50.0, [20.0], True),
        (100.0, 61.0, [20.0], False),  # the warning comes before the limit
        (100.0, 60.0, [20.0], True),
        (100.0, 89.0, [], True),  # every start gets on
        (100.0, 80.0, [1.0] * 19 + [60.0], True),
        (100.0, 80.0, [1.0] * 18 + [60.0], False),
        (None, 80.0, [60.0], True),
    ],
)
def test_another_case(
    monkeypatch: pytest.MonkeyPatch,
    limit_s: float | None,
    age_s: float,
    seen: list[float],
    begins: bool,
) -> None:
    monkeypatch.setattr(timelimit, "process_age_s", lambda: age_s)
    limit = None if limit_s is None else TimeLimit(limit_s=limit_s, warning_s=10.0)
    left = TimeLeft(limit)
    for seconds in seen:
        left.note(seconds)
    assert left.suffices() == begins


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_a_sweep_in_short_tasks(monkeypatch: pytest.MonkeyPatch, seed: int, slots: int) -> None:
    """1,000 cases of 0.1 to 20 s in tasks of 3 minutes: none is ended by the limit."""
    chance = random.Random(seed)
    todo = [chance.uniform(0.1, 20.0) for _ in range(1000)]
    busy_s = elapsed_s = 0.0
    while todo:
        limit = TimeLimit(limit_s=180.0, warning_s=9.0)
        left, ages, ends = TimeLeft(limit), [0.0] * slots, list[tuple[float, float]]()
        last = 0.0
        while todo and ages:
            age = min(ages)  # of the slot that is free first
            ages.remove(age)
            for end in sorted(end for end in ends if end[0] <= age):
                left.note(end[1])
                ends.remove(end)
            monkeypatch.setattr(timelimit, "process_age_s", lambda age=age: age)
            if not left.suffices():
                continue
            seconds = todo.pop()
            busy_s += seconds
            assert age + seconds <= limit.limit_s - limit.warning_s
            ages.append(age + seconds)
            ends.append((age + seconds, seconds))
            last = max(last, age + seconds)
        elapsed_s += slots * last
    assert busy_s > 0.85 * elapsed_s


@pytest.mark.parametrize(
    ("name", "age_s", "seconds"),
    [
        ("SIGUSR2", 3420.0, 60.0),  # Slurm warns up to 60 s early
        ("SIGUSR2", 3480.0, 0.0),
        ("SIGUSR2", 3590.0, 0.0),
        ("SIGUSR2", 100.0, 0.0),  # somebody else's
        ("SIGTERM", 3590.0, 0.0),
    ],
)
def test_how_long_running_cases_go_on_after_a_signal(
    name: str, age_s: float, seconds: float
) -> None:
    assert TimeLimit(limit_s=3600.0, warning_s=120.0).grace_s(name, age_s) == seconds


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def free_signals() -> Iterator[None]:
    numbers = (*STOP_SIGNALS, signal.SIGCHLD)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("free_signals")
def test_an_early_warning_stops_when_it_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(runner_module, "process_age_s", clock)
    runner = Runner(clock, TimeLimit(limit_s=1000.0, warning_s=100.0))

    def wait() -> Steps[str | None]:
        clock.now = 850.0  # fifty seconds too early
        os.kill(os.getpid(), signal.SIGUSR2)
        yield Wait(until=clock.now)
        assert runner.is_warned
        clock.now = 899.9
        yield Wait(until=clock.now)
        assert runner.stop_signal is None
        clock.now = 900.1
        yield Wait()
        return runner.stop_signal

    assert runner.complete(wait()) == "SIGUSR2"


@pytest.mark.usefixtures("free_signals")
def test_a_term_behind_an_early_warning_stops_at_once() -> None:
    runner = Runner(limit=TimeLimit(limit_s=process_age_s() + 50.0, warning_s=20.0))

    def wait() -> Steps[str | None]:
        os.kill(os.getpid(), signal.SIGUSR2)
        yield Wait(until=runner.clock())
        os.kill(os.getpid(), signal.SIGTERM)
        while runner.stop_signal is None:
            yield Wait()
        return runner.stop_signal

    assert runner.complete(wait()) == "SIGTERM"


# --- a task --------------------------------------------------------------------------------------

SLEEPS = """\
import time
from pathlib import Path

def run(x):
    Path(__file__).with_name(f"begun.{x}").touch()
    time.sleep(0.5)
    return {"x": x}
"""


@pytest.mark.parametrize("slots", [1, 2])
def test_a_task_leaves_the_cases_that_do_not_fit(tmp_path: Path, slots: int) -> None:
    made = MadeSweep(tmp_path, grid(x=list(range(40))), python=SLEEPS, needs=CaseNeeds(slots=slots))
    made.plan(warning_s=1.0)
    made.run(
        code=75,
        SLURM_CPUS_ON_NODE=str(slots),
        SLURM_JOB_START_TIME="1000",
        SLURM_JOB_END_TIME="1004",
    )
    ends = made.ends()
    assert 0 < len(ends) < 40
    assert {end["status"] for end in ends.values()} == {"complete"}
    assert sorted(ends) == list(range(len(ends)))
    (last,) = [record for record in made.records("end") if "index" not in record]
    assert (last["status"], last["reason"]) == ("interrupted", "timeout")
    assert len(made.records("begin")) == len(ends)


def test_an_early_warning_lets_running_cases_end(tmp_path: Path) -> None:
    held = SLEEPS.replace(
        "time.sleep(0.5)",
        "while not Path(__file__).with_name('go').exists(): time.sleep(0.02)",
    )
    made = MadeSweep(tmp_path, grid(x=list(range(4))), python=held)
    made.plan(time_limit_s=60.0, warning_s=30.0)
    with made.start() as task:
        wait_until((tmp_path / "begun.0").exists, 30, "the first case")
        task.send_signal(signal.SIGUSR2)
        (tmp_path / "go").touch()
        assert task.wait(30) == 75
    assert {index: end["status"] for index, end in made.ends().items()} == {0: "complete"}
    (last,) = [record for record in made.records("end") if "index" not in record]
    assert last["reason"] == "timeout"


# --- where only Slurm knows the limit ------------------------------------------------------------


def asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> tuple[list[float], LimitQuery, Clock]:
    program = tmp_path / "squeue"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    told, clock = list[float](), Clock()
    return told, LimitQuery(told.append, clock, "77", 0), clock


@pytest.mark.parametrize(
    ("answer", "left_s"),
    [
        ("1-00:00:10", 86410),
        ("2:05", 125),
        ("UNLIMITED", None),
        ("NOT_SET", None),
        ("INVALID", None),
        ("", None),
    ],
)
def test_squeue_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, left_s: int | None
) -> None:
    script = f'echo "$@" >> {tmp_path}/calls; echo oops >&2; echo "{answer}"'
    told, query, clock = asked(tmp_path, monkeypatch, script)
    assert query.ask_if_due() == FIRST_S
    clock.now = FIRST_S

    def answered() -> bool:
        clock.now += 0.5
        return query.ask_if_due() == NEVER

    wait_until(answered, 30, "the answer")
    expected = [] if left_s is None else [pytest.approx(process_age_s() + left_s, abs=20)]
    assert told == expected
    assert query.ask_if_due() == NEVER
    calls = (tmp_path / "calls").read_text()
    assert calls == "--noheader --jobs 77 --format %L\n"


def test_tasks_do_not_ask_at_once() -> None:
    queries = [LimitQuery(list[float]().append, Clock(), "77", task) for task in range(1000)]
    times = [query.ask_if_due() for query in queries]
    assert (min(times), max(times)) == (FIRST_S, FIRST_S + SPREAD_S - 1)


def test_without_squeue_the_limit_stays_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, query, clock = asked(tmp_path, monkeypatch, "")
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    clock.now = FIRST_S
    assert query.ask_if_due() == NEVER
    assert told == []


def test_a_squeue_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, query, clock = asked(tmp_path, monkeypatch, "exec sleep 600")
    clock.now = FIRST_S
    assert query.ask_if_due() > clock.now
    clock.now += 100
    assert query.ask_if_due() == NEVER


ASKS_AT_ONCE = """\
import sys
from hpcsweep import program
from hpcsweep.worker import limit_query

limit_query.FIRST_S = limit_query.POLL_S = 0.05
sys.exit(program.run("hpcsweep.worker.task", sys.argv[1:]))
"""


def test_a_task_uses_the_limit_that_squeue_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(tmp_path, monkeypatch, "echo 0:03")
    made = MadeSweep(tmp_path, grid(x=list(range(40))), python=SLEEPS)
    made.plan()
    argv = [sys.executable, "-c", ASKS_AT_ONCE, str(made.path), "1", "0"]
    slurm = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_JOB_ID": "100", "SLURM_JOB_ID": "100"}
    done = subprocess.run(
        argv, env=os.environ | slurm, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (75, "")
    assert 0 < len(made.ends()) < 40
    (last,) = [record for record in made.records("end") if "index" not in record]
    assert last["reason"] == "timeout"
