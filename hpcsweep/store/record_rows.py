"""The rows of the index, made from journal records and plans."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import Any

from hpcsweep.journal import attempt_of, rank, start_rank
from hpcsweep.recordcheck import BeginRecord, EndRecord, TaskEndRecord, TaskRecord
from hpcsweep.records import ParamCase, Status
from hpcsweep.sweepdir.plan import Plan, PlanDocument

# The order of `case_row`: the columns of `cases` without the sweep and computed ones.
CASE_COLUMNS = (
    "case_id",
    "rank",
    "status",
    "reason",
    "params",
    "tags",
    "metrics",
    "error",
    "seed",
    "replicate",
    "generation",
    "submission",
    "chunk",
    "restart",
    "token",
    "started",
    "ended",
    "wall_seconds",
    "cpu_seconds",
    "max_rss_bytes",
    "host",
    "job_id",
    "run_dir",
    "code_digest",
    "task_id",
)

# Those of them that a record has under the same name, or lacks: all between two others.
_COPIED = CASE_COLUMNS[CASE_COLUMNS.index("started") : CASE_COLUMNS.index("task_id")]

CaseRow = tuple[Any, ...]

# The columns of `attempts` without the sweep: an attempt of a case, and what one of its records
# says. All are columns of `cases`, which has them of the attempt that counts.
ATTEMPT_KEY = ("case_id", "generation", "submission", "restart", "token")
ATTEMPT_COLUMNS = (
    *ATTEMPT_KEY,
    "rank",
    "status",
    "reason",
    "started",
    "ended",
    "wall_seconds",
    "cpu_seconds",
    "max_rss_bytes",
    "host",
    "job_id",
)
# The values of ATTEMPT_COLUMNS from those of CASE_COLUMNS.
attempt_values: Callable[[CaseRow], CaseRow] = itemgetter(*map(CASE_COLUMNS.index, ATTEMPT_COLUMNS))


def case_row(
    record: BeginRecord | EndRecord, case: ParamCase, seed: int, task_id: int | None
) -> CaseRow:
    """The values of CASE_COLUMNS of a case, from its `begin` or `end` record.

    A tuple in the form that the database driver takes: millions of them are made.
    """
    generation, submission, restart, token = record["attempt"]
    get = record.get
    error = get("error")
    return (
        case.case_id,
        rank(record),
        record["status"] if record["kind"] == "end" else Status.RUNNING.value,
        get("reason"),
        json_text(case.params),
        json_tags(case.tags),
        json_text(get("metrics") or {}),
        json_text(error) if error else None,
        f"{seed:032x}",
        case.replicate,
        generation,
        submission,
        record["chunk"],
        restart,
        token,
        *map(get, _COPIED),
        task_id,
    )


def start_row(record: TaskRecord) -> dict[str, Any]:
    """The row of a started array task, from its `task` record."""
    attempt = attempt_of(record["attempt"])
    return {
        "submission": attempt.submission,
        "chunk": record["chunk"],
        "start_rank": start_rank(attempt),
        "host": record["node"],
        "job_id": record["job_id"],
        "time": record["time"],
        "verdict_rank": "",
        "status": None,
        "reason": None,
    }


def verdict_row(record: TaskEndRecord) -> dict[str, Any]:
    """The row of a finished array task, from an `end` record without an index."""
    attempt = attempt_of(record["attempt"])
    return {
        "submission": attempt.submission,
        "chunk": record["chunk"],
        "start_rank": "",
        "host": None,
        "job_id": None,
        "time": None,
        "verdict_rank": f"{attempt.restart:06d}.{record['time']}.{record['crc']}",
        "status": record["status"],
        "reason": record.get("reason"),
    }


def json_text(value: Any) -> str:
    """A value as exact JSON text."""
    text = _encode(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # a lone surrogate, which no database accepts
            text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text


def _encoder() -> Callable[[Any], str]:
    """Like `JSONEncoder.encode` in half the time: it creates the C encoder once, not per value."""
    outer = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # a Python without the C encoder
        return outer.encode
    text, separators = json.encoder.encode_basestring, (outer.key_separator, outer.item_separator)
    chunks = make(None, outer.default, text, None, *separators, False, False, False)
    return lambda value: "".join(chunks(value, 0))


_encode = _encoder()


@lru_cache(maxsize=1024)
def json_tags(tags: tuple[str, ...]) -> str:
    """Tags as JSON text; cached, since most cases of a sweep share them."""
    return json_text(list(tags))


def submission_row(plan: Plan, document: PlanDocument) -> dict[str, Any]:
    """The row of a submission, from its plan and the document that contains it."""
    return {
        "submission": plan.submission,
        "manifest": plan.manifest,
        "generation": plan.generation,
        "cases": plan.indices.count,
        "chunks": plan.chunks,
        "time": document.get("time"),
        "cluster": document["cluster"]["name"],
        "code_digest": document.get("code_digest"),
    }
