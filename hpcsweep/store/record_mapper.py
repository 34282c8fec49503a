"""Map journal records to rows of a batch; each is validated against its manifest and plan."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast

from hpcsweep import ids, recordcheck
from hpcsweep.errors import Damaged, JournalError
from hpcsweep.files import names
from hpcsweep.journal import JournalChunk, complete_lines, parse_line
from hpcsweep.recordcheck import AlikeRecords, Record, TaskEndRecord, TaskRecord
from hpcsweep.records import CaseTexts
from hpcsweep.store.record_rows import (
    CASE_COLUMNS,
    CaseRow,
    attempt_key,
    attempt_values,
    case_rows,
    json_text,
    start_row,
    verdict_row,
)
from hpcsweep.store.upsert import RowBatch, is_same_identity, shared_id_error
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.sweepdir.version import Version

CASE_ID, RANK, PARAMS = map(CASE_COLUMNS.index, ("case_id", "rank", "params"))


@dataclass(kw_only=True, slots=True)
class PendingBatch:
    """A batch under construction; of all records about a case it keeps the best one."""

    rows: RowBatch
    # By case id: the values of CASE_COLUMNS.
    best: dict[str, CaseRow] = field(default_factory=dict)
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
        # What makes the cases of a version, by its fingerprint.
        self._texts: dict[str, Callable[[Sequence[int]], CaseTexts]] = {}
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

    def add(self, pending: PendingBatch, chunk: JournalChunk) -> int:
        """Add records to the batch. Returns the count of those that do not fit the sweep."""
        if chunk.alike is None:
            return self._add_singly(pending, chunk.records)
        return sum(self._add_alike(pending, records) for records in chunk.alike)

    def _add_singly(self, pending: PendingBatch, records: Iterable[Record]) -> int:
        misfits = 0
        for record in records:
            try:
                self._add(pending, recordcheck.alone(record))
            except _MISFIT:
                misfits += 1
        return misfits

    def _add_alike(self, pending: PendingBatch, records: AlikeRecords) -> int:
        if records.are_of_one_attempt:
            try:
                self._add(pending, records)
            except _MISFIT:  # nothing was added: find the record that does not fit
                pass
            else:
                return 0
        return self._add_singly(pending, cast("list[Record]", records.documents))

    def _add(self, pending: PendingBatch, records: AlikeRecords) -> None:
        """Add records of one attempt. *Raises* one of _MISFIT; nothing is added then."""
        first = records.documents[0]
        generation, submission, _, _ = first["attempt"]
        plan = self._plan_of(generation, submission, first["chunk"])
        if records.kind == "beat":
            return
        if records.kind != "task" and "index" in records.columns:
            self._add_cases(pending, records)
            return
        if plan is None and submission not in self._sweep.submissions():
            raise JournalError(f"submission {submission} is not one of this sweep")
        if records.kind == "task":
            pending.rows.starts += map(start_row, cast("list[TaskRecord]", records.documents))
        else:
            ends = cast("list[TaskEndRecord]", records.documents)
            pending.rows.verdicts += map(verdict_row, ends)

    def _add_cases(self, pending: PendingBatch, records: AlikeRecords) -> None:
        columns = records.columns
        version = self.version(columns["manifest"][0])
        indices, case_ids = columns["index"], columns["case_id"]
        cases = self._cases(version, indices, case_ids)
        # Several indices may share a case: each gets its own row in `places`.
        pending.seen[version.fingerprint].update(zip(indices, case_ids, strict=True))
        if records.kind == "same":
            return
        seeds = ids.case_seeds(version.manifest.seed, case_ids, cases.replicates)
        _, submission, _, _ = columns["attempt"][0]
        task_id = self._task_ids[submission].get(columns["chunk"][0])
        rows = case_rows(records, cases, seeds, task_id)
        for row, files in zip(rows, columns.get("inputs", ()), strict=False):
            if files:
                pending.rows.inputs.append((row[CASE_ID], row[RANK], json_text(files)))
        new = dict(zip(case_ids, rows, strict=True))
        if len(new) == len(rows) and pending.best.keys().isdisjoint(new):
            pending.best.update(new)
            return
        for row in rows:
            self._add_row(pending, row, version.source.key)

    def _cases(
        self, version: Version, indices: Sequence[int], case_ids: Sequence[str]
    ) -> CaseTexts:
        """The cases of records. *Raises* JournalError if the manifest has another one there."""
        count = version.source.n_cases
        if max(indices) >= count:
            raise JournalError(
                f"it has index {max(indices)} of {count} of manifest {version.fingerprint}"
            )
        texts = self._texts.get(version.fingerprint)
        if texts is None:
            texts = self._texts[version.fingerprint] = version.source.texts(json_text)
        cases = texts(indices)
        if list(case_ids) != cases.case_ids:
            for index, case_id, expected in zip(indices, case_ids, cases.case_ids, strict=True):
                if case_id != expected:
                    raise JournalError(
                        f"it says that index {index} is case {case_id}; manifest "
                        f"{version.fingerprint} makes it {expected}"
                    )
        return cases

    def _add_row(self, pending: PendingBatch, row: CaseRow, key: frozenset[str] | None) -> None:
        """Add a row of a case that the batch may have already."""
        case_id = row[CASE_ID]
        best = pending.best.setdefault(case_id, row)
        if best is row:
            return
        params, others = row[PARAMS], best[PARAMS]
        if not is_same_identity(params, others, key):
            raise shared_id_error(case_id, params, others, self._destination)
        if attempt_key(row) != attempt_key(best):
            pending.several.add(case_id)
            pending.rows.attempts.append(attempt_values(best))
        if case_id in pending.several:
            pending.rows.attempts.append(attempt_values(row))
        if row[RANK] > best[RANK]:
            pending.best[case_id] = row

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
            self._add(PendingBatch(rows=RowBatch(manifest="")), recordcheck.alone(record))
        except _MISFIT as error:
            return str(error)
        return ""


def skipped_lines(sweep: SweepDirectory, journals: Iterable[str]) -> Iterator[str]:
    """Location and reason of each skipped line of these journals. Reads them completely."""
    return RecordMapper(sweep, "").skipped_lines(journals)
