"""The begun cases of a sweep as numpy columns: 8 bytes a value at most, read in one walk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from hpcsweep.indexset import IndexSet
from hpcsweep.records import Status
from hpcsweep.state.executions import COLUMNS, STATUS_CODES, STATUSES, ExecutionReader
from hpcsweep.state.growing_array import GrowingArray
from hpcsweep.tables.begun_rows import begun_pages
from hpcsweep.tables.collect import OpenSweep

# Cases above which a page gets bins instead of each case.
CASES_MAX = 50_000
# Above it, so many params and so many metrics are read, for their memory.
PARAMS_MAX, METRICS_MAX = 10, 8
# Characters of a text that is a value; texts that differ only behind them are one level.
LEVEL_CHARACTERS = 200
USED = ("wall_seconds", "cpu_seconds", "max_rss_bytes")


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseColumn:
    """One value of every begun case."""

    name: str
    # "param", "metric" or "used".
    role: str
    # Numbers, NaN where a case has none; of texts the positions in `levels`, -1 for none.
    values: npt.NDArray[Any]
    # The different texts, in the order of their first case; None of numbers.
    levels: tuple[str, ...] | None = None
    # Count of values that are NaN or infinite.
    not_finite: int = 0

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.levels is None


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseTable:
    """The cases that were begun, in index order."""

    indices: npt.NDArray[np.int64]
    # Of each case the position in `STATUSES`.
    status: npt.NDArray[np.int8]
    columns: tuple[CaseColumn, ...]
    # Of each case its run directory, "" for none; empty above `CASES_MAX`.
    run_dirs: tuple[str, ...] = ()
    # Names of params and metrics that were left out; see `PARAMS_MAX`.
    left_out: tuple[str, ...] = ()

    @property
    def complete(self) -> npt.NDArray[np.bool_]:
        """Which cases are complete."""
        return np.equal(self.status, STATUSES.index(Status.COMPLETE))

    def of_role(self, *roles: str) -> list[CaseColumn]:
        """The columns of these roles, in order."""
        return [column for column in self.columns if column.role in roles]


def read_cases(
    open_sweep: OpenSweep, executions: ExecutionReader, within: IndexSet | None = None
) -> CaseTable:
    """Read the begun cases of a sweep, and in the same walk what `executions` needs.

    `within` are the only ones that are read.
    """
    columns, begun = open_sweep.columns, open_sweep.outlook.begun
    is_small = (begun if within is None else begun & within).count <= CASES_MAX
    params, metrics = list(columns.params.values()), list(columns.metrics.values())
    left_out = () if is_small else (*params[PARAMS_MAX:], *metrics[METRICS_MAX:])
    roles = dict.fromkeys(["replicate", *params], "param")
    roles |= dict.fromkeys(metrics, "metric") | dict.fromkeys(USED, "used")
    for name in left_out:
        del roles[name]
    read = {name: _column(name, role, columns.kinds) for name, role in roles.items()}
    indices, statuses, run_dirs = GrowingArray(np.int64), GrowingArray(np.int8), []
    names = ["status", *read, *(["run_dir"] if is_small else [])]
    for page, batch in begun_pages(open_sweep.sweep_index, columns, names, within, COLUMNS):
        executions.add(page)
        indices.add(np.array(batch.values["index"], np.int64))
        codes = [STATUS_CODES[status] for status in batch.values["status"]]
        statuses.add(np.array(codes, np.int8))
        run_dirs.append([text or "" for text in batch.values.get("run_dir", ())])
        for name, column in read.items():
            column.add(batch.values[name])
    return CaseTable(
        indices=indices.values(),
        status=statuses.values(),
        columns=tuple(column.made() for column in read.values()),
        run_dirs=tuple(chain.from_iterable(run_dirs)),
        left_out=left_out,
    )


def _column(name: str, role: str, kinds: Mapping[str, str]) -> _NumberColumn | _TextColumn:
    made = _NumberColumn if kinds[name] in ("int", "float") else _TextColumn
    return made(name=name, role=role)


@dataclass(kw_only=True)
class _NumberColumn:
    """The numbers of a column so far."""

    name: str
    role: str
    _values: GrowingArray = field(init=False)
    _not_finite: int = 0

    def __post_init__(self) -> None:
        # What cases used is shown in four digits.
        self._values = GrowingArray(np.float32 if self.role == "used" else np.float64)

    def add(self, values: Sequence[Any]) -> None:
        """Append the values of some cases."""
        try:
            part = np.array(values, np.float64)
        except (TypeError, ValueError, OverflowError):  # of another kind, or beyond floats
            part = np.array(list(map(_number, values)), np.float64)
        missing = np.array([value is None for value in values])
        self._not_finite += int((~np.isfinite(part) & ~missing).sum())
        part[~np.isfinite(part)] = np.nan
        self._values.add(part)

    def made(self) -> CaseColumn:
        """The column."""
        values = self._values.values()
        return CaseColumn(
            name=self.name, role=self.role, values=values, not_finite=self._not_finite
        )


def _number(value: Any) -> float:
    try:
        return float(value) if isinstance(value, int | float) else np.nan
    except OverflowError:
        return np.nan


@dataclass(kw_only=True)
class _TextColumn:
    """The texts of a column so far; other values as JSON."""

    name: str
    role: str
    _codes: dict[str, int] = field(default_factory=dict)
    _values: GrowingArray = field(default_factory=lambda: GrowingArray(np.int32))

    def add(self, values: Sequence[Any]) -> None:
        """Append the values of some cases."""
        codes = [-1 if value is None else self._code(value) for value in values]
        self._values.add(np.array(codes, np.int32))

    def _code(self, value: Any) -> int:
        text = value if isinstance(value, str) else json.dumps(value)
        text = text if len(text) <= LEVEL_CHARACTERS else f"{text[:LEVEL_CHARACTERS]}…"
        return self._codes.setdefault(text, len(self._codes))

    def made(self) -> CaseColumn:
        """The column."""
        values = self._values.values()
        return CaseColumn(name=self.name, role=self.role, values=values, levels=tuple(self._codes))
