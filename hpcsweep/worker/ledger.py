"""The ledger of one start of a chunk: what earlier starts settled, and the journal of this one.

Journals are the truth of outcomes (DESIGN invariant 5): nothing that happens to a case counts until
it is written here, and what is complete by then is not run again.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

from hpcsweep import ids
from hpcsweep.errors import JournalError
from hpcsweep.journal import (
    JournalWriter,
    attempt_of,
    common_fields,
    journal_name,
    journals_of_chunk,
    now,
    outcome_json,
    outcome_of,
    read,
    task_end,
)
from hpcsweep.logbook.run_directory import Run, retire_checkpoints
from hpcsweep.provenance import packages, packages_digest, python_version
from hpcsweep.recordcheck import (
    CaseFields,
    CommonFields,
    EndRecord,
    Record,
    SameRecord,
)
from hpcsweep.records import Attempt, Outcome, ParamCase, Reason, Status, Word
from hpcsweep.sweepdir.plan import checkpoint_dir
from hpcsweep.worker.leftovers import Left, Leftovers, report_damage
from hpcsweep.worker.start import Assignment

# Outcomes are made durable in batches: after this many records, or this many seconds.
SYNC_RECORDS = 100
SYNC_S = 1.0


class Ledger:
    """Writes the journal of this start; knows which cases need not run."""

    def __init__(
        self,
        assignment: Assignment,
        leftovers: Leftovers,
        beat_s: float,
        clock: Callable[[], float],
    ) -> None:
        """*Writes* a new journal. *Raises* JournalError."""
        self._assignment, self._leftovers = assignment, leftovers
        self._beat_s, self._clock = beat_s, clock
        # Indices that need no look at anything else.
        self.settled = _settled(assignment.journals, assignment.chunk)
        # By the ids of complete cases, a digest of their params: two cases might share an id.
        self._complete: dict[str, str] = {}
        attempt = assignment.attempt
        name = journal_name(assignment.chunk, attempt.restart, attempt.token)
        self._journal = JournalWriter(assignment.journals / name)
        # Makes durable what records name, before they are.
        self.sync_pack: Callable[[], None] = lambda: None
        self._unsynced, self._synced = 0, clock()
        # When the last record was written, which says that the task lives.
        self._written = clock()
        self._append_task()

    @property
    def path(self) -> Path:
        """The journal of this start."""
        return self._journal.path

    # --- cases that need not run -----------------------------------------------------------------

    def is_complete(self, run: Run) -> bool:
        """Whether the case of a run is complete already; the journal says so then, too."""
        case = run.case
        digest = self._complete.get(case.case_id)
        if digest is not None and digest == ids.fingerprint(case.params):
            self._append_same(case)
            return True
        left = self._leftovers.find(run)
        if left is None:
            return False
        self._adopt(case, left)
        return True

    def _adopt(self, case: ParamCase, left: Left) -> None:
        """Write the outcome of a run that another start left without one."""
        metadata = left.metadata
        # Its start may have been killed before it did so.
        retire_checkpoints(self._assignment.sweep.path / checkpoint_dir(case.case_id))
        if (
            metadata["manifest"] == self._assignment.plan.manifest
            and metadata["index"] != case.index
        ):
            self._append_same(case)
        else:
            common = self._common(attempt_of(metadata["attempt"]), metadata["chunk"])
            outcome = replace(outcome_of(metadata["outcome"]), metrics=left.metrics)
            self._append(_end(common, case, outcome, metadata.get("host")))
        self._complete[case.case_id] = ids.fingerprint(case.params)

    # --- records ---------------------------------------------------------------------------------

    def begin(self, case: ParamCase, started: str) -> None:
        """A case begins."""
        self._append({"kind": "begin", **self._common(), **_about(case), "started": started})

    def end(self, case: ParamCase, outcome: Outcome) -> None:
        """A case has ended here."""
        start = self._assignment.start
        self._append(_end(self._common(), case, outcome, start.node) | {"job_id": start.job_id})
        if outcome.status is Status.COMPLETE:
            self._complete[case.case_id] = ids.fingerprint(case.params)

    def end_task(self, reason: Reason | None = None, error: dict[str, Any] | None = None) -> None:
        """Every case of the chunk has ended, so that nobody asks the cluster about it.

        With a reason, some have not begun, and this is why. The journal is closed.
        """
        common = self._common()
        self._append(task_end(common, Word.WORKER, reason, time=now(), error=error))
        self.close()

    def beat_if_due(self) -> float:
        """Write that the task lives if nothing else said so for long; the moment of the next.

        So a long case keeps no outcome before it from being durable.
        """
        if self._clock() >= self._written + self._beat_s:
            self._append({"kind": "beat", **self._common(), "time": now()})
            self.sync()
        return self._written + self._beat_s

    @property
    def is_sync_due(self) -> bool:
        """Whether enough has been written, or enough time has passed."""
        return self._unsynced >= SYNC_RECORDS or self._clock() - self._synced >= SYNC_S

    def sync(self) -> None:
        """Make all records durable. *Raises* JournalError, SweepError."""
        self.sync_pack()
        self._journal.sync()
        self._unsynced, self._synced = 0, self._clock()

    def close(self) -> None:
        """Make all records durable, and write no more."""
        self._journal.close()

    def _append_task(self) -> None:
        start = self._assignment.start
        self._append(
            {
                "kind": "task",
                **self._common(),
                "time": now(),
                "host": os.uname().nodename,
                "node": start.node,
                "pid": os.getpid(),
                "python": python_version(),
                "packages": packages_digest(packages()),
                "cluster": start.cluster,
                "array_job_id": start.array_job_id,
                "array_task_id": start.array_task_id,
                "job_id": start.job_id,
            }
        )

    def _append_same(self, case: ParamCase) -> None:
        self._append({"kind": "same", **self._common(), **_about(case)})

    def _common(self, attempt: Attempt | None = None, chunk: int | None = None) -> CommonFields:
        mine = self._assignment
        chunk = mine.chunk if chunk is None else chunk
        return common_fields(mine.plan.manifest, attempt or mine.attempt, chunk)

    def _append(self, record: Record) -> None:
        self._journal.append(record)
        self._unsynced += 1
        self._written = self._clock()


def _about(case: ParamCase) -> CaseFields:
    return {"index": case.index, "case_id": case.case_id}


def _end(common: CommonFields, case: ParamCase, outcome: Outcome, host: str | None) -> EndRecord:
    word = Word.TERMINATED if outcome.reason is Reason.TERMINATED else Word.WORKER
    return {
        "kind": "end",
        **common,
        **_about(case),
        "word": word.value,
        **outcome_json(outcome),
        "host": host,
    }


def _settled(journals: Path, chunk: int) -> set[int]:
    """Indices that earlier starts of a chunk call complete, or failed by their own word."""
    settled: set[int] = set()
    for path in journals_of_chunk(journals, chunk):
        torn = 0
        try:
            for reading in read(path):
                torn += reading.torn
                settled |= {record["index"] for record in reading.records if _settles(record)}
        except JournalError as error:
            report_damage(path, error.what)
        if torn:
            report_damage(
                path, f"{torn} of its lines are damaged, or no record that this program reads"
            )
    return settled


def _settles(record: Record) -> TypeGuard[SameRecord | EndRecord]:
    if record["kind"] != "end" or "index" not in record:
        return record["kind"] == "same"
    definite = record.get("word", Word.WORKER.value) == Word.WORKER.value
    return definite and record["status"] in (Status.COMPLETE.value, Status.FAILED.value)
