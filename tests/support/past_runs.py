"""Sweeps that ran in the past, by journals that say so: when, where and what each case used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hpcsweep.journal import common_fields, journal_name
from hpcsweep.records import Attempt
from tests.support.journals import write_journal
from tests.support.sweeps import MadeSweep

SENT = datetime(2026, 11, 20, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """One attempt at a case. Times are seconds after `SENT`."""

    index: int
    begin: float
    end: float | None
    host: str = "n1"
    chunk: int = 0
    submission: int = 1
    restart: int = 0
    # None for a complete one.
    reason: str | None = None
    error: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    cpu: float | None = None
    memory: int = 100 << 20


def moment(seconds: float) -> str:
    """A time as records hold it."""
    return (SENT + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def write_past(made: MadeSweep, runs: Iterable[PastRun]) -> None:
    """Write the journals of these attempts; the submissions must have been planned."""
    tasks: dict[tuple[int, int, int], list[PastRun]] = defaultdict(list)
    for run in runs:
        tasks[run.submission, run.chunk, run.restart].append(run)
    for (submission, chunk, restart), of_task in tasks.items():
        token = f"{submission:06x}{chunk:06x}{restart:04x}"
        attempt = Attempt(generation=0, submission=submission, restart=restart, token=token)
        common = common_fields(made.manifest.fingerprint, attempt, chunk)
        records = [record for run in of_task for record in _records(made, run, dict(common))]
        path = made.directory.journal_dir(submission) / journal_name(chunk, restart, token)
        write_journal(path, *records)


def _records(made: MadeSweep, run: PastRun, common: dict[str, Any]) -> Iterable[dict[str, Any]]:
    case = {"index": run.index, "case_id": made.source[run.index].case_id}
    who = {"host": run.host, "job_id": f"{run.submission}{run.chunk:04}"}
    yield {"kind": "begin", **common, **case, **who, "started": moment(run.begin)}
    if run.end is None:
        return
    failed = run.reason in ("error", "out_of_memory", "exit_code", "case_timeout")
    wall = abs(run.end - run.begin)
    yield {
        "kind": "end",
        **common,
        **case,
        **who,
        "word": 2,
        "status": "complete" if run.reason is None else "failed" if failed else "interrupted",
        "reason": run.reason,
        "metrics": run.metrics,
        "error": {"type": "Error", "message": run.error} if run.error else None,
        "started": moment(run.begin),
        "ended": moment(run.end),
        "wall_seconds": wall,
        "cpu_seconds": wall if run.cpu is None else run.cpu,
        "max_rss_bytes": run.memory,
        "code_digest": "0" * 16,
    }
