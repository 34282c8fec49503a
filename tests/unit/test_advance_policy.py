"""Tables of outlooks, and the indices that `advance` sends: owed ones, and retries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpcsweep.cluster.limits import Limits
from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import Retry
from hpcsweep.records import Reason, Resources, Status
from hpcsweep.sources import grid
from hpcsweep.state.given_up import exhausted, given_up_lines
from hpcsweep.state.outlook import Group, Outlook, State
from hpcsweep.submission.policy import UNASKED, Batch, Policy, decide, wanted
from hpcsweep.sweepdir.version import Version
from tests.support.sweeps import MadeSweep

ASKED = Resources(options={"mem": "2G", "time": "00:10:00"})
MORE_MEMORY = Resources(options={"mem": "3072M", "time": "00:10:00"})
MORE_TIME = Resources(options={"mem": "2G", "time": "00:20:00"})
CASES = 30


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    made = MadeSweep(tmp_path_factory.mktemp("advance"), grid(x=list(range(CASES))))
    return Version.of(made.manifest, made.source)


def group(indices: str, reason: Reason | None = None, *, tries: int = 1, **more: object) -> Group:
    """Indices of one reason that submission 1 had; COMPLETE without a reason."""
    state, status = State.COMPLETE, Status.COMPLETE
    if reason is not None:
        status = reason.status
        state = State.FAILED if status is Status.FAILED else State.INTERRUPTED
    about = Group(
        indices=IndexSet.parse(indices),
        state=state,
        status=status,
        reason=reason,
        attempt=tries,
        tries=tries,
        submission=1,
    )
    return replace(about, **more)  # type: ignore[arg-type]


def outlook(version: Version, *groups: Group, **more: object) -> Outlook:
    found = Outlook(version=version, groups=groups, resources={1: ASKED})
    return replace(found, **more)  # type: ignore[arg-type]


def advanced(
    found: Outlook, retry: Retry | None = None, limits: Limits = UNASKED
) -> list[tuple[str, Resources]]:
    batches = decide(found, Policy(advances=True, retry=retry, resources=ASKED, chunk=1), limits)
    assert all(not batch.rest for batch in batches)
    return [(str(batch.indices), batch.resources) for batch in batches]


@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        (Reason.OUT_OF_MEMORY, [("3-5", MORE_MEMORY)]),
        (Reason.TIMEOUT, [("3-5", MORE_TIME)]),
        (Reason.NODE_FAIL, [("3-5", ASKED)]),
        (Reason.LOST, [("3-5", ASKED)]),
        # Errors of the user's code, and what a user ended, are not retried.
        (Reason.ERROR, []),
        (Reason.EXIT_CODE, []),
        (Reason.SIGNAL, []),
        (Reason.CASE_TIMEOUT, []),
        (Reason.CANCELLED, []),
        (Reason.TERMINATED, []),
    ],
)
def test_reasons(version: Version, reason: Reason, sent: list[tuple[str, Resources]]) -> None:
    found = outlook(version, group("0-2"), group("3-5", reason))
    assert advanced(found, Retry()) == sent
    assert advanced(found) == []
    assert advanced(found, Retry(on=frozenset())) == []


@pytest.mark.parametrize("retry", [None, Retry(), Retry(on=frozenset({Reason.QUOTA}))])
@pytest.mark.parametrize("tries", [0, 1, 7])
def test_what_a_full_disk_interrupted_is_sent_as_it_was(
    version: Version, retry: Retry | None, tries: int
) -> None:
    found = outlook(version, group("0-2"), group("3-5", Reason.QUOTA, tries=tries))
    assert advanced(found, retry) == [("3-5", ASKED)]
    assert str(found.paused) == "3-5"
    assert exhausted(found, retry or Retry()) == {}
    flying = replace(found, in_flight=IndexSet.parse("4"))
    assert advanced(flying, retry) == [("3,5", ASKED)]
    assert str(flying.paused) == "3,5"


def test_what_a_user_cancelled_is_sent_by_a_user_alone(version: Version) -> None:
    """Invariant 26, for owed indices, retries, and indices that a full disk interrupted."""
    groups = (group("0-2"), group("3-5", Reason.QUOTA), group("6-9", Reason.LOST))
    waiting = group("10-12", Reason.CANCELLED, state=State.UNSUBMITTED, attempt=0, tries=0)
    cancelled = IndexSet.parse("4,7-8,11-12")
    found = outlook(version, *groups, waiting, owed=IndexSet.parse("10-12"), withdrawn=cancelled)
    sent = [IndexSet.parse(indices) for indices, _ in advanced(found, Retry())]
    assert str(IndexSet.union(sent)) == "3,5-6,9-10"
    of_user = decide(found, Policy(resources=ASKED, chunk=1), UNASKED)
    assert IndexSet.union(batch.indices for batch in of_user) & cancelled == cancelled


def test_an_error_that_is_named_is_retried_with_what_it_had(version: Version) -> None:
    found = outlook(version, group("3-5", Reason.ERROR))
    assert advanced(found, Retry(on=frozenset({Reason.ERROR}))) == [("3-5", ASKED)]


@pytest.mark.parametrize("tries", [3, 4])
def test_after_the_last_attempt_a_case_is_given_up(version: Version, tries: int) -> None:
    found = outlook(version, group("3-5", Reason.TIMEOUT, tries=tries))
    assert advanced(found, Retry(max_attempts=3)) == []
    assert exhausted(found, Retry(max_attempts=3)) == {
        f"timeout after {tries} attempts": IndexSet.parse("3-5")
    }


def test_where_no_more_can_be_asked_for_a_case_is_given_up(version: Version) -> None:
    retry = Retry(most={"mem": 2 << 30})
    found = outlook(version, group("3-5", Reason.OUT_OF_MEMORY), group("6", Reason.TIMEOUT))
    assert advanced(found, retry) == [("6", MORE_TIME)]
    assert exhausted(found, retry) == {
        "out_of_memory, and no more `mem` can be asked for": IndexSet.parse("3-5")
    }


def test_a_retry_asks_for_no_more_than_the_cluster_gives(version: Version) -> None:
    found = outlook(version, group("3-5", Reason.OUT_OF_MEMORY), group("6", Reason.TIMEOUT))
    rules = Policy(advances=True, retry=Retry(), resources=ASKED, chunk=1)
    caps = {"mem": 2 << 30, "time": 900}
    (batch,) = decide(found, replace(rules, caps=caps), UNASKED)
    assert batch.resources.options == {"mem": "2G", "time": "00:15:00"}
    assert exhausted(replace(found, caps=caps), Retry()) == {
        "out_of_memory, and no more `mem` can be asked for": IndexSet.parse("3-5")
    }


def test_each_resource_class_is_a_batch(version: Version) -> None:
    found = outlook(
        version,
        group("0-1", Reason.OUT_OF_MEMORY),
        group("2", Reason.TIMEOUT),
        group("3", Reason.NODE_FAIL),
        group("4", Reason.OUT_OF_MEMORY, tries=2),
    )
    sent = dict(advanced(found, Retry()))
    assert sent == {"3": ASKED, "0-1,4": MORE_MEMORY, "2": MORE_TIME}


def test_what_a_task_did_not_come_to_is_sent_again_as_it_was(version: Version) -> None:
    """The case before them ran out of time; they used no attempt."""
    behind = group("4-6", Reason.TIMEOUT, tries=0)
    found = outlook(version, group("3", Reason.TIMEOUT), behind)
    assert dict(advanced(found, Retry())) == {"3": MORE_TIME, "4-6": ASKED}


def test_tasks_that_begin_nothing_use_the_attempts_up(version: Version) -> None:
    behind = group("4-6", Reason.NODE_FAIL, tries=0)
    found = outlook(version, behind, stalled={2: IndexSet.parse("4"), 3: IndexSet.parse("5-6")})
    assert advanced(found, Retry(max_attempts=3)) == [("4", ASKED)]


def test_what_is_owed_is_sent_without_a_retry(version: Version) -> None:
    left = group("6-9", None, state=State.UNSUBMITTED, status=Status.PENDING, submission=None)
    found = outlook(version, group("0-2"), left, owed=IndexSet.parse("0-8"))
    assert advanced(found) == [("6-8", ASKED)]


def test_what_may_run_or_is_complete_is_never_sent(version: Version) -> None:
    groups = [group(str(index), Reason.NODE_FAIL, state=state) for index, state in enumerate(State)]
    found = outlook(version, *groups, in_flight=IndexSet.parse("8"), owed=IndexSet.all(CASES))
    free = {State.FAILED, State.INTERRUPTED, State.UNSUBMITTED, State.QUEUED, State.HELD}
    numbers = [number for number, state in enumerate(State) if state in free and number != 8]
    assert set(wanted(found, Policy(advances=True, retry=Retry()))) <= set(numbers)


def sent_with_room(
    version: Version, room: int, *, chunk: int = 1, size: int = 1001, retry: Retry | None = None
) -> Batch | None:
    limits = replace(UNASKED, max_array_size=size, max_jobs=room + 3, jobs=3)
    found = decide(
        Outlook.of_nothing(version), Policy(chunk=chunk, retry=retry, closes=bool(retry)), limits
    )
    return found[0] if found else None


@pytest.mark.parametrize(
    ("room", "chunk", "size", "now", "left"),
    [
        # Each array has a closing job behind it, which needs room as well.
        (8, 1, 6, "0-5", "6-29"),
        (8, 3, 6, "0-17", "18-29"),
        (7, 1, 6, "0-4", "5-29"),
        (6, 1, 6, "0-4", "5-29"),
        (3, 1, 6, "0-1", "2-29"),
        (30, 1, 1001, "0-29", ""),
        (29, 1, 1001, "0-27", "28-29"),
        (100, 1, 1001, "0-29", ""),
    ],
)
def test_what_fits_goes_now_and_the_rest_is_owed(
    version: Version, room: int, chunk: int, *, size: int, now: str, left: str
) -> None:
    batch = sent_with_room(version, room, chunk=chunk, size=size)
    assert batch is not None
    assert (str(batch.indices), str(batch.rest), batch.closes) == (now, left, bool(left))


@pytest.mark.parametrize(
    ("calls", "size", "now", "left"),
    [
        # An array has five tasks, and with a closing job behind it needs two calls.
        (6, 6, "0-29", ""),
        (5, 6, "0-9", "10-29"),
        (2, 6, "0-4", "5-29"),
        (1, 1001, "0-29", ""),
    ],
)
def test_as_many_arrays_go_now_as_calls_of_sbatch_are_left(
    version: Version, calls: int, size: int, now: str, left: str
) -> None:
    limits = replace(UNASKED, max_array_size=size, calls=calls)
    (batch,) = decide(Outlook.of_nothing(version), Policy(chunk=1), limits)
    assert (str(batch.indices), str(batch.rest), batch.closes) == (now, left, bool(left))


@pytest.mark.parametrize(("calls", "retry"), [(0, None), (1, Retry())])
def test_without_calls_for_an_array_and_its_closing_job_nothing_is_sent(
    version: Version, calls: int, retry: Retry | None
) -> None:
    limits = replace(UNASKED, calls=calls)
    assert (
        decide(Outlook.of_nothing(version), Policy(retry=retry, closes=bool(retry)), limits) == ()
    )


@pytest.mark.parametrize("room", [0, 1])
def test_without_room_for_a_task_and_its_closing_job_nothing_is_sent(
    version: Version, room: int
) -> None:
    assert sent_with_room(version, room) is None


def test_a_limit_below_three_jobs_is_refused_by_its_name(version: Version) -> None:
    """A sweep needs room for a running closing job, a task, and the task's closing job."""
    for retry, chunk in ((None, 1), (Retry(), CASES)):
        limits = replace(UNASKED, max_jobs=2, max_jobs_name="MaxSubmitJobs of the association")
        with pytest.raises(InputError, match="MaxSubmitJobs of the association is 2, and a sweep"):
            decide(
                Outlook.of_nothing(version),
                Policy(chunk=chunk, retry=retry, closes=bool(retry)),
                limits,
            )
    fits = replace(UNASKED, max_jobs=2)
    (batch,) = decide(Outlook.of_nothing(version), Policy(chunk=15), fits)
    assert (batch.tasks, batch.closes) == (2, False)


def test_a_sweep_that_retries_has_closing_jobs(version: Version) -> None:
    batch = decide(Outlook.of_nothing(version), Policy(retry=Retry(), closes=True), UNASKED)[0]
    assert batch.closes
    assert not decide(Outlook.of_nothing(version), Policy(), UNASKED)[0].closes


def test_what_people_see_of_it() -> None:
    found = {"lost after 3 attempts": IndexSet.parse("0-20"), "error": IndexSet.parse("7")}
    assert given_up_lines(found) == [
        "retry gave up 1 case: error (index 7)",
        "retry gave up 21 cases: lost after 3 attempts (indices 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 …)",
    ]
