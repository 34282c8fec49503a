"""The schemas of the documents of `validate`, `plan`, and of what submits: one for all of these."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hpcsweep.cli.documents.base import JsonObject
from hpcsweep.cli.documents.of_status import PausedPart, StoppedPart


class ArrayPart(JsonObject):
    """An array of a planned submission, or a job that is none."""

    tasks: int
    throttle: int
    """At most so many of its tasks at once; 0 for any number."""


class PlannedSubmissionPart(JsonObject):
    """A submission that would be made."""

    submission: int
    """Its number."""
    cases: int
    indices: str
    """Ranges: `0-3,7`."""
    tasks: int
    """Count of array tasks."""
    chunk_size: int
    """Largest count of cases of a task."""
    arrays: list[ArrayPart]
    options: dict[str, str] | None
    """Options of sbatch that are not the manifest's; null if all are."""
    runs: Literal["all", "packed", "failed", "none"]
    """Which cases get run directories, and how."""
    canary: bool
    """Whether its cases go first, and the others wait for them."""
    later: int
    """Count of cases that are sent after it."""
    case_seconds: float | None
    """What a case takes, as far as it is known."""
    not_asked: str
    """What the cluster was not asked, and why; empty if it would take it."""
    script: str | None
    """The batch script; null without `--script`."""
    calls: list[str]
    """The call of sbatch for each array; empty without `--script`."""


class PlannedDocument(JsonObject):
    """What a submit would send."""

    schema_name: Literal["hpcsweep.plan/1"] = Field(alias="schema")
    name: str
    path: str
    """The sweep directory, which may not exist yet."""
    manifest: str
    """The fingerprint of the manifest."""
    cases: int
    """Count of all cases."""
    complete: int
    """Of the selected cases."""
    failed: int
    under_way: int
    """Count of wanted cases that array tasks have already."""
    behind_canary: int
    """Count of cases that are sent when the canary has passed."""
    changed: str | None
    """How the cases differ from those of the last submission, for people."""
    notices: list[str]
    submissions: list[PlannedSubmissionPart]


class CancelDocument(JsonObject):
    """What a cancel did."""

    schema_name: Literal["hpcsweep.cancel/1"] = Field(alias="schema")
    name: str
    jobs: list[str]
    """The ids of cancelled jobs, where the whole sweep was cancelled."""
    tasks: list[str]
    """Cancelled array tasks, as Slurm names them, where cases were selected."""
    cases: int
    """Count of selected cases that were not cancelled before."""
    indices: str
    """Ranges of them: `0-3,7`."""
    passed_over: str
    """Those of them that share an array task with others, which goes on without them."""
    to_the_end: str
    """Those of them that run beside others, to their end."""


class SentSubmissionPart(JsonObject):
    """A submission that was made."""

    submission: int
    """Its number."""
    cases: int
    indices: str
    """Ranges: `0-3,7`."""
    tasks: int
    """Count of array tasks."""
    later: int
    """Count of cases that are sent after it."""
    job_ids: list[str]


class SubmitDocument(JsonObject):
    """What a submit sent. Counts are of cases, and of the time before it."""

    schema_name: Literal["hpcsweep.submit/1"] = Field(alias="schema")
    name: str
    path: str
    cases: int
    """Count of all cases."""
    complete: int
    failed: int
    under_way: int
    """Count of wanted cases that array tasks have already."""
    without_room: int
    """Count of cases that are sent when the queue has room."""
    behind_canary: int
    """Count of cases that are sent when the canary has passed."""
    changed: str | None
    """How the cases differ from those of the last submission, for people."""
    stopped: StoppedPart | None
    paused: PausedPart | None
    submissions: list[SentSubmissionPart]
    """One for each resource class; empty if there was nothing to submit."""
    stages: list[SubmitDocument]
    """The reduce, and sweeps that follow, if they were sent."""


class ValidateDocument(JsonObject):
    """A manifest without mistakes."""

    schema_name: Literal["hpcsweep.validate/1"] = Field(alias="schema")
    name: str
    manifest: str
    """The fingerprint of the manifest."""
    cases: int
    target: str
    """For people."""
    columns: list[str]
    """What the columns of its tables are taken for."""
    where: list[str]
    """What its conditions leave out."""
