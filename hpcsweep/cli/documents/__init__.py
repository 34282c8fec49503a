"""The schemas of the JSON documents that commands print.

A key is only ever added; a document that would lose or change one gets the next number.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from hpcsweep.cli.documents.base import JsonObject, MemoryExcessPart
from hpcsweep.cli.documents.of_status import StatusDocument
from hpcsweep.cli.documents.of_submission import (
    CancelDocument,
    PlannedDocument,
    SubmitDocument,
    ValidateDocument,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class CollectLine(JsonObject, extra="allow"):
    """A case in `collect --format jsonl`; params, carried cells and metrics are keys, too.

    A key is missing or null where a case has no such value; `--columns` selects keys.
    """

    index: int | None = None
    case_id: str | None = None
    replicate: int | None = None
    status: str | None = None
    reason: str | None = None
    seed: str | None = None
    """32 hex digits."""
    started: str | None = None
    """UTC, ISO 8601."""
    ended: str | None = None
    """UTC, ISO 8601."""
    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    max_rss_bytes: int | None = None
    host: str | None = None
    job_id: str | None = None
    run_dir: str | None = None
    """Relative to the sweep directory."""
    code_digest: str | None = None
    error: str | None = None


class LogTextPart(JsonObject):
    """A log file that is not empty."""

    where: str
    text: str


class LogsDocument(JsonObject):
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


class SidePart(JsonObject):
    """One of two sweeps that are compared."""

    sweep: str
    path: str
    cases: int
    """Count of its selected cases."""
    code: dict[str, int]
    """Counts of complete cases by the digest of their code."""
    environment: dict[str, str]
    """`python`, `commit`, and packages by name."""


class StatusPairPart(JsonObject):
    """Cases with one status in one sweep, and one in the other."""

    a: str
    b: str
    cases: int


class MetricCountsPart(JsonObject):
    """How a metric compares, over the cases that are complete in both sweeps."""

    equal: int
    different: int
    only_a: int
    only_b: int
    largest_absolute: float | str | None
    """A text for NaN and infinities, as everywhere."""
    largest_relative: float | str | None


class MetricDifferencePart(JsonObject):
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


class CompareDocument(JsonObject):
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


class AmountPart(JsonObject):
    """What tasks asked for, and used; null if it is not known."""

    asked: float
    used: float


class NeedPart(JsonObject):
    """What tasks asked for, and what would have been enough; null if it is not known."""

    asked: float | None
    needed: float | None


class AdvicePart(JsonObject):
    """A line for the manifest's `slurm:`."""

    option: str
    value: str
    instead_of: str | None
    because: str


class ResourceUsePart(JsonObject):
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


class EfficiencyDocument(JsonObject):
    """What the array tasks of a sweep asked for, and used."""

    schema_name: Literal["hpcsweep.efficiency/1"] = Field(alias="schema")
    name: str
    uses: list[ResourceUsePart]


class ListEntryPart(JsonObject):
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


class FindingPart(JsonObject):
    """The result of one check."""

    host: str
    what: str
    state: Literal["ok", "warning", "problem"]
    text: str


class DatabaseStatusDocument(JsonObject):
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


class EmulatorStatusDocument(JsonObject):
    """An emulated Slurm."""

    schema_name: Literal["hpcsweep.emulator-status/1"] = Field(alias="schema")
    directory: str
    running: bool
    nodes: dict[str, str] = Field(default_factory=dict)
    """State and size by name; only while it runs."""
    jobs: dict[str, int] = Field(default_factory=dict)
    """Counts of jobs by state; only while it runs."""


# What each command prints: an object that names its schema, a list, or lines of one kind.
DOCUMENTS: dict[str, Any] = {
    "cancel": CancelDocument,
    "collect": CollectLine,
    "compare": CompareDocument,
    "db-status": DatabaseStatusDocument,
    "doctor": list[FindingPart],
    "efficiency": EfficiencyDocument,
    "emulator-status": EmulatorStatusDocument,
    "list": list[ListEntryPart],
    "logs": LogsDocument | list[LogsDocument],
    "plan": PlannedDocument,
    "status": StatusDocument,
    "submit": SubmitDocument,
    "validate": ValidateDocument,
}


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of what a command prints with `--json`."""
    schema = TypeAdapter(DOCUMENTS[name]).json_schema()
    option = "--format jsonl" if name == "collect" else "--json"
    title = f"hpcsweep {name.replace('-', ' ')} {option}"
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
