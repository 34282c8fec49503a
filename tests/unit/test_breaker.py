"""The circuit breaker: which failures count, when they are too many, and what tasks mark."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import Policies, Retry, StopAfter
from hpcsweep.records import Outcome, ParamCase, Reason, Status
from hpcsweep.state.stopped import FailureKind
from hpcsweep.submission.breaker import counted, stop_rules, too_many
from hpcsweep.submission.policy import Policy
from hpcsweep.sweepdir.stop import error_kind, failure_marks, stop_fact
from hpcsweep.sweepdir.version import Version
from hpcsweep.worker import breaker
from hpcsweep.worker.breaker import TaskBreaker
from hpcsweep.worker.runner import Runner
from tests.unit.test_advance_policy import ASKED, group, outlook, version

__all__ = ["version"]  # fixtures are found by their names


@pytest.mark.parametrize(
    ("retry", "forgiven", "after", "expected"),
    [
        (None, "", 0, "0-9,20-22"),
        (None, "0-5,20", 1, "6-9,21-22"),
        # They failed again in submission 1, after the user resumed the sweep.
        (None, "0-5,20", 0, "0-9,20-22"),
        (Retry(on=frozenset({Reason.ERROR}), max_attempts=2), "", 0, "20-22"),
        # Two attempts were made of some, three of none.
        (Retry(on=frozenset({Reason.ERROR, Reason.EXIT_CODE}), max_attempts=2), "", 0, "20-22"),
        (Retry(on=frozenset({Reason.ERROR, Reason.EXIT_CODE}), max_attempts=3), "", 0, ""),
    ],
)
def test_what_counts(
    version: Version, retry: Retry | None, forgiven: str, after: int, expected: str
) -> None:
    found = outlook(
        version,
        group("0-9", Reason.ERROR),
        group("10-15", Reason.TIMEOUT),
        group("16-19"),
        group("20-22", Reason.EXIT_CODE, tries=2),
    )
    policy = Policy(advances=True, resources=ASKED, retry=retry)
    assert str(counted(found, policy, IndexSet.parse(forgiven), after)) == expected


KINDS = [
    FailureKind(kind="ValueError: bad", indices=IndexSet.parse("0-6")),
    FailureKind(kind="exit_code: 3", indices=IndexSet.parse("10-12")),
]


@pytest.mark.parametrize(
    ("stop", "failures", "kind"),
    [
        (StopAfter(failures=10), 10, ""),
        (StopAfter(failures=11), None, None),
        (StopAfter(failures=7, equal=True), 7, "ValueError: bad"),
        (StopAfter(failures=8, equal=True), None, None),
        (StopAfter(share=0.1), 10, ""),
        (StopAfter(share=0.11), None, None),
    ],
)
def test_when_they_are_too_many(stop: StopAfter, failures: int | None, kind: str | None) -> None:
    found = too_many(stop, 100, KINDS)
    assert (found.indices.count if found else None) == failures
    assert (found.kind if found else None) == kind
    assert too_many(stop, 100, []) is None


@pytest.mark.parametrize(
    ("reason", "error", "expected"),
    [
        ("error", {"type": "ValueError", "message": "bad\nTraceback"}, "ValueError: bad"),
        ("error", {"type": "KeyError", "message": ""}, "KeyError"),
        ("signal", None, "signal"),
        ("error", {"type": "E", "message": "x" * 500}, "E: " + "x" * 80),
    ],
)
def test_what_equal_failures_share(
    reason: str, error: dict[str, str] | None, expected: str
) -> None:
    assert error_kind(reason, error) == expected


# --- in a task -----------------------------------------------------------------------------------


def failed(reason: Reason = Reason.ERROR, message: str = "bad") -> Outcome:
    error = {"type": "ValueError", "message": message}
    return Outcome(status=reason.status, reason=reason, error=error)


def a_case(index: int) -> ParamCase:
    return ParamCase(index=index, params={}, case_id=f"{index:016x}")


@pytest.fixture
def advances(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The programs that the breaker starts; none is executed."""
    started: list[list[str]] = []

    def note(_path: str, argv: list[str], _environment: dict[str, str]) -> int:
        started.append(argv)
        return 0

    monkeypatch.setattr(os, "posix_spawn", note)
    return started


def a_breaker(sweep: Path, stop: StopAfter, retry: Retry | None = None) -> TaskBreaker:
    rules = stop_rules(Policies(stop_after=stop, retry=retry), 10_000)
    assert rules is not None
    failure_marks(sweep).mkdir(parents=True, exist_ok=True)
    return TaskBreaker(sys.executable, sweep, rules, Runner())


def test_two_tasks_count_together_and_one_stops(tmp_path: Path, advances: list[list[str]]) -> None:
    tasks = [a_breaker(tmp_path, StopAfter(failures=4)) for _ in range(2)]
    for index in range(3):
        tasks[index % 2].note(a_case(index), failed(message=str(index)))
    tasks[0].note(a_case(2), failed())  # restarted, with another error
    tasks[0].note(a_case(7), Outcome(status=Status.COMPLETE))
    tasks[0].note(a_case(8), failed(Reason.TIMEOUT))
    assert not tasks[1].is_stopped
    tasks[0].note(a_case(3), failed())
    tasks[1].note(a_case(4), failed())  # it was running
    assert tasks[1].is_stopped
    assert len(advances) == 1


def test_only_equal_ones_count_together(tmp_path: Path, advances: list[list[str]]) -> None:
    task = a_breaker(tmp_path, StopAfter(failures=2, equal=True))
    for index in range(5):
        task.note(a_case(index), failed(message=str(index)))
    assert not task.is_stopped
    task.note(a_case(9), failed(message="4"))
    assert task.is_stopped
    fact = stop_fact(tmp_path)
    assert fact is not None
    assert (fact["failures"], fact["kind"]) == (2, "ValueError: 4")
    assert [argv[-2:] for argv in advances] == [["advance", str(tmp_path)]]


def test_what_a_retry_may_mend_is_not_marked(tmp_path: Path, advances: list[list[str]]) -> None:
    task = a_breaker(tmp_path, StopAfter(failures=1), Retry(on=frozenset({Reason.OUT_OF_MEMORY})))
    task.note(a_case(0), failed(Reason.OUT_OF_MEMORY))
    assert not task.is_stopped
    task.note(a_case(0), failed())
    assert task.is_stopped
    assert len(advances) == 1


def test_marks_are_few_however_many_failures_it_takes(
    tmp_path: Path, advances: list[list[str]]
) -> None:
    task = a_breaker(tmp_path, StopAfter(share=0.25))  # 2,500: every third case is marked
    for index in range(2601):
        task.note(a_case(index), failed())
    assert task.is_stopped
    assert len(advances) == 1
    assert len(list(failure_marks(tmp_path).iterdir())) <= breaker.MARKS_MAX
    fact = stop_fact(tmp_path)
    assert fact is not None
    assert fact["failures"] == 2502
