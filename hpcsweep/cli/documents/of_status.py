"""The schema of the document of `status`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hpcsweep.cli.documents.base import JsonObject, MemoryExcessPart


class WaitingPart(JsonObject):
    """The array tasks that wait for one reason."""

    tasks: int
    starts_by_itself: bool
    """Whether they start without an action."""
    meaning: str | None
    """What the queue's reason means, and what to do."""


class ClusterAnswerPart(JsonObject):
    """The last poll of the cluster."""

    asked_s_ago: float | None
    """Seconds since the cluster last answered; null if it never did or need not be polled."""
    problem: str | None
    """Why the last poll failed."""


class CodePart(JsonObject):
    """The code of complete cases."""

    complete: int
    """Count of complete cases."""
    other: dict[str, int]
    """Of them, counts of those computed with other code, by its digest."""
    today: str | None
    """The digest of today's code; null if it is not available."""


class ErrorKindPart(JsonObject):
    """An error of a stopped sweep."""

    error: str
    cases: int
    first: int
    """The index of the first of them."""


class StoppedPart(JsonObject):
    """Why the circuit breaker lets nothing more run."""

    failures: int
    kind: str | None
    held: bool
    canary: bool
    errors: list[ErrorKindPart]


class PausedPart(JsonObject):
    """Why cases wait for room on the disk."""

    path: str
    file_system: str | None
    cases: int
    full_now: bool | None
    """Null if nobody looked."""


class StandstillPart(JsonObject):
    """Why nothing goes on though cases or stages are to be sent."""

    cases: int
    stages: list[str]
    why: str
    next: str
    """The command that goes on."""


class ExcludedNodePart(JsonObject):
    """A node that gets nothing more, as cases failed there."""

    node: str
    time: float
    """When it was excluded, in seconds of the epoch."""
    first: str
    """The first failure: UTC, ISO 8601."""
    last: str
    """The last failure: UTC, ISO 8601."""
    cases: list[int]
    """Indices."""
    messages: list[str]


class ReducePart(JsonObject):
    """How far the reduce is."""

    status: str | None
    """Null if it was not sent yet."""
    reason: str | None
    under_way: bool


class RungPart(JsonObject):
    """The trials of one budget."""

    budget: int
    asked: int
    valued: int


class HalvingPart(JsonObject):
    """How far successive halving is."""

    resource: str
    """The parameter that has the budget."""
    rungs: list[RungPart]
    from_start: int
    """Count of promoted trials that found no checkpoint of their predecessor."""


class SearchPart(JsonObject):
    """How far the search is that finds the cases."""

    objective: str
    direction: Literal["minimize", "maximize"]
    n: int
    """Count of trials; the next ones count those that are cases, are over, and have a value."""
    asked: int
    over: int
    valued: int
    best: float | None
    best_case: int | None
    """The index of its case, with replicates of the first."""
    problem: str
    """Why no further trial is asked for; empty if nothing prevents it."""
    halving: HalvingPart | None
    """With it the best value is one of the largest budget that has any."""


class CanaryPart(JsonObject):
    """The cases that go first."""

    cases: int
    complete: int
    under_way: int
    others: int
    """Count of the cases that wait for them."""


class PacePart(JsonObject):
    """How fast cases end, by what earlier commands counted."""

    ended: int
    """Count of cases that ended in the last `seconds`."""
    seconds: float
    per_hour: float
    left: int
    """Count of cases that are under way, or are sent when there is room."""
    left_s: float | None
    """Seconds for these at this rate; null if few cases ended."""
    left_s_least: float | None
    left_s_most: float | None


class RunningCasePart(JsonObject):
    """A case that runs, and what it used at the last heartbeat of its task."""

    index: int
    case_id: str
    host: str | None
    seconds: float | None
    """Since it began."""
    seconds_ago: float | None
    """Since the heartbeat; null without one since the case began."""
    cpu_seconds: float | None
    memory_bytes: int | None


class FailureExamplePart(JsonObject):
    """The first case of a group."""

    index: int
    params: dict[str, Any]
    host: str | None


class FailureGroupPart(JsonObject):
    """Failed cases with the same headline, but for numbers and ids."""

    reason: str
    message: str
    """Of the example, whole."""
    headline: str
    """The line of it that says what failed."""
    count: int
    example: FailureExamplePart
    suspect: str | None
    """The value of a param with which most fail."""


class CoreHoursPart(JsonObject):
    """The core-hours of attempts that ended."""

    used: float
    asked: float
    """Of tasks, from the start of the first case to the end of the last one, times their CPUs."""


class StatusDocument(JsonObject):
    """The state of a sweep. Counts are of cases."""

    schema_name: Literal["hpcsweep.status/1"] = Field(alias="schema")
    name: str
    path: str
    manifest: str
    """The fingerprint of the newest manifest."""
    cases: int
    counts: dict[str, int]
    """By status."""
    reasons: dict[str, int]
    """Of failed and interrupted cases, by reason."""
    unsubmitted: int
    """Count of pending cases that a submit would send."""
    tasks: dict[str, int]
    """Counts of array tasks that are not known to be over, by Slurm's state."""
    waiting: dict[str, WaitingPart]
    """By the queue's reason."""
    next_start: str | None
    """When Slurm expects the next waiting task to start: local time with its offset."""
    cluster: ClusterAnswerPart
    torn_lines: int
    """Count of journal lines that were passed over."""
    torn_journals: list[str]
    submissions: int
    other_code: int
    """Count of complete cases that were computed with other code."""
    code: CodePart
    lost_files: int | None
    """Count of complete cases whose files are gone; null without `--check`."""
    changed_inputs: int | None
    """Count of complete cases whose input files or keyed cells changed; null if nobody looked: of
    more than 20,000 cases only `--check` does."""
    memory_excess: MemoryExcessPart | None
    given_up: dict[str, str]
    """Ranges of indices that `retry` gave up, by why."""
    stopped: StoppedPart | None
    paused: PausedPart | None
    standstill: StandstillPart | None
    excluded_nodes: list[ExcludedNodePart]
    reduce: ReducePart | None
    search: SearchPart | None
    canary: CanaryPart | None
    followers: list[str]
    """The names of the sweeps that are sent after this one."""
    slowest_s: float | None
    """Of complete cases."""
    largest_bytes: int | None
    """Of complete cases."""
    pace: PacePart | None
    """Null if nothing is under way, or it is not known."""
    core_hours: CoreHoursPart | None
    """Null if no attempt has ended, and above 20,000 begun cases without `--check`."""
    running: list[RunningCasePart]
    """The first fifty, the one that began first before others."""
    failures: list[FailureGroupPart]
    """The largest groups."""
    complete: bool
    """Whether every case is complete."""
