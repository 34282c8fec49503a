"""The plan of a submission: which indices, in which chunks, in which arrays. Pure data.

`--dry-run` prints it, `submit` carries it out, and every task reads it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict

from hpcsweep.errors import Damaged, SweepError
from hpcsweep.field_checks import (
    HEX16,
    LIST,
    NUMBER,
    OBJECT,
    TEXT,
    TRUTH,
    Schema,
    abbreviated,
    by_name,
    integer,
    mismatch,
    one_of,
    schema,
)
from hpcsweep.files import RESTORE, read_json
from hpcsweep.indexset import IndexSet
from hpcsweep.older_python import dataclass
from hpcsweep.records import Part, Resources

FORMAT = 1
# How it is known what a case takes: the manifest says it, complete cases in the index, or the
# canary's.
SECONDS_FROM = ("case_seconds", "measured", "canary")
# `runs: auto` gives every run its own directory up to this count, and packs them above.
ALL_RUNS_MAX = 10_000
# Run directories are sharded above this count of cases,
FLAT_RUNS_MAX = 1000
# into shards that hold this many on average, by leading hex digits of the case id. Case ids are
# hashes, so the spread keeps each shard below 1,000.
LEAF_RUNS_MEAN = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where a submission puts run directories."""

    # "all", "packed", "failed" or "none".
    runs: str
    # Leading hex digits of the case id that name the shard; 0 means no shards.
    shard_digits: int = 0

    def run_dir(self, case_id: str, run_id: str) -> str:
        """The published run directory, relative to the sweep directory."""
        digits = case_id[: self.shard_digits]
        shard = "".join(digits[i : i + 2] + "/" for i in range(0, len(digits), 2))
        return f"runs/{shard}log_{run_id}"

    @classmethod
    def choose(cls, runs: str, n_cases: int, previous: Layout | None) -> Layout:
        """The layout of a new submission: the previous one's, unless the sweep outgrew it.

        So a case keeps its run directory over all submissions.
        """
        if runs == "auto":
            runs = "all" if n_cases <= ALL_RUNS_MAX else "packed"
        digits = 0
        if n_cases > FLAT_RUNS_MAX:
            digits = max(1, math.ceil(math.log(n_cases / LEAF_RUNS_MEAN, 16)))
        if previous and previous.runs == runs:
            digits = max(digits, previous.shard_digits)
        return cls(runs=runs, shard_digits=digits)


# --- plan.json -----------------------------------------------------------------------------------


class ClusterRecord(TypedDict):
    """The cluster that a submission was handed to."""

    # As `--cluster` names it.
    kind: str
    # Slurm's ClusterName; empty if the cluster did not tell.
    name: str
    # State directory of an emulated cluster; else empty.
    state_dir: str


class StopRules(TypedDict):
    """When the tasks of a submission stop the sweep."""

    # Count of failed cases.
    failures: int
    # Whether only those with the same error count together.
    equal: bool
    # Reasons that do not count, since a retry may mend them.
    spared: list[str]


class WorkerRules(TypedDict, total=False):
    """What a task must know of the settings and limits of its submission; times in seconds."""

    beat_s: float
    # Whether tasks write the index.
    ingest: bool
    ingest_interval_s: float
    ingest_deadline_s: float
    term_grace_s: float
    # The time limit that the manifest asks for, as Slurm rounds it, and how long before it the
    # warning is sent.
    time_limit_s: float
    warning_s: float
    # Absent if failures stop nothing.
    stop: StopRules
    # How many starts without progress a task may have until it does not have itself requeued any
    # more; absent if it never does.
    requeue: int
    # What the partition leaves a job that it preempts, from USR2 to TERM.
    preempt_grace_s: float


class _OptionalPartFields(TypedDict, total=False):
    is_array: bool
    nodes: int


class PartFields(_OptionalPartFields):
    """A `records.Part`."""

    number: int
    first_chunk: int
    chunks: int
    throttle: int


class LayoutFields(TypedDict):
    """A `Layout`."""

    runs: str
    shard_digits: int


class _OptionalPlanFields(TypedDict, total=False):
    options: dict[str, str]
    goal: list[list[int]]
    closes: bool
    case_seconds: float
    seconds_from: str
    canary: bool
    longest_first: list[int]


class PlanFields(_OptionalPlanFields):
    """A `Plan`."""

    format: int
    submission: int
    manifest: str
    # Half-open ranges.
    indices: list[list[int]]
    chunk_size: int
    parts: list[PartFields]
    layout: LayoutFields
    generation: int


class _Origin(TypedDict, total=False):
    time: str
    # Of the user's code, and the files that it covers, relative to the manifest's root.
    code_digest: str
    code_files: list[str]
    # Name of the copy of the code in `code/`; absent if the tasks use the code as it is.
    snapshot: str
    # The interpreter that hpcsweep is installed in; it ingests.
    python: str
    # The most that the cluster gave to a retry: seconds of "time", bytes of "mem".
    caps: dict[str, int]
    # As the controller reported it; absent if it did not.
    slurm_version: str
    # The sweep directory; where it is another one now, it was moved or copied.
    directory: str


