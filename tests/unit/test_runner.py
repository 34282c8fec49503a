"""The event loop of a worker: steps go on when what they wait for has come, side by side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcsweep.records import CaseNeeds
from hpcsweep.sources import grid
from hpcsweep.sweepdir.plan import WorkerRules
from hpcsweep.worker.runner import (
    NEVER,
    STOP_SIGNALS,
    Runner,
    Steps,
    Wait,
)
from hpcsweep.worker.timelimit import TimeLimit, process_age_s
from tests.support.sweeps import MadeSweep

# Each of two cases waits for the other: if they ran in turn, neither would end.
MEET = """\
import time
from pathlib import Path

def run(x, last):
    here = Path(__file__).parent
    (here / f"{x}").touch()
    other = here / f"{x ^ 1}"
    deadline = time.monotonic() + 60
    while not other.exists() and x != last:
        assert time.monotonic() < deadline, "it is alone"
        time.sleep(0.01)
    return {"y": x}
"""


@pytest.fixture
def runner() -> Iterator[Runner]:
    """A runner whose signal handlers are taken back."""
    numbers = (*STOP_SIGNALS, signal.SIGCHLD)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield Runner()
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def read_when_ready(descriptor: int) -> Steps[bytes]:
    yield Wait(descriptor=descriptor)
    return os.read(descriptor, 10)


def test_each_coroutine_resumes_when_its_descriptor_is_readable(runner: Runner) -> None:
    first, second = os.pipe(), os.pipe()

    def write_second() -> Steps[bytes]:
        """The first one can go on only after this one has."""
        found = yield from read_when_ready(second[0])
        os.write(first[1], b"from second")
        return found

    os.write(second[1], b"second")
    assert runner.run([read_when_ready(first[0]), write_second()]) == [b"from secon", b"second"]


def test_each_timeout_fires_separately(runner: Runner) -> None:
    order: list[str] = []

    def wait(name: str, seconds: float) -> Steps[None]:
        yield Wait(until=runner.clock() + seconds)
        order.append(name)

    runner.run([wait("late", 0.2), wait("early", 0.01)])
    assert order == ["early", "late"]


def test_a_signal_wakes_all_and_is_remembered(runner: Runner) -> None:
    def stop() -> Steps[None]:
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGTERM)
        yield Wait()

    def wait() -> Steps[str | None]:
        while runner.stop_signal is None:
            yield Wait()
        return runner.stop_signal

    # A signal that came first: the system may deliver two at once in any order.
    found = runner.run([wait(), stop(), wait()])
    assert found[0] == found[2]
    assert found[0] in ("SIGUSR2", "SIGTERM")


def test_the_end_of_a_child_wakes_all(runner: Runner) -> None:
    def wait(process: subprocess.Popen[bytes]) -> Steps[int]:
        while process.poll() is None:
            yield Wait()
        return int(process.returncode)

    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]) as process:
        assert runner.complete(wait(process)) == 3


def test_timers_are_called_when_due(runner: Runner) -> None:
    called: list[float] = []

    def tick() -> float:
        if not called or runner.clock() >= called[-1] + 0.01:
            called.append(runner.clock())
        return called[-1] + 0.01

    def wait() -> Steps[None]:
        while len(called) < 5:
            yield Wait(until=runner.clock() + 0.005)

    runner.complete(wait(), [tick, lambda: NEVER])
    assert len(called) == 5


def test_an_exception_ends_the_loop(runner: Runner) -> None:
    def fail() -> Steps[None]:
        yield Wait(until=0)
        raise OSError("no more")

    def wait() -> Steps[None]:
        yield Wait()

    with pytest.raises(OSError, match="no more"):
        runner.run([wait(), fail()])


@pytest.mark.parametrize("runs", ["all", "packed", "failed", "none"])
def test_a_task_of_two_slots_runs_two_cases_at_once(tmp_path: Path, runs: str) -> None:
    count = 7  # an odd one is alone in the end
    source = grid(x=list(range(count)), last=[count - 1])
    made = MadeSweep(tmp_path, source, python=MEET, needs=CaseNeeds(slots=2))
    made.plan(runs=runs)
    assert made.run(SLURM_CPUS_ON_NODE="2").stderr == ""
    ends = made.ends()
    assert sorted(ends) == list(range(count))
    assert [ends[index]["metrics"] for index in range(count)] == [{"y": x} for x in range(count)]
    places = {end["run_dir"] for end in ends.values() if "run_dir" in end}
    assert len(places) == (count if runs in ("all", "packed") else 0)


# --- why the worker has to end -------------------------------------------------------------------

HOUR = TimeLimit(limit_s=3600.0, warning_s=120.0)
SCALED = TimeLimit(limit_s=6.0, warning_s=5.0)


@pytest.mark.parametrize(
    ("limit", "name", "age_s", "explained"),
    [
        (HOUR, "SIGTERM", 0.0, False),
        (HOUR, "SIGTERM", 3500.0, False),
        (HOUR, "SIGTERM", 3590.0, True),  # the job starts before its script
        (HOUR, "SIGTERM", 3630.0, True),  # Slurm looks every 30 s
        (HOUR, "SIGTERM", 9000.0, True),  # with an OverTimeLimit
        (HOUR, "SIGUSR2", 3300.0, False),  # somebody else's
        (HOUR, "SIGUSR2", 3420.0, True),  # up to 60 s too early
        (HOUR, "SIGUSR2", 3480.0, True),
        (SCALED, "SIGTERM", 1.0, False),
        (SCALED, "SIGTERM", 6.0, True),
    ],
)
def test_signals_that_a_time_limit_explains(
    limit: TimeLimit, name: str, age_s: float, explained: bool
) -> None:
    assert limit.explains(name, age_s) == explained


@pytest.mark.parametrize(
    ("environment", "rules", "limit"),
    [
        ({}, {}, None),
        ({}, {"time_limit_s": 60.0, "warning_s": 5.0}, (60.0, 5.0)),
        ({"SLURM_JOB_START_TIME": "1000", "SLURM_JOB_END_TIME": "1600"}, {}, (600.0, 0.0)),
        (
            {"SLURM_JOB_START_TIME": "1000", "SLURM_JOB_END_TIME": "1600"},
            {"time_limit_s": 60.0, "warning_s": 5.0},
            (600.0, 5.0),
        ),
        ({"SLURM_JOB_END_TIME": "1600"}, {"time_limit_s": 60.0}, (60.0, 0.0)),
        ({"SLURM_JOB_START_TIME": "x", "SLURM_JOB_END_TIME": "1"}, {}, None),
    ],
)
def test_the_time_limit_of_a_task(
    environment: dict[str, str], rules: WorkerRules, limit: tuple[float, float] | None
) -> None:
    found = TimeLimit.of_task(environment, rules)
    assert (found and (found.limit_s, found.warning_s)) == limit


def test_the_age_of_a_process_is_that_of_the_shell_that_became_it() -> None:
    code = "import hpcsweep.worker.timelimit as t; print(t.process_age_s())"
    script = f"read go; exec {sys.executable} -c '{code}'"
    with subprocess.Popen(["sh", "-c", script], stdin=-1, stdout=-1, text=True) as shell:
        before = process_age_s()
        while process_age_s() < before + 0.5:
            pass
        out, _ = shell.communicate("go\n")
    assert 0.5 <= float(out) < process_age_s()


def test_a_faked_clock_makes_no_process_older(monkeypatch: pytest.MonkeyPatch) -> None:
    """As libfaketime fakes them all: a task would believe that its time is over."""
    before = process_age_s()
    monkeypatch.setattr(time, "clock_gettime", lambda _: 1.8e9)
    monkeypatch.setattr(time, "monotonic", lambda: 1.8e9)
    assert process_age_s() < before + 300
