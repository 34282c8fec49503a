"""The attempts of a sweep's cases that began, as arrays: when and where, and what each used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hpcsweep.indexset import IndexSet
from hpcsweep.records import Reason, Status
from hpcsweep.state.growing_array import GrowingArray
from hpcsweep.state.moments import epoch_s
from hpcsweep.store import SweepIndex
from hpcsweep.store.gc_control import gc_paused

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# A status, and a reason or None, are numbers in the arrays: positions in these.
STATUSES = tuple(Status)
REASONS = (None, *Reason)
STATUS_CODES = {status.value: code for code, status in enumerate(STATUSES)}
_REASON_CODES = {reason and reason.value: code for code, reason in enumerate(REASONS)}
# How `journal.now` ends a time.
_UTC = "+00:00"
# The columns of the index; what of them are plain numbers, by name in `Executions`; and the type of
# each array.
COLUMNS = (
    *("idx", "status", "reason", "started", "ended", "wall_seconds", "cpu_seconds"),
    *("max_rss_bytes", "host", "job_id", "submission", "restart"),
)
_NUMBERS = {
    "index": "idx",
    "wall": "wall_seconds",
    "cpu": "cpu_seconds",
    "peak": "max_rss_bytes",
    "submission": "submission",
    "restart": "restart",
}
_DTYPES: dict[str, npt.DTypeLike] = {
    **dict.fromkeys(("start", "end", "wall", "cpu", "peak"), np.float64),
    **dict.fromkeys(("host", "task", "submission", "restart"), np.int32),
    **dict.fromkeys(("status", "reason"), np.int8),
    "index": np.int64,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Executions:
    """Attempts that began, by index; those of one case in their order."""

    index: Ints
    # Seconds since the epoch; `end` is NaN where it is not known.
    start: Floats
    end: Floats
    # Seconds on a monotonic clock, seconds of the processor, and bytes; NaN where not known.
    wall: Floats
    cpu: Floats
    peak: Floats
    # Positions in `hosts`, and numbers of array tasks: a requeue is a part of its task.
    host: npt.NDArray[np.int32]
    task: npt.NDArray[np.int32]
    # Positions in `STATUSES` and `REASONS`.
    status: npt.NDArray[np.int8]
    reason: npt.NDArray[np.int8]
    submission: npt.NDArray[np.int32]
    restart: npt.NDArray[np.int32]
    # "" for a host that is not known.
    hosts: Sequence[str]

    def __len__(self) -> int:
        return len(self.index)


def _new_columns() -> dict[str, GrowingArray]:
    return {name: GrowingArray(dtype) for name, dtype in _DTYPES.items()}


@dataclass(slots=True)
class ExecutionReader:
    """Executions as rows of the index come in, column by column; see `COLUMNS`."""

    # The cases whose rows are passed over: all of their attempts come by `add_attempts`.
    repeated: IndexSet = field(default_factory=IndexSet)
    _columns: dict[str, GrowingArray] = field(default_factory=_new_columns)
    _hosts: dict[str, int] = field(default_factory=dict)
    _tasks: dict[tuple[int, str], int] = field(default_factory=dict)

    def add(self, page: Mapping[str, Sequence[Any]]) -> None:
        """Append the rows of a page that began."""
        if self.repeated:
            kept = [at for at, index in enumerate(page["idx"]) if index not in self.repeated]
            page = {name: [page[name][at] for at in kept] for name in COLUMNS}
        self._add(page)

    def add_attempts(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows of attempts."""
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for row in rows:
            for name, values in columns.items():
                values.append(row[name])
        self._add(columns)

    def _add(self, page: Mapping[str, Sequence[Any]]) -> None:
        if not all(page["started"]):
            began = [at for at, moment in enumerate(page["started"]) if moment]
            page = {name: [page[name][at] for at in began] for name in COLUMNS}
        hosts, tasks = self._hosts, self._tasks
        named = zip(page["submission"], page["job_id"], strict=True)
        made = {
            "start": _seconds(page["started"]),
            "end": _seconds(page["ended"]),
            "status": [STATUS_CODES[one] for one in page["status"]],
            "reason": [_REASON_CODES[one] for one in page["reason"]],
            "host": [hosts.setdefault(one or "", len(hosts)) for one in page["host"]],
            "task": [tasks.setdefault(one, len(tasks)) for one in named],
        }
        made |= {name: page[of] for name, of in _NUMBERS.items()}
        for name, dtype in _DTYPES.items():
            self._columns[name].add(np.asarray(made[name], dtype))

    def made(self) -> Executions:
        """All of them."""
        columns = {name: column.values() for name, column in self._columns.items()}
        if self.repeated:
            order = np.argsort(columns["index"], kind="stable")
            columns = {name: column[order] for name, column in columns.items()}
        return Executions(**columns, hosts=list(self._hosts))


def read_executions(sweep_index: SweepIndex) -> Executions:
    """All executions of a sweep."""
    reader = ExecutionReader(repeated_cases(sweep_index))
    pages = sweep_index.columns(COLUMNS)
    while True:
        with gc_paused():
            page = next(pages, None)
            if page is None:
                return all_executions(reader, sweep_index)
            reader.add(page)


def all_executions(reader: ExecutionReader, sweep_index: SweepIndex) -> Executions:
    """What was read, with all attempts of the cases that were passed over."""
    if reader.repeated:
        reader.add_attempts(sweep_index.attempts(reader.repeated))
    return reader.made()


def repeated_cases(sweep_index: SweepIndex) -> IndexSet:
    """The indices of the cases with several attempts."""
    groups = sweep_index.case_groups()
    return IndexSet.union(group.indices for group in groups if group.attempt > 1)


def chosen(executions: Executions, which: npt.NDArray[np.bool_]) -> Executions:
    """Some of the executions; of all of them no copy is made."""
    if which.all():
        return executions
    names = (name for name in executions.__slots__ if name != "hosts")
    return replace(executions, **{name: getattr(executions, name)[which] for name in names})


def _seconds(moments: Sequence[str | None]) -> Floats:
    """Times of records as seconds since the epoch; NaN for None."""
    texts = [moment or "NaT" for moment in moments]
    if all(text.endswith((_UTC, "NaT")) for text in texts):
        parsed = np.array([text.removesuffix(_UTC) for text in texts], dtype="datetime64[ms]")
        return np.where(np.isnat(parsed), np.nan, parsed.astype(np.int64) / 1000)
    return np.array([epoch_s(moment) if moment else np.nan for moment in moments])
