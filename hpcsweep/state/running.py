"""The cases that run now, and what they use: from the index, and the heartbeats of their tasks."""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpcsweep.files import read_end
from hpcsweep.indexset import IndexSet
from hpcsweep.journal import journal_name, parse_line
from hpcsweep.recordcheck import RunningFields
from hpcsweep.state.moments import epoch_s
from hpcsweep.store.sweep_index import SweepIndex
from hpcsweep.sweepdir.directory import SweepDirectory

# Running cases of which something is shown, those that began first; and of how many the index is
# asked for them. So the cost of a `status` does not depend on the count of running cases.
SHOWN_MAX, ASKED_MAX = 50, 5000
# Bytes at the end of a journal in which the last heartbeat is looked for.
TAIL_BYTES = 1 << 16
_COLUMNS = ("case_id", "started", "host", "submission", "chunk", "restart", "token")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningCase:
    """A case that runs, as far as its journal tells."""

    index: int
    case_id: str
    host: str | None
    # Since it began; None if that is not known.
    seconds: float | None
    # At the last heartbeat of its task: so many seconds ago, the processor's time and the memory of
    # all its processes. None without one since the case began.
    seconds_ago: float | None = None
    cpu_seconds: float | None = None
    memory_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Its element in `status --json`."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class _Beat:
    seconds_ago: float
    running: dict[int, RunningFields]


def running_cases(
    sweep: SweepDirectory, sweep_index: SweepIndex, running: IndexSet
) -> tuple[RunningCase, ...]:
    """Those of these indices that began first, at most `SHOWN_MAX`."""
    shown = running.slice(0, min(ASKED_MAX, running.count))
    rows: list[dict[str, Any]] = []
    for page in sweep_index.columns(_COLUMNS, within=shown):
        rows += [dict(zip(page, row, strict=True)) for row in zip(*page.values(), strict=True)]
    rows = heapq.nsmallest(SHOWN_MAX, rows, key=lambda row: (row["started"] or "", row["idx"]))
    beats: dict[Path, _Beat | None] = {}
    cases = []
    for row in rows:
        name = journal_name(row["chunk"], row["restart"], row["token"])
        path = sweep.journal_dir(row["submission"]) / name
        if path not in beats:
            beats[path] = _last_beat(path)
        cases.append(_case(row, beats[path]))
    return tuple(cases)


def _case(row: dict[str, Any], beat: _Beat | None) -> RunningCase:
    case = RunningCase(
        index=row["idx"], case_id=row["case_id"], host=row["host"], seconds=_ago(row["started"])
    )
    used = None if beat is None else beat.running.get(case.index)
    if beat is None or used is None:
        return case
    return replace(
        case,
        seconds_ago=beat.seconds_ago,
        cpu_seconds=used["cpu_seconds"],
        memory_bytes=used["memory_bytes"],
    )


def _last_beat(path: Path) -> _Beat | None:
    """The last heartbeat in a journal; None if there is none near its end, or it is unreadable."""
    try:
        lines = read_end(path, TAIL_BYTES).split(b"\n")
    except OSError:
        return None
    for line in reversed(lines[:-1]):
        if b'"kind":"beat"' not in line[:30]:
            continue
        record = parse_line(line)
        if not isinstance(record, str) and record["kind"] == "beat":
            running = {case["index"]: case for case in record.get("running", [])}
            return _Beat(_ago(record.get("time")) or 0.0, running)
    return None


def _ago(moment: str | None) -> float | None:
    """Seconds since a time of a journal, by the clocks of two hosts; never negative."""
    if moment is None:
        return None
    return round(max(0.0, time.time() - epoch_s(moment)), 1)
