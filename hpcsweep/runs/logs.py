"""The output and logs of one case, and Slurm's output of its array task."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from hpcsweep.cluster.task_logs import task_logs
from hpcsweep.errors import SourceError
from hpcsweep.indexset import IndexSet
from hpcsweep.logbook.runfiles import RunFiles
from hpcsweep.logbook.storage import read_content
from hpcsweep.records import Resources, Status, error_text
from hpcsweep.runs.attempts import line
from hpcsweep.runs.find import DamageReport, kept_files
from hpcsweep.runs.memory import MemoryExcess, memory_excess
from hpcsweep.store.case_reader import IndexRow
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory

FILES = ("log.txt", "stdout.txt", "stderr.txt")


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseLogs:
    """The log files of one case.

    Examples:
        >>> logs = sweep.logs(0)
        >>> isinstance(logs, hs.CaseLogs), logs.state
        (True, 'complete')
    """

    index: int
    case_id: str
    # For messages, e.g. "failed: error: no good".
    state: str
    # What each known attempt asked for and used, in a line.
    attempts: list[str]
    # Path and content of each file that is not empty; Slurm's last.
    texts: Iterable[tuple[str, str]]
    # Of a complete case that used more memory than it asked for.
    memory: MemoryExcess | None = None

    def __str__(self) -> str:
        texts = [f"==> {where}\n{text}" for where, text in self.texts]
        lines = [text if text.endswith("\n") else f"{text}\n" for text in texts]
        return f"case {self.case_id}, index {self.index}: {self.state}\n" + "".join(lines)

    def __contains__(self, text: object) -> bool:
        """Whether a text stands in them."""
        return isinstance(text, str) and text in str(self)

    def __repr__(self) -> str:
        return f"<CaseLogs {self.index}, {self.case_id}: {self.state}>"

    def read(self) -> CaseLogs:
        """The same with all texts in memory.

        Examples:
            >>> sweep.logs(2).read().state
            'failed: error: ...'
        """
        return replace(self, texts=tuple(self.texts))

    def to_json(self) -> dict[str, Any]:
        """The document of `logs --json`.

        Examples:
            >>> sweep.logs(0).to_json()["state"]
            'complete'
        """
        return {
            "schema": "hpcsweep.logs/1",
            "index": self.index,
            "case_id": self.case_id,
            "state": self.state,
            "memory_excess": self.memory.to_json() if self.memory else None,
            "attempts": self.attempts,
            "texts": [{"where": where, "text": text} for where, text in self.texts],
        }


def case_logs(sweep: SweepDirectory, indices: IndexSet, report: DamageReport) -> Iterator[CaseLogs]:
    """The logs of these cases, in index order.

    `report` collects complete cases whose files are missing or damaged.
    """
    rest = iter(indices)
    # Without those whose files were removed: of these the attempts are known alone.
    submissions = frozenset(sweep.submissions())
    with fresh_index(sweep) as sweep_index:
        for row in sweep_index.rows(within=indices):
            for index in rest:
                if index == row["idx"]:
                    break
                yield _unstarted(sweep, index)
            attempts = sweep_index.attempts(IndexSet.of([row["idx"]]))
            yield _started(sweep, row, attempts, report, submissions)
        for index in rest:
            yield _unstarted(sweep, index)


def _started(
    sweep: SweepDirectory,
    row: IndexRow,
    attempts: Iterable[IndexRow],
    report: DamageReport,
    submissions: Collection[int],
) -> CaseLogs:
    def asked_for(submission: int) -> Resources:
        if submission not in submissions:
            return Resources()
        return sweep.resources(sweep.plan(submission)[0])

    is_known = row["submission"] in submissions
    paths = task_logs(sweep, row["submission"], row["chunk"]) if is_known else ()
    message = error_text(json.loads(row["error"])) if row["error"] else None
    own: list[tuple[str, str]] = []
    with report.collecting(row):
        own += _own_texts(kept_files(sweep, row))
    return CaseLogs(
        index=row["idx"],
        case_id=row["case_id"],
        state=": ".join(word for word in (row["status"], row["reason"], message) if word),
        texts=chain(own, _texts(sweep, paths)),
        attempts=[line(attempt, asked_for(attempt["submission"])) for attempt in attempts],
        memory=memory_excess(
            Status(row["status"]), asked_for(row["submission"]), row["max_rss_bytes"]
        ),
    )


def last_task_logs(sweep: SweepDirectory, index: int, row: IndexRow | None) -> Iterator[Path]:
    """Slurm's output of the last array task that had a case; `row` is that of its last attempt."""
    if row is not None:
        yield from task_logs(sweep, row["submission"], row["chunk"])
        return
    newest = sweep.newest_manifest()
    for number in reversed(sweep.submissions()):
        plan, _ = sweep.plan(number)
        if plan.manifest == newest and index in plan.indices:
            yield from task_logs(sweep, number, plan.indices.rank(index) // plan.chunk_size)
            return


def _unstarted(sweep: SweepDirectory, index: int) -> CaseLogs:
    version = sweep.newest()
    paths = last_task_logs(sweep, index, None)
    case_id, state = "unknown", "no attempt has begun"
    try:
        case_id = version.source[index].case_id
    except SourceError as error:  # the user's own source fails
        state = f"{state}: {error}"
    texts = _texts(sweep, paths)
    return CaseLogs(index=index, case_id=case_id, state=state, attempts=[], texts=texts)


def _own_texts(files: RunFiles | None) -> Iterator[tuple[str, str]]:
    for name in FILES if files else ():
        data = files.read(name) if files else None
        if files and data:
            yield f"{files.path(name) or f'{files.label}/{name}'}", data.decode(errors="replace")


def _texts(sweep: SweepDirectory, paths: Iterable[Path]) -> Iterator[tuple[str, str]]:
    for path in paths:
        data = read_content(str(path))
        if data:
            yield sweep.shown(path), data.decode(errors="replace")