class Circumstances(_Origin):
    """What `plan.json` holds beside the plan: where and by what the submission was made."""

    cluster: ClusterRecord
    worker: WorkerRules


class PlanDocument(PlanFields, Circumstances):
    """A whole `plan.json`."""


# The provenance file of a submission's runs.
PROVENANCE = "provenance.json"
# The directory of packs, relative to the sweep directory.
PACKS = "runs/packs"


def attempt_dir(case_id: str, token: str) -> str:
    """An attempt's own directory, relative to the sweep directory."""
    return f"runs/.attempts/{case_id}.{token}"


def checkpoint_dir(case_id: str) -> str:
    """The checkpoints that all attempts of a case share, relative to the sweep directory."""
    return f"checkpoints/{case_id}"


# Ends the name of the mark, in the directory of checkpoints, of a promoted trial whose predecessor
# left no checkpoint.
FROM_START = ".from_start"


def provenance_of(submission: int) -> str:
    """The provenance file of a submission's runs, relative to the sweep directory."""
    return f"submissions/{submission:04d}/{PROVENANCE}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What one submission runs, and how its tasks find their cases."""

    # 1-based number of the submission.
    submission: int
    # Fingerprint of the frozen manifest that these indices refer to.
    manifest: str
    # 0-based indices in that manifest's source, in rank order.
    indices: IndexSet
    # Cases per task.
    chunk_size: int
    parts: tuple[Part, ...]
    layout: Layout
    # Highest generation of the cases; `--rerun` raises it.
    generation: int = 0
    # sbatch's long options; None for those of the manifest.
    options: dict[str, str] | None = None
    # All indices that were wanted; those that did not fit are sent when there is room. None where
    # all of them are in this submission.
    goal: IndexSet | None = None
    # Whether something is decided when a part is over: by a closing job behind it, or by hand.
    closes: bool = False
    # Mean seconds of a case, as far as is known when it is submitted, and how they are known: one
    # of `SECONDS_FROM`, "" for None.
    case_seconds: float | None = None
    seconds_from: str = ""
    # Whether its cases go first, and the others of `goal` wait until one of them is complete.
    canary: bool = False
    # Indices that begin before the others of their chunk, in this order: a long case that begins
    # last keeps a task of several slots waiting for one of them.
    longest_first: tuple[int, ...] = ()

    def resources(self, usual: Resources) -> Resources:
        """What the array tasks ask for; `usual` is what the manifest says."""
        return usual if self.options is None else Resources(options=self.options)

    @property
    def chunks(self) -> int:
        """Count of chunks; equals the count of array tasks."""
        return -(-self.indices.count // self.chunk_size)

    def chunk(self, number: int) -> IndexSet:
        """The indices of one chunk. *Raises* SweepError outside `0..chunks-1`."""
        if not 0 <= number < self.chunks:
            raise SweepError(
                f"chunk {number} is not one of the {self.chunks} of submission {self.submission}",
                next_step="The array was started with other bounds than were submitted.",
            )
        start = number * self.chunk_size
        return self.indices.slice(start, min(start + self.chunk_size, self.indices.count))

    def indices_of(self, chunks: Iterable[int]) -> IndexSet:
        """The indices of several chunks: one slice for each run of them. *Raises* as `chunk`."""
        runs, size = IndexSet.of(chunks).ranges, self.chunk_size
        if runs and runs[-1][1] > self.chunks:
            self.chunk(runs[-1][1] - 1)
        return IndexSet.union(self.indices.slice(start * size, stop * size) for start, stop in runs)

    def part(self, number: int) -> Part:
        """One part by its number. *Raises* SweepError if there is none."""
        if not 0 <= number < len(self.parts):
            raise SweepError(f"submission {self.submission} has no part {number}")
        return self.parts[number]

    def to_json(self) -> PlanFields:
        """The form in `plan.json`."""
        return {
            "format": FORMAT,
            "submission": self.submission,
            "manifest": self.manifest,
            "indices": self.indices.to_json(),
            "chunk_size": self.chunk_size,
            "parts": [_part_json(part) for part in self.parts],
            "layout": {"runs": self.layout.runs, "shard_digits": self.layout.shard_digits},
            "generation": self.generation,
            **self._optional_fields(),
        }

    def _optional_fields(self) -> _OptionalPlanFields:
        fields: _OptionalPlanFields = {}
        if self.options is not None:
            fields["options"] = self.options
        if self.goal is not None:
            fields["goal"] = self.goal.to_json()
        if self.closes:
            fields["closes"] = True
        if self.case_seconds is not None:
            fields["case_seconds"] = self.case_seconds
            fields["seconds_from"] = self.seconds_from
        if self.canary:
            fields["canary"] = True
        if self.longest_first:
            fields["longest_first"] = list(self.longest_first)
        return fields

    @classmethod
    def from_json(cls, value: PlanFields, where: str) -> Plan:
        """Parse a `plan.json`. *Raises* KeyError, TypeError, ValueError if it is damaged.

        *Raises* SweepError for a newer format.
        """
        if value["format"] != FORMAT:
            raise SweepError(
                f"has format {abbreviated(value['format'])}, this program reads {FORMAT}",
                where=where,
                next_step="Use the hpcsweep that wrote it, or a newer one.",
            )
        return cls(
            submission=value["submission"],
            manifest=value["manifest"],
            indices=IndexSet.from_json(value["indices"]),
            chunk_size=value["chunk_size"],
            parts=tuple(Part(**part) for part in value["parts"]),
            layout=Layout(**value["layout"]),
            generation=value["generation"],
            options=value.get("options"),
            goal=IndexSet.from_json(value["goal"]) if value.get("goal") is not None else None,
            closes=bool(value.get("closes")),
            case_seconds=value.get("case_seconds"),
            seconds_from=value.get("seconds_from", ""),
            canary=bool(value.get("canary")),
            longest_first=tuple(value.get("longest_first", ())),
        )


def _part_json(part: Part) -> PartFields:
    fields: PartFields = {
        "number": part.number,
        "first_chunk": part.first_chunk,
        "chunks": part.chunks,
        "throttle": part.throttle,
    }
    if not part.is_array:
        fields["is_array"] = False
    if part.nodes:
        fields["nodes"] = part.nodes
    return fields


# The schema of `plan.json`, from the outside to the inside.
_DOCUMENT = schema(
    {
        "submission": integer(1),
        "manifest": HEX16,
        "indices": LIST,
        "chunk_size": integer(1),
        "parts": LIST,
        "layout": OBJECT,
        "generation": integer(),
        "cluster": OBJECT,
        "worker": OBJECT,
    },
    {"time": TEXT, "code_digest": TEXT, "options": by_name(TEXT), "goal": LIST, "closes": TRUTH}
    | {"case_seconds": NUMBER, "seconds_from": one_of(SECONDS_FROM), "canary": TRUTH}
    | {"caps": by_name(integer()), "snapshot": HEX16, "longest_first": LIST}
    | {"slurm_version": TEXT, "directory": TEXT},
)
_PART = schema(
    dict.fromkeys(("number", "first_chunk", "chunks", "throttle"), integer()),
    {"is_array": TRUTH, "nodes": integer()},
)
_LAYOUT = schema(
    {"runs": one_of(("all", "packed", "failed", "none")), "shard_digits": integer(0, 16)}
)
_CLUSTER = schema(dict.fromkeys(("kind", "name", "state_dir"), TEXT))
_RULES = schema(
    {},
    {"ingest": TRUTH}
    | dict.fromkeys(("beat_s", "ingest_interval_s", "ingest_deadline_s", "term_grace_s"), NUMBER)
    | dict.fromkeys(("time_limit_s", "warning_s", "preempt_grace_s"), NUMBER)
    | {"stop": OBJECT, "requeue": integer(1)},
)
_STOP = schema({"failures": integer(1), "equal": TRUTH, "spared": LIST})


def read_fact(path: Path, schema: Schema) -> Any:
    """The JSON object of a fact, which has this schema. *Raises* Damaged."""
    fact = read_json(path)
    wrong = mismatch(fact, schema)
    if wrong:
        raise Damaged(f"is damaged: {wrong}", where=str(path), next_step=RESTORE)
    return fact


def read_plan(path: Path) -> tuple[Plan, PlanDocument]:
    """The plan in a submission's `plan.json`, and the whole document.

    *Raises* Damaged; SweepError for a newer format.
    """
    document: PlanDocument = read_json(path)
    try:
        plan = Plan.from_json(document, str(path))
        wrong = _plan_problem(document, plan)
    except (KeyError, TypeError, ValueError) as error:
        wrong = repr(error)
    if wrong:
        raise Damaged(f"is damaged: {wrong}", where=str(path), next_step=RESTORE)
    return plan, document


def _plan_problem(document: PlanDocument, plan: Plan) -> str:
    """What is wrong with a document, or with the parts of its plan; empty if nothing is.

    It bounds all loops over parts and chunks by what was submitted.
    """
    inner = [("cluster", _CLUSTER), ("worker", _RULES), ("layout", _LAYOUT)]
    problems = [mismatch(document, _DOCUMENT)]
    problems += [mismatch(document.get(name), schema) for name, schema in inner]
    problems += [mismatch(part, _PART) for part in document["parts"]]
    if not any(problems) and document["worker"].get("stop") is not None:
        problems.append(mismatch(document["worker"]["stop"], _STOP))
    first = 0
    for number, part in enumerate(plan.parts if not any(problems) else ()):
        if (part.number, part.first_chunk) != (number, first):
            problems.append(f"part {number} does not follow the one before it")
        first += part.chunks
    if not any(problems) and first != plan.chunks:
        problems.append(f"its parts have {first} chunks, its indices {plan.chunks}")
    return next(filter(None, problems), "")
