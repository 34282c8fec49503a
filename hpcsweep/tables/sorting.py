"""The order of rows: `--sort COLUMN[,COLUMN…]`.

The values of these columns decide alone; the other columns are read later, in the order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import chain, islice
from math import isnan
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet
from hpcsweep.tables.batches import ROWS_AT_ONCE, TableBatch
from hpcsweep.tables.columns import TableColumns, TableRow, check_columns

# Reads the rows of these indices, or of all, in index order.
BatchesOf = Callable[[Sequence[str], IndexSet | None], Iterator[TableBatch]]
RowsOf = Callable[[IndexSet | None], Iterator[TableRow]]


@dataclass(frozen=True, kw_only=True, slots=True)
class RowOrder:
    """Which rows of a table come first; by default in index order, or as they are made."""

    # By the first column, and where it is equal by the next.
    columns: tuple[str, ...] = ()
    # Largest values first. Missing values are last in any case.
    descending: bool = False
    # Largest count of rows; None for all.
    limit: int | None = None

    def __post_init__(self) -> None:
        """*Raises* InputError for options that say nothing."""
        if self.descending and not self.columns:
            raise InputError(
                "no column is named whose largest values come first",
                where="--desc",
                next_step="Name one by --sort.",
            )
        if self.limit is not None and self.limit < 1:
            raise InputError(f"{self.limit} is no count of rows", where="--limit")

    def check(self, columns: TableColumns) -> None:
        """*Raises* InputError for a column that has no order, or is none."""
        check_columns(self.columns, columns.kinds, "--sort")
        for name in self.columns:
            if columns.kinds[name] == "json":
                raise InputError(
                    f"{name} has no order: its values are of several kinds, or lists, or all null",
                    where="--sort",
                    next_step="Sort by a column whose values are all numbers, or all texts.",
                )

    def positions(self, values: Mapping[str, Sequence[Any]]) -> list[int]:
        """The positions of the rows with these values by column, in order, up to the limit.

        NaN comes after all numbers, a missing value last; equal rows keep their order.
        """
        order = list(range(len(values[self.columns[0]])))
        for name in reversed(self.columns):
            present: list[int] = []
            nan: list[int] = []
            missing: list[int] = []
            of = values[name]
            for at in order:
                value = of[at]
                if value is None:
                    missing.append(at)
                elif isinstance(value, float) and isnan(value):
                    nan.append(at)
                else:
                    present.append(at)
            present.sort(key=of.__getitem__, reverse=self.descending)
            order = present + nan + missing
        return order[: self.limit]


def sorted_indices(batches_of: BatchesOf, within: IndexSet | None, order: RowOrder) -> list[int]:
    """The indices of rows in order."""
    keys: dict[str, list[Any]] = {name: [] for name in ("index", *order.columns)}
    for batch in batches_of(list(keys), within):
        for name, values in keys.items():
            values.extend(batch.values[name])
    return [keys["index"][at] for at in order.positions(keys)]


def batches_in_order(
    batches_of: BatchesOf, indices: Sequence[int], names: Sequence[str]
) -> Iterator[TableBatch]:
    """The rows of these indices, in their order, with these columns and the index."""
    wanted = list(dict.fromkeys((*names, "index")))
    for start in range(0, len(indices), ROWS_AT_ONCE):
        some = indices[start : start + ROWS_AT_ONCE]
        parts = list(batches_of(wanted, IndexSet.of(some)))
        read = chain.from_iterable(part.values["index"] for part in parts)
        place = {index: at for at, index in enumerate(read)}
        yield _rearranged(parts, wanted, [place[index] for index in some if index in place])


def _rearranged(
    parts: Sequence[TableBatch], names: Sequence[str], places: Sequence[int]
) -> TableBatch:
    """The rows at these places of the successive parts, in this order."""
    values: dict[str, Sequence[Any]] = {}
    nulls: dict[str, list[int]] = {}
    for name in names:
        column = list(chain.from_iterable(part.values[name] for part in parts))
        values[name] = [column[place] for place in places]
        first, null = 0, set[int]()
        for part in parts:
            null.update(first + at for at in part.nulls.get(name, ()))
            first += part.count
        if null:
            nulls[name] = [at for at, place in enumerate(places) if place in null]
    return TableBatch(count=len(places), values=values, nulls=nulls)


def sorted_attempts(
    rows_of: RowsOf, within: IndexSet | None, order: RowOrder
) -> Iterator[TableRow]:
    """Rows of attempts in order."""
    keys: dict[str, list[Any]] = {name: [] for name in ("index", "attempt", *order.columns)}
    for row in rows_of(within):
        for name, values in keys.items():
            values.append(row.get(name))
    attempts = [(keys["index"][at], keys["attempt"][at]) for at in order.positions(keys)]
    for start in range(0, len(attempts), ROWS_AT_ONCE):
        some = attempts[start : start + ROWS_AT_ONCE]
        rows = rows_of(IndexSet.of(index for index, _ in some))
        by_attempt = {(row["index"], row["attempt"]): row for row in rows}
        yield from (by_attempt[attempt] for attempt in some if attempt in by_attempt)


def merged_rows(parts: Iterable[Iterator[TableRow]], order: RowOrder) -> Iterator[TableRow]:
    """The rows of several tables that are in this order, in the order of tables where equal."""

    last_is = -1 if order.descending else 1

    def key(row: TableRow) -> list[tuple[int, Any]]:
        return [_sort_key(row.get(name), last_is) for name in order.columns]

    return islice(merge(*parts, key=key, reverse=order.descending), order.limit)


def _sort_key(value: Any, last_is: int) -> tuple[int, Any]:
    """What orders values as `positions` does; `last_is` is 1 if the largest key comes last."""
    if value is None:
        return 2 * last_is, 0
    if isinstance(value, float) and isnan(value):
        return last_is, 0
    return 0, value


def sorted_rows(
    columns: TableColumns, rows: Iterator[TableRow], order: RowOrder
) -> Iterator[TableRow]:
    """Few rows in order, all at once in memory. *Raises* InputError."""
    if not order.columns:
        return rows if order.limit is None else islice(rows, order.limit)
    order.check(columns)
    read = list(rows)
    keys = {name: [row.get(name) for row in read] for name in order.columns}
    return iter([read[at] for at in order.positions(keys)])
