"""Group the complete cases of a table, and compute statistics of their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from hpcsweep.ids import shown
from hpcsweep.records import Status
from hpcsweep.tables.batches import TableBatch, TableRows, batches_of, rows_of
from hpcsweep.tables.columns import TableColumns, TableRow
from hpcsweep.tables.points import left_out_text
from hpcsweep.tables.statistics import statistics_of
from hpcsweep.tables.value_marks import marks_of

# Kinds of columns whose values are numbers; of a truth value the mean is its share. Of the last
# kind they may be: integers beyond 64 bits, or other values.
NUMBERS = frozenset({"int", "float", "bool", "json"})
_MAY_BE = "json"
# What cases used, of which there are statistics beside those of metrics.
USED = ("wall_seconds", "cpu_seconds", "max_rss_bytes")


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupColumns:
    """The columns of a table with a row for each group."""

    # Columns of the table of cases; each of their combinations is a group.
    keys: tuple[str, ...]
    # Keys and statistics; all are selected.
    columns: TableColumns
    # The column of cases and the statistic that a column comes from.
    origins: dict[str, tuple[str, str]]


def group_columns(columns: TableColumns, keys: Sequence[str], stats: Sequence[str]) -> GroupColumns:
    """The columns of groups: the keys, and `energy_mean` and so on of each metric."""
    kinds = {name: columns.kinds[name] for name in keys}
    origins: dict[str, tuple[str, str]] = {}
    metrics: dict[tuple[str, ...], str] = {}
    of_metrics = list(columns.metrics.values())
    for name in (*of_metrics, *USED):
        if columns.kinds.get(name) in NUMBERS and name not in keys:
            for stat in stats:
                made = f"{name}_{stat}"
                while made in kinds:
                    made = f"metric.{made}"
                kinds[made] = "int" if stat == "n" else "float"
                origins[made] = (name, stat)
                if name in of_metrics:
                    metrics[made,] = made
    params = {path: name for path, name in columns.params.items() if name in keys}
    table = TableColumns(params=params, metrics=metrics, kinds=kinds, names=list(kinds))
    return GroupColumns(keys=tuple(keys), columns=table, origins=origins)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grouped:
    """A row for each group, in the order of the first case of each."""

    rows: TableRows
    # What is left out or put together, for people.
    notes: list[str]
    # The columns of cases that have no statistics, with a value that is no number; None if all
    # values are null.
    not_numbers: dict[str, Any]


class _Groups:
    """The groups of the rows so far."""

    def __init__(self, keys: Sequence[str], others: Sequence[str]) -> None:
        # Number of a group by the marks of its keys.
        self.numbers: dict[tuple[Any, ...], int] = {}
        # By key: its value in each group, and the numbers of groups where it is null.
        self.values: dict[str, list[Any]] = {name: [] for name in keys}
        self.nulls: dict[str, list[int]] = {name: [] for name in keys}
        # By other param: the mark of the first case of each group.
        self._firsts: dict[str, dict[int, Any]] = {name: {} for name in others}
        # Other params that differ between cases of a group.
        self.pooled: set[str] = set()

    def add(self, batch: TableBatch, rows: Sequence[int]) -> list[int]:
        """The number of the group of each of these rows."""
        marks = [_of_rows(marks_of(batch, name), rows) for name in self.values]
        nulls = {name: set(batch.nulls.get(name, ())) for name in self.values}
        numbers = []
        for at, key in zip(rows, zip(*marks, strict=True) if marks else repeat(()), strict=False):
            known = len(self.numbers)
            number = self.numbers.setdefault(key, known)
            if number == known:
                for name, values in self.values.items():
                    if at in nulls[name]:
                        self.nulls[name].append(number)
                    values.append(batch.values[name][at])
            numbers.append(number)
        for name in self._firsts.keys() - self.pooled:
            first, others = self._firsts[name], _of_rows(marks_of(batch, name), rows)
            pairs = set(zip(numbers, others, strict=True))
            if any(first.setdefault(number, other) != other for number, other in pairs):
                self.pooled.add(name)
        return numbers


def _of_rows(values: Sequence[Any], rows: Sequence[int]) -> Sequence[Any]:
    """The values of some rows, or of all."""
    return values if len(rows) == len(values) else [values[at] for at in rows]


class _Numbers:
    """The numbers of a column so far; NaN where a case has none."""

    def __init__(self, kind: str) -> None:
        self._may_be = kind == _MAY_BE
        # The first value that is no number.
        self.other: Any = None
        self._values: list[npt.NDArray[np.float64]] = [np.empty(0)]
        self._present: list[npt.NDArray[np.bool_]] = [np.empty(0, dtype=bool)]

    @property
    def has_numbers(self) -> bool:
        """Whether any value is a number."""
        return any(present.any() for present in self._present)

    @property
    def have_statistics(self) -> bool:
        """Whether the values are numbers, but for null."""
        return not self._may_be or (self.other is None and self.has_numbers)

    def add(self, values: Sequence[Any]) -> None:
        """Append the values of some rows."""
        if self._may_be:
            values = [self._number(value) for value in values]
        self._present.append(np.array([value is not None for value in values], dtype=bool))
        try:
            self._values.append(np.array(values, dtype=np.float64))
        except (TypeError, ValueError):  # of another kind, learned since the columns were
            numbers = [value if isinstance(value, float) else None for value in values]
            self._values.append(np.array(numbers, dtype=np.float64))

    def _number(self, value: Any) -> float | None:
        try:
            if isinstance(value, (int, float)):
                return float(value)
        except OverflowError:  # beyond all floats
            pass
        if self.other is None:
            self.other = value
        return None

    def statistics(
        self, group: npt.NDArray[np.int64], n_groups: int, stats: Sequence[str]
    ) -> dict[str, list[Any]]:
        """Each statistic of each group; `group` has the number of each row's group."""
        present = np.concatenate(self._present)
        return statistics_of(group[present], np.concatenate(self._values)[present], n_groups, stats)


