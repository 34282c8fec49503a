"""Pivot a table: one parameter down, another across, and a value in each cell."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import is_
from typing import Any, Self

from hpcsweep.errors import InputError
from hpcsweep.quantities import counted
from hpcsweep.tables.batches import TableBatch, batches_of
from hpcsweep.tables.columns import TableColumns, TableRow
from hpcsweep.tables.formats import cell
from hpcsweep.tables.groups import complete_rows
from hpcsweep.tables.points import left_out_text
from hpcsweep.tables.value_marks import mark_of, marks_of

# Largest count of columns: formats and screens have no room for more.
ACROSS_MAX = 10_000
# What distinguishes the values of some columns, or these values.
_Marks = tuple[Any, ...]
_FORM = "Write ROWS,COLUMNS:CELL, e.g. --pivot omega,dt:energy."


@dataclass(frozen=True, kw_only=True, slots=True)
class Pivot:
    """What stands where: `omega,dt:energy` has a row per omega and a column per dt."""

    down: tuple[str, ...]
    across: str
    cell: str
    # Over what the values are means already.
    mean_over: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it takes."""
        return (*self.down, self.across, self.cell)

    @classmethod
    def parse(cls, text: str) -> Self:
        """*Raises* InputError for another form than `ROWS,COLUMNS:CELL`."""
        sides, colon, value = text.rpartition(":")
        *down, across = (name.strip() for name in sides.split(","))
        if not (colon and value.strip() and across and down and all(down)):
            raise InputError(f"{text!r} names no pivot", where="--pivot", next_step=_FORM)
        return cls(down=tuple(down), across=across, cell=value.strip())


@dataclass(frozen=True, kw_only=True, slots=True)
class Pivoted:
    """A pivot as a table."""

    columns: TableColumns
    rows: Iterator[TableRow]
    # What is empty or left out, for people.
    notes: list[str]


@dataclass(kw_only=True, slots=True)
class _Cells:
    """The cells so far: of a million of them each object counts."""

    # By the marks of a row, and of a column: their values.
    down: dict[_Marks, _Marks] = field(default_factory=dict)
    across: dict[Any, Any] = field(default_factory=dict)
    # By the marks of a row, then of a column: the value.
    cells: dict[_Marks, dict[Any, Any]] = field(default_factory=dict)
    # The marks of the other params of the first case, and of the cases where they differ from it.
    common: _Marks | None = None
    others: dict[tuple[_Marks, Any], _Marks] = field(default_factory=dict)
    # Cells with several cases, and the params in which these differ.
    doubled: set[tuple[_Marks, Any]] = field(default_factory=set)
    differing: set[str] = field(default_factory=set)

    @property
    def count(self) -> int:
        """Count of cells with a value."""
        return sum(map(len, self.cells.values()))

    def add(self, batch: TableBatch, pivot: Pivot, rows: Iterable[int], others: list[str]) -> None:
        """Put the value of each of these rows into its cell."""
        marks = {name: marks_of(batch, name) for name in (*pivot.down, pivot.across, *others)}
        values = batch.values
        for at in rows:
            row = tuple(marks[name][at] for name in pivot.down)
            column = marks[pivot.across][at]
            value, other = values[pivot.cell][at], tuple(marks[name][at] for name in others)
            if self.common is None:
                self.common = other
            if row not in self.down:
                own = tuple(values[name][at] for name in pivot.down)
                self.down[row] = row if all(map(is_, row, own)) else own
                self.cells[row] = {}
            self.across.setdefault(column, values[pivot.across][at])
            if column not in self.cells[row]:
                self.cells[row][column] = value
                if other != self.common:
                    self.others[row, column] = other
                continue
            first = self.others.get((row, column), self.common)
            # Of equal cases with NaN, the one is not the other.
            if first != other or mark_of(self.cells[row][column]) != mark_of(value):
                self.doubled.add((row, column))
                pairs = zip(others, first, other, strict=True)
                self.differing |= {name for name, one, two in pairs if one != two}


