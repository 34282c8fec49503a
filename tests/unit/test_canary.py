"""Tables of outlooks: which cases go first, which wait for them, and which follow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hpcsweep.cluster.limits import Limits
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import Target
from hpcsweep.manifest.policies import Policies, Retry, Search
from hpcsweep.records import Reason, Resources, Status
from hpcsweep.sources import arange, grid
from hpcsweep.state.canary import CanaryCounts, canary_counts
from hpcsweep.state.outlook import Group, Outlook, State
from hpcsweep.state.stopped import FailureKind, Stopped
from hpcsweep.store.measured import Measured
from hpcsweep.submission.canary_stop import has_failed, reasons_text
from hpcsweep.submission.first_cases import spread
from hpcsweep.submission.policy import UNASKED, Policy, decide
from hpcsweep.submission.request import SubmitRequest
from tests.support.simulated_site import version_of

CASES = 100
VERSION = version_of(grid(x=arange(0, CASES, 1)))
ASKED = Resources(options={"mem": "1G", "time": "01:00:00"})
CANARY = IndexSet.of([0, 24, 49, 74, 99])
MEASURED = Measured(cases=5, mean_s=60.0, longest_s=90.0, max_rss_bytes=1 << 28)
POLICY = Policy(canary=5, resources=ASKED)
ADVANCE = Policy(resources=ASKED, advances=True)
# How a case ends. `None`: it is complete.
Ends = dict[int, Reason | None]


def after_canary(ends: Ends, **more: object) -> Outlook:
    """The outlook when these cases of the canary have ended, and the others are in flight."""
    groups = []
    for index, reason in ends.items():
        status = Status.COMPLETE if reason is None else reason.status
        state = {
            Status.COMPLETE: State.COMPLETE,
            Status.FAILED: State.FAILED,
            Status.INTERRUPTED: State.INTERRUPTED,
        }[status]
        about = IndexSet.of([index])
        groups.append(
            Group(indices=about, state=state, status=status, reason=reason, tries=1, submission=1)
        )
    ended = IndexSet.of(ends)
    rest = IndexSet.all(CASES) - CANARY
    waiting = Group(indices=rest, state=State.UNSUBMITTED, status=Status.PENDING)
    queued = Group(indices=CANARY - ended, state=State.QUEUED, status=Status.PENDING)
    found = Outlook(
        version=VERSION,
        groups=(*groups, waiting, queued),
        in_flight=CANARY - ended,
        owed=rest,
        resources={1: ASKED},
        canary=CANARY,
        measured=MEASURED if None in ends.values() else None,
    )
    return replace(found, **more)  # type: ignore[arg-type]


ALL_COMPLETE: Ends = dict.fromkeys(CANARY)
ALL_FAILED: Ends = dict.fromkeys(CANARY, Reason.EXIT_CODE)


@pytest.mark.parametrize(
    ("indices", "count", "first"),
    [
        ("0-99", 5, "0,24,49,74,99"),
        ("0-99", 2, "0,99"),
        ("0-99", 1, "0"),
        ("0-99", 0, ""),
        ("3,7,10-20", 3, "3,14,20"),
        ("0-3", 4, "0-3"),
        ("0-3", 9, "0-3"),
    ],
)
def test_the_cases_that_go_first_are_spread_out(indices: str, count: int, first: str) -> None:
    assert str(spread(IndexSet.parse(indices), count)) == first


def test_of_a_billion_cases_the_first_are_found_at_once() -> None:
    assert spread(IndexSet.all(10**9), 3) == IndexSet.of([0, 499_999_999, 999_999_999])


def test_the_canary_goes_first_and_the_others_are_owed() -> None:
    (batch,) = decide(Outlook.of_nothing(VERSION), POLICY, UNASKED)
    assert (batch.indices, batch.rest) == (CANARY, IndexSet.all(CASES) - CANARY)
    assert (batch.chunk_size, batch.tasks) == (1, 5)
    assert batch.is_canary
    assert batch.closes


@pytest.mark.parametrize(
    ("policy", "more"),
    [
        (Policy(canary=0), {}),
        # A canary of all that is sent leaves nothing behind it.
        (Policy(canary=100), {}),
        (Policy(canary=5, selection=IndexSet.of([1, 2, 3])), {}),
        # The sweep is measured already.
        (Policy(canary=5), {"measured": MEASURED}),
    ],
)
def test_where_nothing_goes_first(policy: Policy, more: dict[str, object]) -> None:
    outlook = replace(Outlook.of_nothing(VERSION), **more)  # type: ignore[arg-type]
    (batch,) = decide(outlook, policy, UNASKED)
    assert not batch.is_canary
    assert not batch.rest
    assert not batch.closes


DEFAULT = Policy(canary=None)


@pytest.mark.parametrize(
    ("count", "policy", "limits", "first"),
    [
        (11, DEFAULT, UNASKED, "0"),
        (CASES, DEFAULT, UNASKED, "0"),
        (CASES, replace(DEFAULT, selection=IndexSet.parse("40-60")), UNASKED, "40"),
        # So few cases fail within the time that a canary takes.
        (10, DEFAULT, UNASKED, ""),
        (CASES, replace(DEFAULT, selection=IndexSet.parse("40-49")), UNASKED, ""),
        # Without closing jobs the others would wait for a user.
        (CASES, replace(DEFAULT, has_closing_jobs=False), UNASKED, ""),
        (CASES, DEFAULT, replace(UNASKED, runs_jobs=False), ""),
        (CASES, DEFAULT, replace(UNASKED, max_jobs=2), ""),
        (CASES, DEFAULT, replace(UNASKED, max_jobs=3), "0"),
        (CASES, replace(POLICY, has_closing_jobs=False), UNASKED, str(CANARY)),
    ],
)
def test_the_default_of_a_command(count: int, policy: Policy, limits: Limits, first: str) -> None:
    outlook = Outlook.of_nothing(version_of(grid(x=arange(0, count, 1))))
    (batch,) = decide(outlook, replace(policy, chunk=count), limits)
    assert str(batch.indices if batch.is_canary else IndexSet()) == first


def test_only_a_command_has_a_default(tmp_path: Path) -> None:
    manifest = VERSION.manifest
    request = SubmitRequest(manifest=manifest, source=VERSION.source, path=tmp_path)
    assert request.policy.canary is None
    assert replace(request, at_once=True).policy.canary == 0
    function = replace(manifest, target=Target(module="m", function="f"))
    assert replace(request, manifest=function).policy.canary == 0
    nodes = replace(request.manifest, mode="single", nodes=4)
    assert replace(request, manifest=nodes).policy.canary == 0
    # A search goes on after a trial that fails.
    search = Search(objective="y", space={}, n=30, batch=16)
    searches = replace(manifest, policies=Policies(search=search).to_json())
    assert replace(request, manifest=searches).policy.canary == 0
    for asked in (0, 5):
        told = replace(manifest, policies=Policies(canary=asked).to_json())
        assert replace(request, manifest=told, at_once=True).policy.canary == asked


def test_without_closing_jobs_all_the_room_is_for_tasks() -> None:
    limits = replace(UNASKED, max_jobs=2)
    policy = Policy(canary=5, has_closing_jobs=False)
    (batch,) = decide(Outlook.of_nothing(VERSION), policy, limits)
    assert (batch.tasks, batch.is_canary, batch.closes) == (2, True, True)


def test_of_a_selection_some_go_first() -> None:
    policy = Policy(canary=2, selection=IndexSet.parse("10-19"))
    (batch,) = decide(Outlook.of_nothing(VERSION), policy, UNASKED)
    assert (str(batch.indices), str(batch.rest)) == ("10,19", "11-18")


def test_a_rerun_of_all_that_failed_has_a_canary_of_its_generation() -> None:
    """The generation comes from all selected cases, not from those that go first."""
    failed = Group(
        indices=IndexSet.of([50]), state=State.FAILED, status=Status.FAILED, submission=1
    )
    pending = Group(
        indices=IndexSet.all(CASES) - failed.indices,
        state=State.UNSUBMITTED,
        status=Status.PENDING,
    )
    outlook = Outlook(version=VERSION, groups=(failed, pending))
    (batch,) = decide(outlook, replace(POLICY, rerun="failed"), UNASKED)
    assert 50 in batch.rest
    assert (batch.indices, batch.generation) == (CANARY, 1)


@pytest.mark.parametrize("policy", [POLICY, ADVANCE])
def test_while_it_runs_nothing_else_is_sent(policy: Policy) -> None:
    some = after_canary({0: None, 24: None, 49: Reason.EXIT_CODE})
    assert decide(some, policy, UNASKED) == ()
    assert not has_failed(some, policy)


def test_who_wants_no_canary_does_not_wait_for_one() -> None:
    running = after_canary({0: None})
    (batch,) = decide(running, replace(POLICY, canary=0), UNASKED)
    assert batch.indices == IndexSet.all(CASES) - CANARY


def test_when_it_has_passed_the_others_are_sent_by_its_measurements() -> None:
    passed = after_canary({**ALL_COMPLETE, 49: Reason.EXIT_CODE})
    (batch,) = decide(passed, ADVANCE, UNASKED)
    assert batch.indices == IndexSet.all(CASES) - CANARY
    assert (batch.chunk_size, batch.is_canary) == (10, False)
    assert batch.estimate is not None
    assert (batch.estimate.mean_s, batch.estimate.source) == (60.0, "canary")


def test_when_all_of_it_failed_nothing_more_is_sent() -> None:
    failed = after_canary(ALL_FAILED)
    assert decide(failed, ADVANCE, UNASKED) == ()
    assert has_failed(failed, ADVANCE)
    assert reasons_text(after_canary({**ALL_FAILED, 0: Reason.TIMEOUT})) == "4 exit_code, 1 timeout"


def test_of_a_canary_that_may_be_retried_only_its_own_cases_are_sent() -> None:
    retry = replace(ADVANCE, retry=Retry())
    ends: Ends = {**ALL_FAILED, 0: Reason.OUT_OF_MEMORY, 24: Reason.NODE_FAIL}
    outlook = after_canary(ends)
    batches = decide(outlook, retry, UNASKED)
    assert [(str(batch.indices), batch.is_canary) for batch in batches] == [
        ("24", True),
        ("0", True),
    ]
    assert not has_failed(outlook, retry)
    assert has_failed(outlook, ADVANCE)


def test_a_canary_with_less_room_is_smaller() -> None:
    limits = replace(UNASKED, max_jobs=4)
    (batch,) = decide(Outlook.of_nothing(VERSION), POLICY, limits)
    assert (batch.tasks, batch.rest) == (3, IndexSet.all(CASES) - batch.indices)
    assert batch.is_canary


# --- what people see -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ({}, "canary: 0 of 5 cases complete, 5 under way; 95 cases wait for it"),
        ({0: None}, "canary: 1 of 5 cases complete, 4 under way; 95 cases wait for it"),
        (ALL_COMPLETE, "canary: 5 of 5 cases complete; 95 cases are sent next"),
        (ALL_FAILED, "canary: 0 of 5 cases complete; 95 cases are not sent"),
    ],
)
def test_its_line(ends: Ends, text: str) -> None:
    counts = canary_counts(after_canary(ends))
    assert counts is not None
    assert counts.text == text


def test_without_others_there_is_no_line() -> None:
    assert canary_counts(after_canary(ALL_COMPLETE, owed=IndexSet())) is None
    assert canary_counts(Outlook.of_nothing(VERSION)) is None
    assert CanaryCounts(cases=5, complete=1, under_way=4, others=95).to_json() == {
        "cases": 5,
        "complete": 1,
        "under_way": 4,
        "others": 95,
    }


def test_its_digest() -> None:
    found = Stopped(
        name="s",
        path="/s",
        failures=5,
        kind="4 exit_code, 1 timeout",
        is_held=False,
        kinds=(FailureKind(kind="exit_code: 3", indices=IndexSet.of([24, 49, 74, 99])),),
        by_canary=True,
    )
    why, error, next_step = found.lines
    assert why == "s is stopped: no case of the canary is complete (4 exit_code, 1 timeout)"
    assert error == "  4 × exit_code: 3 (first index 24)"
    assert "`hpcsweep submit` sends another canary, `hpcsweep submit --canary 0` all" in next_step
    assert found.to_json()["canary"] is True
