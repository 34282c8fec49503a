"""submitit, unchanged, on the emulated Slurm."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import submitit

from hpcsweep import emulator
from tests.support.emulated import Emulated
from tests.support.fixtures import Scale
from tests.support.wait import wait_until

WAIT_S = 120.0
# submitit remembers the states of all job ids of a process, so no two clusters may share one.
FIRST_IDS = itertools.count(1000, 1000)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulated]:
    """An emulated Slurm that every program of this process finds."""
    settings = {"first_job_id": next(FIRST_IDS), "kill_wait_s": 5.0}
    with Emulated(tmp_path / "cluster", **settings) as started:
        for name, value in emulator.environment(started.directory).items():
            monkeypatch.setenv(name, value)
        # Jobs unpickle functions of this file.
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        yield started


@pytest.fixture
def executor(cluster: Emulated) -> submitit.SlurmExecutor:
    """submitit's own executor; it asks sacct at most every half second here."""
    made = submitit.SlurmExecutor(folder=cluster.work / "logs", python=sys.executable)
    made.update_parameters(time=10, mem="300MB", array_parallelism=16, stderr_to_stdout=False)
    return made


def square(number: int) -> int:
    sys.stdout.write(f"squaring {number}\n")
    if number == 13:
        raise ValueError("unlucky")
    return number * number


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


class Counting(submitit.helpers.Checkpointable):
    """Counts to a number and goes on counting where it was when it was interrupted."""

    def __init__(self) -> None:
        self.count = 0
        self.starts = 0

    def __call__(self, place: str, until: int) -> tuple[int, int]:
        self.starts += 1
        while self.count < until:
            self.count += 1
            Path(place).write_text(str(self.count))
            if self.starts > 1:
                self.count = until
            pause(0.1)
        return self.starts, self.count


def test_a_map_is_one_array(executor: submitit.SlurmExecutor, scale: Scale) -> None:
    count = scale(15, 50)
    jobs = executor.map_array(square, range(count))
    assert len({job.job_id.partition("_")[0] for job in jobs}) == 1
    wait_until(lambda: all(job.done(force_check=True) for job in jobs) or None, WAIT_S, "the end")
    good = [job for number, job in enumerate(jobs) if number != 13]
    assert [job.result() for job in good] == [n * n for n in range(count) if n != 13]
    with pytest.raises(submitit.core.utils.FailedJobError, match="unlucky"):
        jobs[13].result()
    assert "squaring 7" in (jobs[7].stdout() or "")
    assert "unlucky" in (jobs[13].stderr() or "")
    states = {"COMPLETED"}
    wait_until(
        lambda: {job.watcher.get_state(job.job_id, "force") for job in good} == states or None,
        WAIT_S,
        "sacct: all completed",
    )


def test_cancel(executor: submitit.SlurmExecutor) -> None:
    job = executor.submit(pause, 600.0)
    wait_until(
        lambda: job.watcher.get_state(job.job_id, "force") == "RUNNING" or None, WAIT_S, "it runs"
    )
    job.cancel()
    wait_until(
        lambda: "CANCELLED" in job.watcher.get_state(job.job_id, "force") or None, WAIT_S, "its end"
    )
    with pytest.raises(submitit.core.utils.UncompletedJobError):
        job.result()


@pytest.mark.parametrize("how", ["preempted", "timed-out"])
def test_a_checkpointable_job_continues_where_it_stopped(
    executor: submitit.SlurmExecutor, cluster: Emulated, tmp_path: Path, how: str
) -> None:
    # Of its minute it has had 8 s when USR2 comes to its step. What has more than ten minutes left
    # is preempted to submitit.
    executor.update_parameters(time=1 if how == "timed-out" else 100, signal_delay_s=52)
    place = tmp_path / "count"
    job = executor.submit(Counting(), str(place), 100_000)
    wait_until(lambda: place.exists() and int(place.read_text() or 0) > 3, WAIT_S, "it counts")
    if how == "preempted":
        assert isinstance(job, submitit.SlurmJob)
        job._interrupt(timeout=False)  # noqa: SLF001  # submitit's own way to try it
    assert job.result() == (2, 100_000)
    argv = ("sacct", "-nPXD", "-j", job.job_id, "-o", "State")
    # The result is there a moment before the job ends.
    wait_until(
        lambda: (seen := cluster.out(*argv)) == "REQUEUED\nCOMPLETED\n" or seen, WAIT_S, "its end"
    )
    assert f"this job is {how}" in (job.stderr() or "") + (job.stdout() or "")
