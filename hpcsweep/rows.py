"""What the store keeps of journal records: the rows that need no source to be made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from hpcsweep.journal import Record, attempt_of
from hpcsweep.plan import Plan


def attempt_row(record: Record) -> dict[str, Any]:
    """The row of a record's attempt."""
    return {"case_id": record["case_id"]} | asdict(attempt_of(record))


def start_row(record: Record) -> dict[str, Any]:
    """The row of an array task that started, from its `task` record."""
    attempt = attempt_of(record)
    return {
        "submission": attempt.submission,
        "chunk": record["chunk"],
        "start_rank": f"{attempt.restart:06d}.{attempt.token}",
        "host": record["node"],
        "job_id": record["job_id"],
        "time": record["time"],
        "verdict_rank": "",
        "status": None,
        "reason": None,
    }


def verdict_row(record: Record) -> dict[str, Any]:
    """The row of an array task that is over, from an `end` without an index."""
    attempt = attempt_of(record)
    return {
        "submission": attempt.submission,
        "chunk": record["chunk"],
        "start_rank": "",
        "host": None,
        "job_id": None,
        "time": None,
        "verdict_rank": f"{attempt.restart:06d}.{record['time']}.{record['crc']}",
        "status": record["status"],
        "reason": record["reason"],
    }


def json_text(value: Any) -> str:
    """A value as exact JSON text."""
    text = _encode(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which no database takes as it is
            text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text


def _encoder() -> Callable[[Any], str]:
    """`JSONEncoder.encode` in half the time: that makes its inner encoder anew for every value."""
    outer = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # a Python without the C form
        return outer.encode
    text, separators = json.encoder.encode_basestring, (outer.key_separator, outer.item_separator)
    chunks = make(None, outer.default, text, None, *separators, False, False, False)
    return lambda value: "".join(chunks(value, 0))


_encode = _encoder()


@lru_cache(maxsize=1024)
def json_tags(tags: tuple[str, ...]) -> str:
    """Tags as JSON text; most cases of a sweep share theirs."""
    return json_text(list(tags))


def submission_row(plan: Plan, document: dict[str, Any]) -> dict[str, Any]:
    """The row of a submission, from its plan and the document around it."""
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
