"""The schemas of the JSON documents that commands print.

A key is only ever added; a document that would lose or change one gets the next number.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _JsonObject(BaseModel):
    """An object in a document. The texts below its keys are their descriptions."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class MemoryExcessPart(_JsonObject):
    """A complete case that used more memory than it asked for."""

    used_bytes: int
    requested_bytes: int


class WaitingPart(_JsonObject):
    """The array tasks that wait for one reason."""

    tasks: int
    starts_by_itself: bool
    """Whether they start without an action."""
    meaning: str | None
    """What the queue's reason means, and what to do."""


class ClusterAnswerPart(_JsonObject):
    """The last poll of the cluster."""

    asked_s_ago: float | None
    """Seconds since the cluster last answered; null if it never did or need not be polled."""
    problem: str | None
    """Why the last poll failed."""


class CodePart(_JsonObject):
    """The code of complete cases."""

    complete: int
    """Count of complete cases."""
    other: dict[str, int]
    """Of them, counts of those computed with other code, by its digest."""
    today: str | None
    """The digest of today's code; null if it is not available."""


class ErrorKindPart(_JsonObject):
    """An error of a stopped sweep."""

    error: str
    cases: int
    first: int
    """The index of the first of them."""


class StoppedPart(_JsonObject):
    """Why the circuit breaker lets nothing more run."""

    failures: int
    kind: str | None
    held: bool
    canary: bool
    errors: list[ErrorKindPart]


class PausedPart(_JsonObject):
    """Why cases wait for room on the disk."""

    path: str
    file_system: str | None
    cases: int
    full_now: bool | None
    """Null if nobody looked."""


class StandstillPart(_JsonObject):
    """Why nothing goes on though cases or stages are to be sent."""

    cases: int
    stages: list[str]
    why: str
    next: str
    """The command that goes on."""


class ExcludedNodePart(_JsonObject):
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


class ReducePart(_JsonObject):
    """How far the reduce is."""

    status: str | None
    """Null if it was not sent yet."""
    reason: str | None
    under_way: bool


class SearchPart(_JsonObject):
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


class CanaryPart(_JsonObject):
    """The cases that go first."""

    cases: int
    complete: int
    under_way: int
    others: int
    """Count of the cases that wait for them."""


class PacePart(_JsonObject):
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


class RunningCasePart(_JsonObject):
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


class FailureExamplePart(_JsonObject):
    """The first case of a group."""

    index: int
    params: dict[str, Any]
    host: str | None


class FailureGroupPart(_JsonObject):
    """Failed cases with the same message, but for numbers and ids."""

    reason: str
    message: str
    count: int
    example: FailureExamplePart
    suspect: str | None
    """The value of a param with which most fail."""


class StatusDocument(_JsonObject):
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
    """Count of complete cases whose input files or keyed cells changed; null without `--check`."""
    memory_excess: MemoryExcessPart | None
    given_up: dict[str, str]
    """Ranges of indices that `retry` gave up, by why."""
    stopped: StoppedPart | None
    paused: PausedPart | None
    standstill: StandstillPart | None
    excluded_nodes: list[ExcludedNodePart]
    reduce: ReducePart | None
    search: SearchPart | None = None
    canary: CanaryPart | None
    followers: list[str]
    """The names of the sweeps that are sent after this one."""
    slowest_s: float | None
    """Of complete cases."""
    largest_bytes: int | None
    """Of complete cases."""
    pace: PacePart | None
    """Null if nothing is under way, or it is not known."""
    running: list[RunningCasePart]
    """The first fifty, the one that began first before others."""
    failures: list[FailureGroupPart]
    """The largest groups."""
    complete: bool
    """Whether every case is complete."""


class LogTextPart(_JsonObject):
    """A log file that is not empty."""

    where: str
    text: str


class LogsDocument(_JsonObject):
    """What a case logged and printed."""

    schema_name: Literal["hpcsweep.logs/1"] = Field(alias="schema")
    index: int
    case_id: str
    state: str
    """Status, reason and message, for people."""
    memory_excess: MemoryExcessPart | None
    attempts: list[str]
    """A line for each attempt, for people."""
    texts: list[LogTextPart]


class SidePart(_JsonObject):
    """One of two sweeps that are compared."""

    sweep: str
    path: str
    cases: int
    """Count of its selected cases."""
    code: dict[str, int]
    """Counts of complete cases by the digest of their code."""
    environment: dict[str, str]
    """`python`, `commit`, and packages by name."""


class StatusPairPart(_JsonObject):
    """Cases with one status in one sweep, and one in the other."""

    a: str
    b: str
    cases: int


class MetricCountsPart(_JsonObject):
    """How a metric compares, over the cases that are complete in both sweeps."""

    equal: int
    different: int
    only_a: int
    only_b: int
    largest_absolute: float | str | None
    """A text for NaN and infinities, as everywhere."""
    largest_relative: float | str | None


