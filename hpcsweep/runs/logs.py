"""The output and logs of one case, and Slurm's output of its array task."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from hpcsweep.cluster import registry
from hpcsweep.errors import InputError, SourceError
from hpcsweep.logbook.runfiles import RunFiles
from hpcsweep.logbook.storage import read_content
from hpcsweep.records import Status
from hpcsweep.runs.find import DamageReport, kept_files
from hpcsweep.runs.memory import MemoryExcess, memory_excess
from hpcsweep.settings import Settings
from hpcsweep.store.ingest import fresh_index
from hpcsweep.store.sweep_index import IndexRow
from hpcsweep.sweepdir.directory import SweepDirectory

FILES = ("log.txt", "stdout.txt", "stderr.txt")


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseLogs:
    """The log files of one case."""

    index: int
    case_id: str
    # For messages, e.g. "failed: error: no good".
    state: str
    # Path and content of each file that is not empty; Slurm's last.
    texts: Iterable[tuple[str, str]]
    # Of a complete case that used more memory than it asked for.
    memory: MemoryExcess | None = None
    # Whether the case's own files are missing or damaged.
    files: DamageReport = field(default_factory=DamageReport)


def case_logs(sweep: SweepDirectory, case: str) -> CaseLogs:
    """The logs of a case, by its index or by a prefix of its case id.

    *Raises* InputError if no case or more than one matches.
    """
    with fresh_index(sweep) as sweep_index:
        rows = sweep_index.find(case)
    if len({row["case_id"] for row in rows}) > 1:
        raise InputError(f"{case!r} begins several case ids", next_step="Give more digits.")
    return _started(sweep, rows[0]) if rows else _unstarted(sweep, case)


def _started(sweep: SweepDirectory, row: IndexRow) -> CaseLogs:
    paths = _task_logs(sweep, row["submission"], row["chunk"])
    asked = sweep.resources(sweep.plan(row["submission"])[0])
    message = json.loads(row["error"]).get("message") if row["error"] else None
    report, own = DamageReport(), list[tuple[str, str]]()
    with report.collecting(row):
        own += _own_texts(kept_files(sweep, row))
    return CaseLogs(
        index=row["idx"],
        case_id=row["case_id"],
        state=": ".join(word for word in (row["status"], row["reason"], message) if word),
        texts=chain(own, _texts(paths)),
        memory=memory_excess(Status(row["status"]), asked, row["max_rss_bytes"]),
        files=report,
    )


def _unstarted(sweep: SweepDirectory, case: str) -> CaseLogs:
    """Slurm's output of the last array task that included the case."""
    wanted = sweep.newest()
    if not case.isdigit() or int(case) >= wanted.source.n_cases:
        raise InputError(
            f"no attempt of a case {case!r} has begun",
            where=str(sweep.path),
            next_step=f"Give an index of 0..{wanted.source.n_cases - 1}, or a case id as "
            "`hpcsweep collect` shows them.",
        )
    index = int(case)
    paths: Iterator[Path] = iter(())
    for number in reversed(sweep.submissions()):
        plan, _ = sweep.plan(number)
        if plan.manifest == wanted.fingerprint and index in plan.indices:
            paths = _task_logs(sweep, number, plan.indices.rank(index) // plan.chunk_size)
            break
    case_id, state = "unknown", "no attempt has begun"
    try:
        case_id = wanted.source[index].case_id
    except SourceError as error:  # the user's own source fails
        state = f"{state}: {error}"
    return CaseLogs(index=index, case_id=case_id, state=state, texts=_texts(paths))


def _own_texts(files: RunFiles | None) -> Iterator[tuple[str, str]]:
    for name in FILES if files else ():
        data = files.read(name) if files else None
        if files and data:
            yield f"{files.path(name) or f'{files.label}/{name}'}", data.decode(errors="replace")


def _texts(paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    for path in paths:
        data = read_content(str(path))
        if data:
            yield str(path), data.decode(errors="replace")


def _task_logs(sweep: SweepDirectory, submission: int, chunk: int) -> Iterator[Path]:
    plan, document = sweep.plan(submission)
    cluster = registry.of_record(document["cluster"], sweep, Settings())
    directory = sweep.log_dir(submission)
    for part in plan.parts:
        task = chunk - part.first_chunk
        if 0 <= task < part.chunks:
            yield from cluster.logs(directory, part.number, task)
