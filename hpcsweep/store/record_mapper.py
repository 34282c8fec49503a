"""Map journal records to rows of a batch; each is validated against its manifest and plan."""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import cast

from hpcsweep import ids, recordcheck
from hpcsweep.errors import Damaged, JournalError
from hpcsweep.files import names
from hpcsweep.journal import complete_lines, parse_line
from hpcsweep.recordcheck import AlikeRecords, Record, TaskEndRecord, TaskRecord
from hpcsweep.records import CaseTexts
from hpcsweep.store.journal_columns import JournalColumns
from hpcsweep.store.pending_batch import PendingBatch
from hpcsweep.store.record_rows import case_columns, json_text, metrics_of, start_row, verdict_row
from hpcsweep.store.upsert import RowBatch
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.sweepdir.version import Version

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

    def add(self, pending: PendingBatch, read: JournalColumns) -> int:
        """Add records to the batch. Returns the count of those that do not fit the sweep."""
        return sum(self._add_alike(pending, records) for records in read.groups)

    def _add_alike(self, pending: PendingBatch, records: AlikeRecords) -> int:
        if records.are_of_one_attempt:
            try:
                self._add(pending, records)
            except _MISFIT:  # nothing was added: find the record that does not fit
                if records.count == 1:
                    return 1
            else:
                return 0
        return sum(
            self._add_alike(pending, recordcheck.alone(record)) for record in records.records
        )

    def _add(self, pending: PendingBatch, records: AlikeRecords) -> None:
        """Add records of one attempt. *Raises* one of _MISFIT; nothing is added then."""
        generation, submission, _, _ = records.columns["attempt"][0]
        plan = self._plan_of(generation, submission, records.columns["chunk"][0])
        if records.kind == "beat":
            return
        if records.kind != "task" and "index" in records.columns:
            self._add_cases(pending, records)
            return
        if plan is None and submission not in self._sweep.submissions():
            raise JournalError(
                f"submission {submission} is not one of this sweep; if its files were removed, the "
                "results of its cases are kept, and the times of its array tasks are not known"
            )
        if records.kind == "task":
            pending.rows.starts += map(start_row, cast("list[TaskRecord]", records.records))
        else:
            ends = cast("list[TaskEndRecord]", records.records)
            pending.rows.verdicts += map(verdict_row, ends)

    def _add_cases(self, pending: PendingBatch, records: AlikeRecords) -> None:
        columns = records.columns
        version = self.version(columns["manifest"][0])
        indices, case_ids = columns["index"], columns["case_id"]
        cases = self._cases(version, indices, case_ids)
        # Several indices may share a case: each gets its own row in `places`.
        pending.seen[version.fingerprint].update(zip(indices, case_ids, strict=True))
        if records.kind == "same":
            pending.is_plain = False
            return
        seeds = ids.case_seeds(version.manifest.seed, case_ids, cases.replicates)
        _, submission, _, _ = columns["attempt"][0]
        task_id = task_id_of(self._plans[submission], columns["chunk"][0])
        metrics = metrics_of(records)
        made = case_columns(records, cases, seeds, task_id, metrics)
        for case_id, rank, files in zip(
            case_ids, made["rank"], columns.get("inputs", ()), strict=False
        ):
            if files:
                pending.rows.inputs.append((case_id, rank, json_text(files)))
        pending.add(indices, made, metrics, version.source.key)

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

    def _checked_plan(self, generation: int, submission: int, chunk: int) -> Plan | None:
        """The plan of a submission; None if it is missing: the results of its records still count.

        *Raises* JournalError if the plan has no such generation or chunk.
        """
        if submission not in self._plans:
            plan = None
            with contextlib.suppress(Damaged):
                plan = self._sweep.plan(submission)[0]
            self._plans[submission] = plan
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
                why = record if isinstance(record, str) else self.misfit(record)
                if why and line != b"\n":
                    yield f"{path}, line {number} at byte {at}: {why}"
                at += size

    def misfit(self, record: Record) -> str:
        """Why a valid record does not fit the sweep; empty if it does."""
        try:
            self._add(PendingBatch(rows=RowBatch(manifest="")), recordcheck.alone(record))
        except _MISFIT as error:
            return str(error)
        return ""


def task_id_of(plan: Plan | None, chunk: int) -> int | None:
    """Slurm's SLURM_ARRAY_TASK_ID of a chunk; None if it is in no part."""
    parts = plan.parts if plan else ()
    place = bisect_right(parts, chunk, key=attrgetter("first_chunk")) - 1
    if place < 0 or chunk >= parts[place].first_chunk + parts[place].chunks:
        return None
    return parts[place].element(chunk)


def skipped_lines(sweep: SweepDirectory, journals: Iterable[str]) -> Iterator[str]:
    """Location and reason of each skipped line of these journals. Reads them completely."""
    return RecordMapper(sweep, "").skipped_lines(journals)
