"""The records of journals: their types, and the schemas by which every one is validated before use.

`reference/journal.md` says what the fields mean.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal, TypedDict, Union, cast, final

from hpcsweep.field_checks import (
    HEX16,
    INSIDE,
    INT32_MAX,
    MOMENT,
    NUMBER,
    OBJECT,
    TEXT,
    TRUTH,
    Field,
    Fields,
    Schema,
    Values,
    abbreviated,
    all_match,
    integer,
    mismatch,
    one_of,
    schema,
)
from hpcsweep.older_python import dataclass
from hpcsweep.records import Reason, Status, Word

VERSION = 1
# Limit of generation, submission and restart count: the fields of a rank have six digits, and a
# seventh would sort wrongly. Larger values are refused before an attempt begins.
RANKED_MAX = 999_999
_COUNT = integer(0, RANKED_MAX)
_TOKEN_DIGITS = frozenset("0123456789abcdef")
_ATTEMPT_FIELDS = 4
_TOKEN_MAX = 16

# --- types ---------------------------------------------------------------------------------------
# `total=False`: a record may lack these fields; null equals a missing one.


class _ReadFields(TypedDict, total=False):
    # Checksum of the line, 8 hex digits; the reader adds it.
    crc: str


class CommonFields(_ReadFields):
    """What every record has, beside its kind."""

    # Version of the format.
    v: int
    # Fingerprint of the frozen manifest.
    manifest: str
    # Generation, submission, restart count, token.
    attempt: list[Any]
    chunk: int


class CaseFields(TypedDict):
    """Which case a record is about."""

    index: int
    case_id: str


class _VerdictFields(TypedDict, total=False):
    # A `records.Word`.
    word: int
    reason: str | None


class EndFields(_VerdictFields):
    """How something ended, and who says so."""

    status: str


class AttemptFields(TypedDict, total=False):
    """What is known of an attempt at a case."""

    metrics: dict[str, Any] | None
    error: dict[str, Any] | None
    started: str
    ended: str
    wall_seconds: float
    cpu_seconds: float
    max_rss_bytes: int
    cgroup_peak_bytes: int
    host: str | None
    job_id: str
    run_dir: str
    code_digest: str
    inputs: dict[str, Any] | None
    from_cache: bool


class OutcomeFields(AttemptFields, EndFields):
    """A `records.Outcome`, as records and `metadata.json` hold it."""


class _WorkerFields(TypedDict, total=False):
    host: str
    pid: int
    python: str
    packages: str
    cluster: str
    array_job_id: str
    array_task_id: int


@final
class TaskRecord(CommonFields, _WorkerFields):
    """An array task started."""

    kind: Literal["task"]
    node: str
    job_id: str
    time: str


class _BeginFields(TypedDict, total=False):
    started: str


@final
class BeginRecord(CommonFields, CaseFields, _BeginFields):
    """A case was begun."""

    kind: Literal["begin"]


@final
class EndRecord(CommonFields, CaseFields, OutcomeFields):
    """An attempt ended."""

    kind: Literal["end"]


class ErrorFields(TypedDict, total=False):
    """What went wrong, where something did."""

    error: dict[str, Any] | None


@final
class TaskEndRecord(CommonFields, EndFields, ErrorFields):
    """A whole array task ended: no case of its chunk will run in it."""

    kind: Literal["end"]
    time: str


@final
class SameRecord(CommonFields, CaseFields):
    """The case of this index was published under another index; nothing was run."""

    kind: Literal["same"]


class RunningFields(TypedDict):
    """What a running case uses at the moment of a heartbeat."""

    index: int
    # Since it began, of the wall clock and of the processor.
    seconds: float
    cpu_seconds: float
    # Resident memory of all its processes; what they share is counted once.
    memory_bytes: int


class _BeatFields(TypedDict, total=False):
    time: str
    running: list[RunningFields]


@final
class BeatRecord(CommonFields, _BeatFields):
    """The heartbeat of a task."""

    kind: Literal["beat"]


Record = Union[TaskRecord, BeginRecord, EndRecord, TaskEndRecord, SameRecord, BeatRecord]

# --- schemas -------------------------------------------------------------------------------------


def _are_attempts(values: Values) -> bool:
    if set(map(type, values)) != {list} or set(map(len, values)) != {_ATTEMPT_FIELDS}:
        return False
    *counts, tokens = map(list, zip(*values))
    if not all(map(_COUNT.all_hold, counts)) or set(map(type, tokens)) != {str}:
        return False
    distinct = set(tokens)
    return max(map(len, distinct)) <= _TOKEN_MAX and _TOKEN_DIGITS.issuperset("".join(distinct))


def _are_errors(values: Values) -> bool:
    return OBJECT.all_hold(values) and all(
        isinstance(value.get("message", ""), str) for value in values
    )


def _are_running(values: Values) -> bool:
    return set(map(type, values)) == {list} and not any(
        mismatch(case, _RUNNING) for cases in values for case in cases
    )


_RUNNING = schema(
    {"index": integer(), "seconds": NUMBER, "cpu_seconds": NUMBER, "memory_bytes": integer()}
)
ATTEMPT = Field("generation, submission, restart count and token", _are_attempts)
_COMMON: Fields = {
    "manifest": HEX16,
    "attempt": ATTEMPT,
    "chunk": integer(0, INT32_MAX),
}
_ABOUT: Fields = {"index": integer(), "case_id": HEX16}
_OVER: Fields = {"status": one_of([status for status in Status if status.is_final])}
_WORDS: Fields = {"word": integer(min(Word), max(Word)), "reason": one_of(Reason)}
_LEFT: Fields = {
    "metrics": OBJECT,
    "error": Field("an object whose message is a text", _are_errors),
    "started": MOMENT,
    "ended": MOMENT,
    "wall_seconds": NUMBER,
    "cpu_seconds": NUMBER,
    "max_rss_bytes": integer(),
    "cgroup_peak_bytes": integer(),
    "host": TEXT,
    "job_id": TEXT,
    "run_dir": INSIDE,
    "code_digest": TEXT,
    "inputs": OBJECT,
    "from_cache": TRUTH,
}
_KINDS = {
    "task": schema({**_COMMON, "node": TEXT, "job_id": TEXT, "time": MOMENT}),
    "begin": schema({**_COMMON, **_ABOUT}, {**_WORDS, **_LEFT}),
    "end": schema({**_COMMON, **_ABOUT, **_OVER}, {**_WORDS, **_LEFT}),
    "same": schema({**_COMMON, **_ABOUT}),
    "beat": schema(_COMMON, {"running": Field("a list of running cases", _are_running)}),
}
KINDS = frozenset(_KINDS)
# An `end` without an index is the scheduler's verdict on a whole array task.
_TASK_END = schema({**_COMMON, **_OVER, "time": MOMENT}, _WORDS)


def _schema_of(kind: str, fields: Container[str]) -> Schema:
    """What a record of a known kind with these fields has to match."""
    return _TASK_END if kind == "end" and "index" not in fields else _KINDS[kind]


def record_problem(record: dict[str, Any]) -> str:
    """Why this program cannot use a record; empty if it can: then it is a `Record`."""
    kind, version = record.get("kind"), record.get("v")
    if type(version) is not int or version != VERSION:
        return f"it has the version {abbreviated(version)}, this program reads {VERSION}"
    if type(kind) is not str or kind not in _KINDS:
        return f"it is of the kind {abbreviated(kind)}, which this program does not know"
    return mismatch(record, _schema_of(kind, record))


@dataclass(frozen=True)
class AlikeRecords:
    """Records of one kind with the same fields, in columns."""

    kind: str
    count: int
    # The values of all records, by field.
    columns: dict[str, Sequence[Any]]

    @property
    def are_of_one_attempt(self) -> bool:
        """Whether all say the same of manifest, attempt and chunk."""
        columns = (self.columns[name] for name in _COMMON)
        return all(column.count(column[0]) == len(column) for column in columns)

    @property
    def records(self) -> list[Record]:
        """The same, one by one."""
        rows = zip(*self.columns.values())
        return cast("list[Record]", [dict(zip(self.columns, row)) for row in rows])


def alike(
    documents: Sequence[dict[str, Any]], checksums: Sequence[str], common: Mapping[str, Any]
) -> list[AlikeRecords] | None:
    """The records in documents, as groups of equal fields; None if a document is no record.

    `record_problem` of many, in a fraction of the time. `checksums` has that of each document,
    `common` the fields that all have beside their own.
    """
    groups: dict[tuple[str, ...], tuple[list[dict[str, Any]], list[str]]] = {}
    end = 0
    for fields, run in groupby(documents, tuple if "kind" in common else _kind_and_fields):
        own = list(run)
        start, end = end, end + len(own)
        group = groups.setdefault(fields, ([], []))
        group[0].extend(own)
        group[1].extend(checksums[start:end])
    made = [_checked(*group, common) for group in groups.values()]
    return None if None in made else cast("list[AlikeRecords]", made)


def _kind_and_fields(document: dict[str, Any]) -> tuple[str, ...]:
    return (repr(document.get("kind")), *document)


def _checked(
    documents: list[dict[str, Any]], checksums: list[str], common: Mapping[str, Any]
) -> AlikeRecords | None:
    """Documents with equal fields and one kind as records; None if one is no record."""
    own = dict(zip(documents[0], zip(*map(dict.values, documents))))
    columns: dict[str, Sequence[Any]] = {name: (value,) for name, value in common.items()}
    columns.update(own)
    if len(columns) < len(common) + len(own):
        return None  # a field has two values
    kinds, versions = columns.get("kind", (None,)), columns.get("v", (None,))
    if set(map(type, versions)) != {int} or set(versions) != {VERSION}:
        return None
    kind = kinds[0]
    if type(kind) is not str or kind not in _KINDS:
        return None
    if not all_match(columns, _schema_of(kind, columns)):
        return None
    count = len(documents)
    for name, value in common.items():
        columns[name] = (value,) * count
    columns["crc"] = checksums
    return AlikeRecords(kind, count, columns)


def alone(record: Record) -> AlikeRecords:
    """One record, as a group."""
    return AlikeRecords(record["kind"], 1, {name: (value,) for name, value in record.items()})
