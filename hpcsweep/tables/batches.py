"""Tables as a stream of batches, column by column: so a row costs a third of what a dict costs.

A batch becomes rows (dicts) where someone asks for rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self

from hpcsweep.store.column_kinds import values_at
from hpcsweep.tables.columns import TableColumns, TableRow

ROWS_AT_ONCE = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class TableBatch:
    """Successive rows of a table, column by column."""

    # Count of rows.
    count: int
    # By column: one value per row, None where the row has none; or an Arrow array, if that is
    # what the batch was made for.
    values: dict[str, Sequence[Any]]
    # The rows whose value is null, not missing, by column: a param or metric may be null.
    nulls: dict[str, list[int]] = field(default_factory=dict)

    def rows(self) -> list[TableRow]:
        """The same as rows; a value that a row does not have is not in it."""
        names = list(self.values)
        lines: Iterable[Sequence[Any]] = zip(*map(as_list, self.values.values()), strict=True)
        rows = [
            {name: value for name, value in zip(names, line, strict=True) if value is not None}
            for line in lines
        ]
        for name, places in self.nulls.items():
            for place in places:
                rows[place][name] = None
        return rows


def as_list(values: Any) -> Sequence[Any]:
    """Values of Python; those of an Arrow array are copied."""
    if isinstance(values, list | tuple):
        return values
    length = len(values)
    return [None] * length if values.null_count == length else values.to_pylist()


class TableRows(Iterator[TableRow]):
    """The rows of a table, read once: as dicts with all columns, or in batches of some columns."""

    def __init__(
        self,
        make: Callable[[Sequence[str]], Iterator[TableBatch]],
        all_names: list[str],
        count: int,
        make_arrow: Callable[[Sequence[str]], Iterator[TableBatch]] | None = None,
    ) -> None:
        """`make` returns the batches with these columns, `make_arrow` those with Arrow arrays."""
        # Count of rows, those that were read included.
        self.count = count
        self._make = make
        self._make_arrow = make_arrow or make
        self._all_names = all_names
        self._rows: Iterator[TableRow] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> TableRow:
        if self._rows is None:
            batches = self._make(self._all_names)
            self._rows = (row for batch in batches for row in batch.rows())
        return next(self._rows)

    def batches(self, names: Sequence[str], *, as_arrow: bool = False) -> Iterator[TableBatch]:
        """The rows in batches with these columns, instead of one by one.

        `as_arrow` allows values that are Arrow arrays.
        """
        return self._make_arrow(names) if as_arrow else self._make(names)


def rows_of(batch: TableBatch, names: Sequence[str]) -> TableRows:
    """The rows of one batch with these columns."""

    def make(some: Sequence[str]) -> Iterator[TableBatch]:
        values = {name: batch.values[name] for name in some}
        nulls = {name: nulls for name, nulls in batch.nulls.items() if name in values}
        yield TableBatch(count=batch.count, values=values, nulls=nulls)

    return TableRows(make, list(names), batch.count)


def batches_of(
    columns: TableColumns, rows: Iterable[TableRow], *, as_arrow: bool = False
) -> Iterator[TableBatch]:
    """The rows in batches with the selected columns; `as_arrow` as `TableRows.batches`."""
    if isinstance(rows, TableRows):
        return rows.batches(columns.names, as_arrow=as_arrow)
    return batched_rows(columns.names, rows)


def batched_rows(names: Sequence[str], rows: Iterable[TableRow]) -> Iterator[TableBatch]:
    """Rows in batches with these columns."""
    stream = iter(rows)
    while some := list(islice(stream, ROWS_AT_ONCE)):
        members = {name: values_at(some, (name,), is_nested=False) for name in names}
        yield TableBatch(
            count=len(some),
            values={name: values for name, (values, _) in members.items()},
            nulls={name: nulls for name, (_, nulls) in members.items() if nulls},
        )
