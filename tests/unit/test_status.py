"""Status: each index is counted once, and the age of the last answer is shown."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hpcsweep.cluster.jobs import Queued
from hpcsweep.cluster.limits import Limits
from hpcsweep.errors import ClusterUnavailable
from hpcsweep.indexset import IndexSet
from hpcsweep.journal import encode
from hpcsweep.records import Status
from hpcsweep.settings import Settings
from hpcsweep.sources import grid, randint, random
from hpcsweep.state import status as module
from hpcsweep.state.status import Checks, status, wait
from hpcsweep.state.summary import Summary
from tests.support.sweeps import MadeSweep

SETTINGS = Settings(query_interval_s=0.0, grace_s=0.0)


class Queue:
    """A Slurm with these elements of job 100 in its queue; None when it cannot be asked."""

    kind, state_dir, address, is_own = "slurm", "", "here", False

    def __init__(
        self, states: dict[int, str] | None, starts: dict[int, float] | None = None
    ) -> None:
        self.states = states
        self.starts = starts or {}

    def limits(self) -> Limits:
        self._ask()
        return Limits(cluster_name="test", max_array_size=1001, kill_wait_s=30.0)

    def poll_queue(self, _: Any) -> dict[tuple[str, int], Queued]:
        return {
            ("100", task): Queued(state, "Priority", self.starts.get(task))
            for task, state in self._ask().items()
        }

    def poll_accounting(self, _: Any) -> None:
        self._ask()

    def _ask(self) -> dict[int, str]:
        if self.states is None:
            raise ClusterUnavailable("no answer")
        return self.states


def one_of_five_tasks(root: Path) -> MadeSweep:
    """Five tasks of two cases: the first one has run; one of its cases failed."""
    python = "def run(x): return {'y': 1 / x}\n"
    found = MadeSweep(root, grid(x=list(range(12))), python=python)
    found.plan(IndexSet.all(10), chunk_size=2)
    found.handed_in()
    found.run(0)
    return found


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> MadeSweep:
    return one_of_five_tasks(tmp_path_factory.mktemp("status"))


@pytest.fixture
def made(template: MadeSweep, tmp_path: Path) -> MadeSweep:
    """A copy of that sweep."""
    return template.copy(tmp_path)


def look(made: MadeSweep, states: dict[int, str] | None) -> Summary:
    return status(made.directory, Queue(states), SETTINGS)  # type: ignore[arg-type]


def test_every_index_is_counted_once(made: MadeSweep) -> None:
    summary = look(made, {1: "RUNNING", 2: "PENDING", 3: "PENDING", 4: "PENDING"})
    assert sum(summary.counts.values()) == summary.n_cases == 12
    assert {name: n for name, n in summary.counts.items() if n} == {
        Status.COMPLETE: 1,
        Status.FAILED: 1,
        Status.PENDING: 10,
    }
    assert summary.counts.keys() == set(Status)
    assert summary.reasons == {"error": 1}
    assert summary.unsubmitted == 2
    assert summary.tasks == {"RUNNING": 1, "PENDING": 3}
    assert (summary.is_complete, summary.is_settled) == (False, False)


def test_a_summary_is_short_in_a_notebook(made: MadeSweep) -> None:
    summary = look(made, {1: "RUNNING", 2: "PENDING", 3: "PENDING", 4: "PENDING"})
    assert repr(summary) == "<Summary of 's': 10 pending, 1 complete, 1 failed of 12>"


def test_a_case_that_runs_again_has_no_reason(made: MadeSweep) -> None:
    assert look(made, {}).reasons == {"error": 1}
    made.plan(IndexSet.of([0]), generation=1)
    made.handed_in(2, job_id="101")
    again = look(made, {})
    assert (again.counts.get(Status.FAILED, 0), again.reasons) == (0, {})


def test_a_task_that_left_the_queue_is_unsettled_until_its_verdict(made: MadeSweep) -> None:
    first = look(made, {1: "RUNNING"})
    assert first.tasks == {"RUNNING": 1, "gone": 3}
    for _ in range(4):
        last = look(made, {1: "RUNNING"})
    assert last.tasks == {"RUNNING": 1}
    assert last.counts[Status.INTERRUPTED] == 6
    assert last.reasons == {"error": 1, "lost": 6}
    assert sum(last.counts.values()) == 12


def test_a_cluster_that_was_never_reached(made: MadeSweep) -> None:
    summary = look(made, None)
    assert summary.counts[Status.UNKNOWN] == 8
    assert summary.counts[Status.PENDING] == 2
    assert summary.tasks == {"sent": 4}
    assert (summary.asked_s_ago, summary.problem) == (None, "no answer")


def test_a_cluster_that_stops_answering(made: MadeSweep) -> None:
    look(made, dict.fromkeys(range(1, 5), "PENDING"))
    summary = look(made, None)
    assert summary.counts[Status.PENDING] == 10  # the last that was heard
    assert summary.asked_s_ago is not None
    assert summary.problem == "no answer"


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """That sweep when a second submission has completed it."""
    made = one_of_five_tasks(tmp_path_factory.mktemp("complete"))
    (made.root / "target.py").write_text("def run(x): return {}\n")
    made.plan(IndexSet.of([0, 10, 11]), generation=1)
    made.handed_in(2, job_id="101")
    for task in range(1, 5):
        made.run(task)
    made.run(submission=2)
    return look(made, {})


def test_a_complete_sweep(complete: Summary) -> None:
    assert (complete.is_complete, complete.is_settled, complete.tasks) == (True, True, {})
    assert complete.submissions == 2


@pytest.mark.parametrize(
    ("tasks", "waiting", "is_settled"),
    [
        ({"PENDING": 2}, {"launch failed requeued held": 1, "JobHeldUser": 1}, True),
        ({"PENDING": 2}, {"launch failed requeued held": 1, "BeginTime": 1}, False),
        ({"PENDING": 1, "RUNNING": 1}, {"JobHeldUser": 1}, False),
    ],
)
def test_held_tasks_keep_no_complete_sweep_waiting(
    complete: Summary, tasks: dict[str, int], waiting: dict[str, int], is_settled: bool
) -> None:
    held = replace(complete, tasks=tasks, waiting=waiting)
    assert held.is_settled == is_settled
    assert not replace(held, n_cases=13).is_settled


def test_a_wait_reads_core_hours_at_its_end_alone(tmp_path: Path) -> None:
    """They need every row of up to twenty thousand cases."""
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python="def run(x): return {'y': x}\n")
    made.plan(chunk_size=1)
    made.handed_in()
    for task in range(2):
        made.run(task)
        counted = status(made.directory, None, SETTINGS, checks=Checks.COUNTS)
        assert (counted.core_hours is not None) == counted.is_settled == (task == 1)
        assert status(made.directory, None, SETTINGS).core_hours is not None


def test_two_indices_of_one_case_count_twice(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, random({"x": randint(0, 3)}, 8, seed=1))
    made.plan()
    made.handed_in()
    made.run()
    assert look(made, {}).counts[Status.COMPLETE] == 8


def test_a_second_status_reads_only_new_bytes(made: MadeSweep) -> None:
    before = look(made, {})
    (journal,) = made.directory.journal_dir(1).rglob("*.jsonl")
    (record,) = (found for found in made.records("end") if found.get("index") == 1)
    # If the journals were read again, this record would win over all others.
    forged = encode(record | {"attempt": [9, 1, 0, "f" * 16], "status": "failed", "word": 2})
    size = journal.stat().st_size
    journal.write_bytes(forged + b"\n" * (size - len(forged)))
    assert journal.stat().st_size == size
    assert look(made, {}).counts == before.counts
    made.directory.path.joinpath("store.sqlite3").unlink()
    assert look(made, {}).counts != before.counts


def test_damaged_lines_are_reported(made: MadeSweep) -> None:
    (journal,) = made.directory.journal_dir(1).rglob("*.jsonl")
    with journal.open("ab") as stream:
        stream.write(b"torn\nand another\n")
    assert list(look(made, {}).torn.values()) == [2]


def test_the_document(made: MadeSweep) -> None:
    document = json.loads(json.dumps(look(made, {1: "RUNNING"}).to_json()))
    assert document["counts"].keys() == {one.value for one in Status}
    assert sum(document["counts"].values()) == document["cases"] == 12
    assert (document["name"], document["complete"], document["submissions"]) == ("s", False, 1)
    assert document["cluster"].keys() == {"asked_s_ago", "problem"}


def test_wait_polls_until_all_tasks_are_over(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: Iterator[int] = iter(range(1, 5))
    queue = Queue(dict.fromkeys(range(1, 5), "RUNNING"))

    def sleep(seconds: float) -> None:
        assert module.POLL_S[0] <= seconds <= module.POLL_S[1]
        task = next(steps)
        made.run(task)
        del (queue.states or {})[task]

    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic, time=time.time)
    monkeypatch.setattr(module, "time", clock)
    seen: list[int] = []
    read: list[int] = []

    def running_cases(_sweep: object, _index: object, indices: IndexSet) -> tuple[()]:
        read.append(indices.count)
        return ()

    monkeypatch.setattr(module, "running_cases", running_cases)
    found = wait(made.directory, queue, SETTINGS, lambda s: seen.append(sum(s.tasks.values())))  # type: ignore[arg-type]
    assert seen == [4, 3, 2, 1, 0]
    # Only the last summary has more than counts.
    assert read == [0]
    assert found.counts[Status.COMPLETE] == 9


def test_when_the_queue_expects_the_next_task_to_start(made: MadeSweep) -> None:
    soon = time.time() + 1000
    queue = Queue(
        {1: "RUNNING", 2: "RUNNING", 3: "PENDING", 4: "PENDING"},
        {2: soon - 900, 3: soon + 60, 4: soon},
    )
    found = status(made.directory, queue, SETTINGS)  # type: ignore[arg-type]
    assert found.next_start is not None
    assert abs(datetime.fromisoformat(found.next_start).timestamp() - soon) <= 1
    assert found.to_json()["next_start"] == found.next_start
    # An estimate in the past is not shown, nor one for running tasks.
    for state, start in (("PENDING", soon - 2000), ("RUNNING", soon)):
        later = Queue({1: "RUNNING", 2: "RUNNING", 3: state, 4: "RUNNING"}, {3: start})
        assert status(made.directory, later, SETTINGS).next_start is None  # type: ignore[arg-type]
