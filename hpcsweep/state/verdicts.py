"""Journal verdicts: why array tasks are over that recorded no end of their own."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hpcsweep.files import token
from hpcsweep.journal import JournalWriter, common_fields, now, task_end
from hpcsweep.recordcheck import AttemptFields, CommonFields, EndRecord, TaskEndRecord
from hpcsweep.records import Attempt, Reason, Status, Word
from hpcsweep.state.array_tasks import Chunk
from hpcsweep.state.lost_tasks import reason_of_lost, reasons_of_untaken
from hpcsweep.store import SweepIndex
from hpcsweep.store.case_reader import IndexRow
from hpcsweep.store.ingest import Ingest
from hpcsweep.sweepdir.directory import SweepDirectory

_log = logging.getLogger(__name__)

# The row of the last start of each chunk; None if it never started.
_Starts = Mapping[int, IndexRow | None]


def journal_verdicts(
    sweep: SweepDirectory, sweep_index: SweepIndex, verdicts: Mapping[Chunk, Reason]
) -> None:
    """Write verdicts about tasks into a journal of this command, and ingest it.

    If the user may not write here, the journal is temporary.
    """
    _log.info("%s: %d array tasks are over without an end of their own", sweep.name, len(verdicts))
    tasks = sweep_index.tasks()
    starts = {(task["submission"], task["chunk"]): task for task in tasks}
    manifest = sweep.newest_manifest()
    with tempfile.TemporaryDirectory(prefix="hpcsweep-") as unkept:
        root = sweep.journal_root if sweep.is_writable else Path(unkept)
        for submission in sorted({number for number, _ in verdicts}):
            chunks = {
                chunk: why for (number, chunk), why in verdicts.items() if number == submission
            }
            of_chunks = {chunk: starts.get((submission, chunk)) for chunk in chunks}
            silent = sweep_index.silent(submission)
            for chunk, why in reasons_of_untaken(sweep, submission, tasks).items():
                if chunks.get(chunk) is Reason.LOST:
                    chunks[chunk] = why
            reasons = _with_reasons_of_lost(sweep, submission, chunks, of_chunks, silent)
            relative = f"{submission:04d}/commands/{token()}.jsonl"
            writer = JournalWriter(root / relative)
            for record in _ends(manifest, submission, reasons, of_chunks, silent):
                writer.append(record)
            writer.close()
            # An absolute path is not joined to the directory of journals.
            Ingest(sweep, sweep_index).run(
                [relative if sweep.is_writable else str(root / relative)]
            )


def _with_reasons_of_lost(
    sweep: SweepDirectory,
    submission: int,
    reasons: Mapping[int, Reason],
    starts: _Starts,
    silent: Sequence[IndexRow],
) -> dict[int, Reason]:
    """The reasons by chunk; for those that are lost, what their files tell."""
    running = {row["chunk"] for row in silent if _is_running(row)}
    return {
        chunk: reason_of_lost(sweep, submission, chunk, starts[chunk] if chunk in running else None)
        if reason is Reason.LOST
        else reason
        for chunk, reason in reasons.items()
    }


def _ends(
    manifest: str,
    submission: int,
    reasons: Mapping[int, Reason],
    starts: _Starts,
    silent: Sequence[IndexRow],
) -> Iterator[EndRecord | TaskEndRecord]:
    """The ends of the silent cases of these chunks, and of their tasks."""
    moment = now()
    for row in silent:
        reason = reasons.get(row["chunk"])
        if reason and (_is_running(row) or reason is not Reason.LOST):
            attempt = Attempt(
                generation=row["generation"],
                submission=submission,
                restart=row["restart"],
                token=row["token"],
            )
            common = common_fields(manifest, attempt, row["chunk"])
            yield _case_end(common, row, reason, moment)
    for chunk, reason in reasons.items():
        start = starts[chunk]
        restart = int(start["start_rank"][:6] or 0) if start else 0
        attempt = Attempt(generation=0, submission=submission, restart=restart, token="")
        common = common_fields(manifest, attempt, chunk)
        yield task_end(common, Word.SCHEDULER, reason, time=moment)


def _is_running(row: IndexRow) -> bool:
    return bool(row["status"] == Status.RUNNING.value)


def _case_end(common: CommonFields, row: dict[str, Any], reason: Reason, moment: str) -> EndRecord:
    """The end record of a case that was running, or was terminated, in a task that is over."""
    values = {
        name: row[name]
        for name in (
            "started",
            "wall_seconds",
            "cpu_seconds",
            "max_rss_bytes",
            "run_dir",
            "code_digest",
            "host",
            "job_id",
        )
        if row[name] is not None
    }
    fields = cast("AttemptFields", values)
    message = f"its array task is over ({reason.value}), and its worker recorded no other reason"
    return {
        "kind": "end",
        **common,
        "index": row["idx"],
        "case_id": row["case_id"],
        "word": Word.SCHEDULER.value,
        "status": reason.status.value,
        "reason": reason.value,
        "error": {"type": reason.value, "message": message},
        "metrics": json.loads(row["metrics"]) or None,
        "ended": row["ended"] or moment,
        **fields,
    }
