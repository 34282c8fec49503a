"""Map journal records to rows of a batch; each is validated against its manifest and plan."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hpcsweep import ids
from hpcsweep.errors import Damaged, JournalError
from hpcsweep.files import names
from hpcsweep.journal import complete_lines, parse_line
from hpcsweep.recordcheck import BeginRecord, EndRecord, Record, SameRecord
from hpcsweep.records import ParamCase
from hpcsweep.store.record_rows import (
    CASE_COLUMNS,
    CaseRow,
    attempt_values,
    case_row,
    json_text,
    start_row,
    verdict_row,
)
from hpcsweep.store.upsert import RowBatch, is_same_identity, shared_id_error
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.sweepdir.version import Version

RANK, PARAMS = map(CASE_COLUMNS.index, ("rank", "params"))


@dataclass(kw_only=True, slots=True)
class PendingBatch:
    """A batch under construction; of all records about a case it keeps the best one."""

    rows: RowBatch
    # By case id: the values of CASE_COLUMNS, and the attempt.
    best: dict[str, tuple[CaseRow, list[Any]]] = field(default_factory=dict)
    # Ids of cases with several attempts in this batch.
    several: set[str] = field(default_factory=set)
    # Case ids by manifest fingerprint and index.
    seen: defaultdict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))


# Raised for a valid record that does not fit the sweep, or whose manifest is missing.
_MISFIT = (JournalError, Damaged)


class RecordMapper:
    """Maps the records of one sweep to rows."""

    def __init__(self, sweep: SweepDirectory, destination: str) -> None:
        """`destination` names the index, for messages."""
        self._sweep = sweep
        self._destination = destination
        self._versions: dict[str, Version | Damaged] = {}
        self._plans: dict[int, Plan | None] = {}
        # By submission and chunk.
        self._task_ids: dict[int, dict[int, int]] = {}
        # Successive records are of one start of an array task.
        self._plan_of = lru_cache(maxsize=16)(self._checked_plan)

    def version(self, fingerprint: str) -> Version:
        """One version of the manifest. *Raises* Damaged if it is missing or damaged."""
        if fingerprint not in self._versions:
            try:
                self._versions[fingerprint] = self._load_version(fingerprint)
            except Damaged as error:
                self._versions[fingerprint] = error
        version = self._versions[fingerprint]
        if isinstance(version, Damaged):
            raise version
        return version

    def _load_version(self, fingerprint: str) -> Version:
        directory = self._sweep.manifest_dir(fingerprint)
        # List the directory instead of probing: an NFS client may cache the absence of a file that
        # another host has just created. The record is then ingested next time.
        if fingerprint not in names(directory.parent):
            raise Damaged(f"its manifest {fingerprint} is gone")
        version = self._sweep.version(fingerprint)
        _ = version.source  # raises if it is damaged
        return version

    def add(self, pending: PendingBatch, records: Iterable[Record]) -> int:
        """Add records to the batch. Returns the count of those that do not fit the sweep."""
        misfits = 0
        for record in records:
            try:
                self._add(pending, record)
            except _MISFIT:
                misfits += 1
        return misfits

    def _add(self, pending: PendingBatch, record: Record) -> None:
        """*Raises* one of _MISFIT."""
        generation, submission, _, _ = record["attempt"]
        plan = self._plan_of(generation, submission, record["chunk"])
        if record["kind"] == "beat":
            return
        if record["kind"] != "task" and "index" in record:
            self._add_case(pending, record)
            return
        if plan is None and submission not in self._sweep.submissions():
            raise JournalError(f"submission {submission} is not one of this sweep")
        if record["kind"] == "task":
            pending.rows.starts.append(start_row(record))
        else:
            pending.rows.verdicts.append(verdict_row(record))

    def _add_case(
        self, pending: PendingBatch, record: BeginRecord | EndRecord | SameRecord
    ) -> None:
        version, index = self.version(record["manifest"]), record["index"]
        case = _case(version, index, record["case_id"])
        line = None
        if record["kind"] != "same":
            seed = ids.case_seed(version.manifest.seed, case.case_id, case.replicate)
            task_id = self._task_ids[record["attempt"][1]].get(record["chunk"])
            line = case_row(record, case, seed, task_id)
            if record.get("inputs"):
                files = case.case_id, line[RANK], json_text(record.get("inputs"))
                pending.rows.inputs.append(files)
        # Several indices may share a case: each gets its own row in `places`.
        pending.seen[version.fingerprint][index] = case.case_id
        if line is None:
            return
        best = pending.best.get(case.case_id)
        if best is None:
            pending.best[case.case_id] = line, record["attempt"]
            return
        best_line, attempt = best
        params, others = line[PARAMS], best_line[PARAMS]
        if not is_same_identity(params, others, version.source.key):
            raise shared_id_error(case.case_id, params, others, self._destination)
        if attempt != record["attempt"]:
            pending.several.add(case.case_id)
            pending.rows.attempts.append(attempt_values(best_line))
        if case.case_id in pending.several:
            pending.rows.attempts.append(attempt_values(line))
        if line[RANK] > best_line[RANK]:
            pending.best[case.case_id] = line, record["attempt"]

    def _checked_plan(self, generation: int, submission: int, chunk: int) -> Plan | None:
        """The plan of a submission; None if it is missing: the results of its records still count.

        *Raises* JournalError if the plan has no such generation or chunk.
        """
        if submission not in self._plans:
            plan = None
            with contextlib.suppress(Damaged):
                plan = self._sweep.plan(submission)[0]
            self._plans[submission] = plan
            self._task_ids[submission] = {
                chunk: part.element(chunk)
                for part in (plan.parts if plan else ())
                for chunk in range(part.first_chunk, part.first_chunk + part.chunks)
            }
        plan = self._plans[submission]
        if plan is not None and chunk >= plan.chunks:
            raise JournalError(
                f"it has chunk {chunk} of the {plan.chunks} of submission {submission}"
            )
        if plan is not None and generation > plan.generation:
            raise JournalError(
                f"it has generation {generation}, submission {submission} has {plan.generation}"
            )
        return plan

    # --- skipped lines ---------------------------------------------------------------------------

    def skipped_lines(self, journals: Iterable[str]) -> Iterator[str]:
        """Location and reason of each skipped line of these journals. Reads them completely."""
        for name in journals:
            path, at = self._sweep.journal_root / name, 0
            for number, (line, size) in enumerate(complete_lines(path), 1):
                record = parse_line(line[:-1])
                why = record if isinstance(record, str) else self._misfit(record)
                if why and line != b"\n":
                    yield f"{path}, line {number} at byte {at}: {why}"
                at += size

    def _misfit(self, record: Record) -> str:
        """Why a record does not fit the sweep; empty if it does."""
        try:
            self._add(PendingBatch(rows=RowBatch(manifest="")), record)
        except _MISFIT as error:
            return str(error)
        return ""


def skipped_lines(sweep: SweepDirectory, journals: Iterable[str]) -> Iterator[str]:
    """Location and reason of each skipped line of these journals. Reads them completely."""
    return RecordMapper(sweep, "").skipped_lines(journals)


def _case(version: Version, index: int, case_id: str) -> ParamCase:
    """The case of a record. *Raises* JournalError if the manifest has another one there."""
    count = version.source.n_cases
    if index >= count:
        raise JournalError(f"it has index {index} of {count} of manifest {version.fingerprint}")
    case = version.source[index]
    if case.case_id != case_id:
        raise JournalError(
            f"it says that index {index} is case {case_id}; manifest {version.fingerprint} "
            f"makes it {case.case_id}"
        )
    return case