class MetricDifferencePart(_JsonObject):
    """A metric of a case that differs."""

    metric: str
    index_a: int
    index_b: int
    a: Any
    b: Any
    absolute: float | str | None
    """`b - a`; null unless both are numbers."""
    relative: float | str | None
    """`(b - a) / |a|`; null unless both are numbers, and if `a` is zero."""


class CompareDocument(_JsonObject):
    """In what two sweeps differ."""

    schema_name: Literal["hpcsweep.compare/1"] = Field(alias="schema")
    a: SidePart
    b: SidePart
    both: int
    """Count of the cases that are in both."""
    only_a: int
    only_b: int
    statuses: list[StatusPairPart]
    metrics: dict[str, MetricCountsPart]
    environment: dict[str, Annotated[list[str | None], Field(min_length=2, max_length=2)]]
    """What differs between the environments: the value of A and that of B."""
    differences: list[MetricDifferencePart]


class AmountPart(_JsonObject):
    """What tasks asked for, and used; null if it is not known."""

    asked: float
    used: float


class NeedPart(_JsonObject):
    """What tasks asked for, and what would have been enough; null if it is not known."""

    asked: float | None
    needed: float | None


class AdvicePart(_JsonObject):
    """A line for the manifest's `slurm:`."""

    option: str
    value: str
    instead_of: str | None
    because: str


class ResourceUsePart(_JsonObject):
    """What the attempts of array tasks that asked for the same used."""

    asked: dict[str, str]
    """Options of sbatch."""
    attempts: int
    complete: int
    tasks: int
    cases_at_once: int
    ran_out: dict[str, int]
    """Counts of attempts that a limit ended, by reason."""
    cpu_seconds: AmountPart
    memory_bytes: NeedPart
    task_seconds: NeedPart
    gpus: str | None
    """The GPUs asked for; nobody measures their use."""
    advice: list[AdvicePart]


class EfficiencyDocument(_JsonObject):
    """What the array tasks of a sweep asked for, and used."""

    schema_name: Literal["hpcsweep.efficiency/1"] = Field(alias="schema")
    name: str
    uses: list[ResourceUsePart]


class ListEntryPart(_JsonObject):
    """An entry of a directory of sweeps."""

    name: str
    path: str
    kind: Literal["sweep", "damaged", "removed", "archive", "local", "other"]
    cases: int | None
    counts: dict[str, int] | None
    """By status; null if they are not known."""
    submitted: str | None
    """The last submission: UTC, ISO 8601."""
    size_bytes: int | None
    """Null with `--no-size`."""
    note: str


class FindingPart(_JsonObject):
    """The result of one check."""

    host: str
    what: str
    state: Literal["ok", "warning", "problem"]
    text: str


class DatabaseStatusDocument(_JsonObject):
    """A private PostgreSQL."""

    schema_name: Literal["hpcsweep.db-status/1"] = Field(alias="schema")
    directory: str
    service: str
    store: str
    """The `store:` of a manifest."""
    state: str
    why: str
    """What is wrong, or why something is not known; empty otherwise."""
    host: str | None
    port: int | None
    """Null for a socket."""
    job: str | None
    """The id of its job; null without one."""
    since: str | None
    """When it was started, or its job submitted: UTC, ISO 8601."""
    version: int | None
    """Major version of PostgreSQL; null before its first start."""
    bytes: int
    sweeps: list[str] | None
    """The sweeps whose index it has; null where it could not be asked."""


class EmulatorStatusDocument(_JsonObject):
    """An emulated Slurm."""

    schema_name: Literal["hpcsweep.emulator-status/1"] = Field(alias="schema")
    directory: str
    running: bool
    nodes: dict[str, str] = {}
    """State and size by name; only while it runs."""
    jobs: dict[str, int] = {}
    """Counts of jobs by state; only while it runs."""


# What each command prints: an object that names its schema, or a list.
DOCUMENTS: dict[str, Any] = {
    "compare": CompareDocument,
    "db-status": DatabaseStatusDocument,
    "doctor": list[FindingPart],
    "efficiency": EfficiencyDocument,
    "emulator-status": EmulatorStatusDocument,
    "list": list[ListEntryPart],
    "logs": LogsDocument | list[LogsDocument],
    "status": StatusDocument,
}


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of what a command prints with `--json`."""
    schema = TypeAdapter(DOCUMENTS[name]).json_schema()
    title = f"hpcsweep {name.replace('-', ' ')} --json"
    return {"$schema": DIALECT, **_without_titles(schema), "title": title}


def _without_titles(schema: Any) -> Any:
    """Leave out the titles that pydantic makes of names; a property `title` is not a text."""
    if isinstance(schema, list):
        return [_without_titles(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_titles(value)
        for key, value in schema.items()
        if key != "title" or not isinstance(value, str)
    }
