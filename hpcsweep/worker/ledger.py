"""The ledger of one start of a chunk: what earlier starts settled, and the journal of this one.

Journals are the truth of outcomes (DESIGN invariant 5): an outcome counts when it is written here,
and a case that is complete by then does not run again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    RunningFields,
    SameRecord,
)
from hpcsweep.records import Attempt, Outcome, ParamCase, Reason, Status, Word
from hpcsweep.sweepdir.plan import checkpoint_dir
from hpcsweep.worker.leftovers import LeftoverRun, Leftovers, report_damage
from hpcsweep.worker.start import Assignment

if TYPE_CHECKING:
    from typing import TypeGuard

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
        # Indices that need not run, by the journals of earlier starts.
        self.settled = _settled_indices(assignment.journals, assignment.chunk)
        # Digest of the params of each complete case, by case id: two cases might share an id.
        self._complete: dict[str, str] = {}
        attempt = assignment.attempt
        name = journal_name(assignment.chunk, attempt.restart, attempt.token)
        self._journal = JournalWriter(assignment.journals / name)
        # Makes packed runs durable before the records that name them.
        self.sync_pack: Callable[[], None] = lambda: None
        # Gets every outcome after its record.
        self.on_end: Callable[[ParamCase, Outcome], None] = lambda _case, _outcome: None
        self._unsynced, self._synced = 0, clock()
        # What the running cases use, for a heartbeat.
        self.running: Callable[[], list[RunningFields]] = list
        # When the last heartbeat was written, or the journal was opened.
        self._beaten = clock()
        self._append_task()

    @property
    def path(self) -> Path:
        """The journal of this start."""
        return self._journal.path

    # --- cases that need not run -----------------------------------------------------------------

    def unsettled(self) -> Iterator[int]:
        """The indices of the chunk that no start has settled, in the order in which they begin."""
        return (index for index in self._assignment.order if index not in self.settled)

    def is_complete(self, run: Run) -> bool:
        """Whether the case of a run is complete already. *Writes* the record of that."""
        case = run.case
        digest = self._complete.get(case.case_id)
        if digest is not None and digest == ids.fingerprint(case.params):
            self._append_same(case)
            return True
        leftover = self._leftovers.find(run)
        if leftover is None:
            return False
        self._adopt(case, leftover)
        return True

    def _adopt(self, case: ParamCase, leftover: LeftoverRun) -> None:
        """Write the outcome of a run that an earlier start left without an `end` record."""
        metadata = leftover.metadata
        # That start may have been killed before it retired them.
        retire_checkpoints(self._assignment.sweep.path / checkpoint_dir(case.case_id))
        if (
            metadata["manifest"] == self._assignment.plan.manifest
            and metadata["index"] != case.index
        ):
            self._append_same(case)
        else:
            common = self._common(attempt_of(metadata["attempt"]), metadata["chunk"])
            outcome = replace(outcome_of(metadata["outcome"]), metrics=leftover.metrics)
            end = _end(common, case, outcome, metadata.get("host"))
            if "job_id" in metadata["outcome"]:
                end["job_id"] = metadata["outcome"]["job_id"]
            self._append(end)
        self._complete[case.case_id] = ids.fingerprint(case.params)

    # --- records ---------------------------------------------------------------------------------

    def begin(self, case: ParamCase, started: str) -> None:
        """Record that a case begins."""
        self._append({"kind": "begin", **self._common(), **_case_fields(case), "started": started})

    def end(self, case: ParamCase, outcome: Outcome) -> None:
        """Record the outcome of a case."""
        start = self._assignment.start
        self._append(_end(self._common(), case, outcome, start.node) | {"job_id": start.job_id})
        if outcome.status is Status.COMPLETE:
            self._complete[case.case_id] = ids.fingerprint(case.params)
        self.on_end(case, outcome)

    def end_task(self, reason: Reason | None = None, error: dict[str, Any] | None = None) -> None:
        """Record that the chunk has ended, so that no command asks the cluster about it.

        `reason`: why some cases have not begun. Closes the journal.
        """
        common = self._common()
        self._append(task_end(common, Word.WORKER, reason, time=now(), error=error))
        self.close()

    def beat_if_due(self) -> float:
        """Write a heartbeat if the last one is old enough. Returns the time of the next one.

        It tells what the running cases use. Its fsync also makes the outcomes before a long case
        durable.
        """
        if self._clock() >= self._beaten + self._beat_s:
            self._beaten = self._clock()
            now_running = self.running()
            self._append({"kind": "beat", **self._common(), "time": now(), "running": now_running})
            self.sync()
        return self._beaten + self._beat_s

    @property
    def is_sync_due(self) -> bool:
        """Whether enough records are unsynced, or enough time has passed."""
        return self._unsynced >= SYNC_RECORDS or self._clock() - self._synced >= SYNC_S

    def sync(self) -> None:
        """Make all records durable. *Raises* JournalError, SweepError."""
        self.sync_pack()
        self._journal.sync()
        self._unsynced, self._synced = 0, self._clock()

    def close(self) -> None:
        """Make all records durable and close the journal."""
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
        self._append({"kind": "same", **self._common(), **_case_fields(case)})

    def _common(self, attempt: Attempt | None = None, chunk: int | None = None) -> CommonFields:
        assignment = self._assignment
        chunk = assignment.chunk if chunk is None else chunk
        return common_fields(assignment.plan.manifest, attempt or assignment.attempt, chunk)

    def _append(self, record: Record) -> None:
        self._journal.append(record)
        self._unsynced += 1


def _case_fields(case: ParamCase) -> CaseFields:
    return {"index": case.index, "case_id": case.case_id}


def _end(common: CommonFields, case: ParamCase, outcome: Outcome, host: str | None) -> EndRecord:
    was_ended = outcome.reason in (Reason.TERMINATED, Reason.TIMEOUT)
    word = Word.TERMINATED if was_ended else Word.WORKER
    return {
        "kind": "end",
        **common,
        **_case_fields(case),
        "word": word.value,
        **outcome_json(outcome),
        "host": host,
    }


def _settled_indices(journals: Path, chunk: int) -> set[int]:
    """Indices that earlier starts of a chunk recorded as complete, or as definitely failed."""
    settled: set[int] = set()
    for path in journals_of_chunk(journals, chunk):
        torn = 0
        try:
            for reading in read(path):
                torn += reading.torn
                settled |= {record["index"] for record in reading.records if settles(record)}
        except JournalError as error:
            report_damage(path, error.what)
        if torn:
            report_damage(
                path, f"{torn} of its lines are damaged, or no record that this program reads"
            )
    return settled


def settles(record: Record) -> TypeGuard[SameRecord | EndRecord]:
    """Whether a record says that its index need not run: complete, or definitely failed."""
    if record["kind"] != "end" or "index" not in record:
        return record["kind"] == "same"
    definite = record.get("word", Word.WORKER.value) == Word.WORKER.value
    return definite and record["status"] in (Status.COMPLETE.value, Status.FAILED.value)
