"""Compare what two submissions made of the same cases, by their journals.

The index has the outcome of a case that counts, whichever submission made it; only the journals
have the metrics of all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import InputError, SweepError
from hpcsweep.journal import all_journals, rank, read
from hpcsweep.logbook.json_values import with_floats
from hpcsweep.recordcheck import BeginRecord, EndRecord
from hpcsweep.records import Status
from hpcsweep.settings import Settings
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.tables.column_names import flatten
from hpcsweep.tables.compare import (
    Side,
    SweepComparison,
    compare,
    compare_cases,
    environment,
)
from hpcsweep.tables.kept_cases import ComparedCase, KeptCases

# A sweep, and the number of one of its submissions.
Submission = tuple[SweepDirectory, int]
_Record = BeginRecord | EndRecord


def submission_of(text: str) -> tuple[str, int | None]:
    """The name of a sweep, and the number of a submission after an `@`; None without one."""
    name, at, number = text.rpartition("@")
    if at and number.isdecimal() and not Path(text).exists():
        return name, int(number)
    return text, None


def compare_either(
    sweeps: Sequence[tuple[SweepDirectory, Cluster | None]],
    numbers: tuple[int | None, int | None],
    settings: Settings,
) -> SweepComparison:
    """Compare two sweeps, or submissions of them with these numbers.

    *Raises* InputError for one submission alone, and as `compare` and `compare_submissions`.
    """
    (a, _), (b, _) = sweeps
    match numbers:
        case None, None:
            return compare(sweeps, settings)
        case int(), int():
            return compare_submissions((a, numbers[0]), (b, numbers[1]))
    raise InputError(
        "one of them is a submission, the other a whole sweep",
        where="--diff",
        next_step="Name submissions of both, like demo@1 and demo@2, or of none.",
    )


def compare_submissions(a: Submission, b: Submission) -> SweepComparison:
    """Compare the cases that two submissions began, of one sweep or of two.

    *Raises* SweepError for a submission that there is not; JournalError.
    """
    both = [_last_records(sweep, number) for sweep, number in (a, b)]
    values = [{case: _metrics(record) for case, record in records.items()} for records in both]
    names = sorted({name for of_side in values for metrics in of_side.values() for name in metrics})
    sides = [
        _side(sweep, number, records) for (sweep, number), records in zip((a, b), both, strict=True)
    ]
    first, second = (
        [list(_compared(records, of_side, names))]
        for records, of_side in zip(both, values, strict=True)
    )
    return compare_cases(sides, names, KeptCases(first), second)


def _side(sweep: SweepDirectory, number: int, records: Mapping[str, _Record]) -> Side:
    made = Side(
        label=f"{sweep.name}@{number}",
        path=str(sweep.path),
        cases=len(records),
        environment=environment(sweep, number),
    )
    for record in records.values():
        if record["kind"] == "end" and record["status"] == Status.COMPLETE.value:
            made.code[record.get("code_digest") or "unknown"] += 1
    return made


def _last_records(sweep: SweepDirectory, number: int) -> dict[str, _Record]:
    """The record of each case that a submission began, by case id, which says how it ended."""
    if number not in sweep.submissions():
        raise SweepError(
            f"has no submission {number}",
            where=sweep.shown_path,
            next_step=f"Its submissions: {', '.join(map(str, sweep.submissions())) or 'none'}.",
        )
    best: dict[str, tuple[str, _Record]] = {}
    for record in _records(sweep, number):
        ranked = rank(record), record
        if ranked[0] > best.get(record["case_id"], ("",))[0]:
            best[record["case_id"]] = ranked
    return {case: record for case, (_, record) in best.items()}


def _records(sweep: SweepDirectory, number: int) -> Iterator[_Record]:
    folder = sweep.journal_dir(number).name
    for name in all_journals(sweep.journal_root):
        if name.startswith(f"{folder}/"):
            for chunk in read(sweep.journal_root / name, skim=True):
                for record in chunk.records:
                    if record["kind"] in ("begin", "end") and "case_id" in record:
                        yield record


def _metrics(record: _Record) -> dict[str, Any]:
    metrics = (record.get("metrics") if record["kind"] == "end" else None) or {}
    return {".".join(keys): value for keys, value in flatten(with_floats(metrics)).items()}


def _compared(
    records: Mapping[str, _Record], values: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> Iterator[tuple[str, ComparedCase]]:
    for case, record in records.items():
        status = record["status"] if record["kind"] == "end" else Status.RUNNING.value
        yield case, (record["index"], status, *map(values[case].get, names))