def grouped(
    columns: TableColumns, rows: Iterable[TableRow], groups: GroupColumns, names: Sequence[str]
) -> Grouped:
    """Group the complete cases, and compute the columns `names` of `groups`."""
    origins = {name: groups.origins[name] for name in names if name in groups.origins}
    numbers = {source: _Numbers(columns.kinds[source]) for source, _ in origins.values()}
    others = key_params(columns, groups.keys)
    state = _Groups(groups.keys, others)
    left_out: Counter[str] = Counter()
    group: list[int] = []
    needed = list(dict.fromkeys(("status", *groups.keys, *numbers, *others)))
    for batch in batches_of(replace(columns, names=needed), rows):
        complete = complete_rows(batch, left_out)
        group += state.add(batch, complete)
        for source, of_source in numbers.items():
            values = batch.values[source]
            of_source.add(_of_rows(values, complete))
    made: dict[str, Sequence[Any]] = dict(state.values)
    not_numbers = {name: of.other for name, of in numbers.items() if not of.have_statistics}
    for source in numbers.keys() - not_numbers:
        of_source = numbers[source]
        stats = {name: stat for name, (of, stat) in origins.items() if of == source}
        computed = of_source.statistics(np.array(group, int), len(state.numbers), [*stats.values()])
        made |= {name: computed[stat] for name, stat in stats.items()}
    notes = []
    if state.pooled:
        notes.append(f"means over cases that differ in {', '.join(sorted(state.pooled))}")
    if left_out:
        notes.append(f"not in the means: {left_out_text(left_out)}")
    notes += [
        f"no means of {name}: {no_number(other)}"
        for name, other in not_numbers.items()
        if other is not None
    ]
    batch = TableBatch(count=len(state.numbers), values=made, nulls=state.nulls)
    selected = [name for name in names if name in made]
    return Grouped(rows=rows_of(batch, selected), notes=notes, not_numbers=not_numbers)


def no_number(value: Any) -> str:
    """What is wrong with a value without statistics."""
    # Every other int has its float.
    problem = "is beyond floats" if isinstance(value, int) else "is not a number"
    return f"{shown(value)} {problem}"


def complete_rows(batch: TableBatch, left_out: Counter[str]) -> Sequence[int]:
    """The positions of complete cases; the others are counted by status."""
    complete, statuses = Status.COMPLETE.value, batch.values["status"]
    if statuses.count(complete) == batch.count:
        return range(batch.count)
    left_out.update(status for status in statuses if status != complete)
    return [at for at, status in enumerate(statuses) if status == complete]


def key_params(columns: TableColumns, without: Iterable[str]) -> list[str]:
    """What identifies a case, but for these: its sweep among several, its replicate and params."""
    left_out = set(without)
    about = [name for name in ("sweep", "replicate") if name in columns.kinds]
    names = dict.fromkeys([*about, *columns.params.values()])
    return [name for name in names if name not in left_out]
