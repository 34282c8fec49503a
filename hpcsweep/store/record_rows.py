"""The rows of the index, made from journal records and plans."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from hpcsweep.journal import attempt_of, rank_stem, start_rank
from hpcsweep.recordcheck import AlikeRecords, TaskEndRecord, TaskRecord
from hpcsweep.records import CaseTexts, Status
from hpcsweep.sweepdir.plan import Plan, PlanDocument

# What `case_columns` makes: the columns of `cases` without the sweep and computed ones.
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
_SURROGATE = re.compile("[\ud800-\udfff]")

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


def metrics_of(records: AlikeRecords) -> Sequence[dict[str, Any]]:
    """The metrics of cases, from their `begin` or `end` records."""
    nothing = (None,) * records.count
    return [metrics or {} for metrics in records.columns.get("metrics", nothing)]


def case_columns(
    records: AlikeRecords,
    cases: CaseTexts,
    seeds: Sequence[str],
    task_id: int | None,
    metrics: Sequence[dict[str, Any]],
) -> dict[str, Sequence[Any]]:
    """The values of CASE_COLUMNS of cases, from the `begin` or `end` records of one attempt."""
    columns, count = records.columns, records.count
    nothing = (None,) * count
    generation, submission, restart, token = columns["attempt"][0]
    is_end = records.kind == "end"
    errors = columns.get("error", nothing)
    made: dict[str, Sequence[Any]] = {
        "case_id": cases.case_ids,
        "rank": _ranks(records),
        "status": columns["status"] if is_end else (Status.RUNNING.value,) * count,
        "reason": columns.get("reason", nothing),
        "params": cases.params,
        "tags": list(map(json_tags, cases.tags)),
        "metrics": json_texts(metrics),
        "error": [json_text(error) if error else None for error in errors],
        "seed": seeds,
        "replicate": cases.replicates,
        "generation": (generation,) * count,
        "submission": (submission,) * count,
        "chunk": columns["chunk"],
        "restart": (restart,) * count,
        "token": (token,) * count,
        "task_id": (task_id,) * count,
    }
    return made | {name: columns.get(name, nothing) for name in _COPIED}


def _ranks(records: AlikeRecords) -> list[str]:
    """`journal.rank` of records of one attempt."""
    columns, attempt = records.columns, records.columns["attempt"][0]
    nothing = (None,) * records.count
    statuses = columns["status"] if records.kind == "end" else nothing
    reports = list(zip(statuses, columns.get("word", nothing), strict=True))
    stems = {report: rank_stem(attempt, *report) for report in set(reports)}
    return [f"{stems[report]}.{crc}" for report, crc in zip(reports, columns["crc"], strict=True)]


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
            # Nothing else: SQLite finds no key that is escaped.
            text = _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text


def json_texts(objects: Sequence[dict[str, Any]]) -> list[str]:
    """`json_text` of many objects: one call takes two thirds of the time of many."""
    text = _encode(objects)
    # Where these characters are inside of an object, too, there are more pieces.
    pieces = text[2:-2].split("},{") if text.isascii() else []
    if len(pieces) == len(objects):
        return [f"{{{piece}}}" for piece in pieces]
    return list(map(json_text, objects))


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