def pivoted(
    columns: TableColumns, rows: Iterable[TableRow], pivot: Pivot, others: Sequence[str]
) -> Pivoted:
    """The pivot of a table, rows and columns in order of their values.

    Of a table with the column `status` it takes the complete cases. `others` are the columns by
    which two cases in one cell may differ. *Raises* InputError if any cell has several values.
    """
    apart = [name for name in others if name not in pivot.names]
    has_status = "status" in columns.kinds
    needed = (*pivot.names, *apart, *(["status"] if has_status else []))
    left_out: Counter[str] = Counter()
    cells = _Cells()
    for batch in batches_of(replace(columns, names=list(dict.fromkeys(needed))), rows):
        complete = complete_rows(batch, left_out) if has_status else range(batch.count)
        cells.add(batch, pivot, _whole(batch, pivot, complete, left_out), apart)
    _refuse_doubled(cells, pivot)
    if len(cells.across) > ACROSS_MAX:
        raise InputError(
            f"{pivot.across} has {len(cells.across)} values, and a table at most {ACROSS_MAX} "
            "columns",
            where="--pivot",
            next_step="Let it stand for the rows, or select some cases with --where.",
        )
    table, made = _table(columns, cells, pivot)
    notes = []
    places = len(cells.down) * len(cells.across)
    holes = places - cells.count
    if holes:
        of_cells = f"of {counted(places, 'cell')} of the table"
        notes.append(counted(holes, f"{of_cells} is empty", f"{of_cells} are empty"))
    if left_out:
        notes.append(f"not in the table: {left_out_text(left_out)}")
    return Pivoted(columns=table, rows=made, notes=notes)


def _whole(
    batch: TableBatch, pivot: Pivot, rows: Iterable[int], left_out: Counter[str]
) -> Iterable[int]:
    """The rows that have all values of a pivot; the others are counted."""
    for at in rows:
        missing = next((name for name in pivot.names if batch.values[name][at] is None), None)
        if missing is None:
            yield at
        else:
            left_out[f"without {missing}"] += 1


def _refuse_doubled(cells: _Cells, pivot: Pivot) -> None:
    if not cells.doubled:
        return
    names = sorted(cells.differing)
    what = f"{counted(len(cells.doubled), 'cell has', 'cells have')} several values of {pivot.cell}"
    over = ",".join([*pivot.mean_over, *names])
    raise InputError(
        what + (f": the cases differ in {', '.join(names)}" if names else ""),
        where="--pivot",
        next_step=f"--mean-over {over} puts their mean there; --where or --cases selects one.",
    )


def _table(
    columns: TableColumns, cells: _Cells, pivot: Pivot
) -> tuple[TableColumns, Iterator[TableRow]]:
    across = _headings(cells, pivot)
    kinds = {name: columns.kinds[name] for name in pivot.down}
    kinds |= dict.fromkeys(across.values(), columns.kinds[pivot.cell])
    table = TableColumns(
        params={(name,): name for name in pivot.down},
        metrics={(name,): name for name in across.values()},
        kinds=kinds,
        names=list(kinds),
    )
    return table, _rows(cells, pivot, across)


def _rows(cells: _Cells, pivot: Pivot, across: Mapping[Any, str]) -> Iterator[TableRow]:
    """The rows in order; one at a time, since they take more memory than the cells."""
    for key in sorted(cells.down, key=lambda key: tuple(map(_order, cells.down[key]))):
        row, own = dict(zip(pivot.down, cells.down[key], strict=True)), cells.cells[key]
        yield row | {name: own[mark] for mark, name in across.items() if mark in own}


def _headings(cells: _Cells, pivot: Pivot) -> dict[Any, str]:
    """The name of each column by its mark; texts are in quotes if a number looks the same."""
    in_order = sorted(cells.across, key=lambda mark: _order(cells.across[mark]))
    values = {mark: cells.across[mark] for mark in in_order}
    texts = {mark: cell(value) for mark, value in values.items()}
    if len(set(texts.values())) < len(texts):
        texts = {mark: json.dumps(value, ensure_ascii=False) for mark, value in values.items()}
    return {mark: f"{pivot.across}={text}" for mark, text in texts.items()}


def _order(value: Any) -> tuple[bool, Any]:
    """Numbers by size, then texts by name."""
    is_number = isinstance(value, int | float)
    return (not is_number, value if is_number else cell(value))
