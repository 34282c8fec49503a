"""Bring a table of cases into another shape: means over some cases, or a pivot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from hpcsweep.tables.columns import TableColumns, TableRow, check_columns, named
from hpcsweep.tables.groups import GroupColumns, group_columns, grouped, key_params
from hpcsweep.tables.pivot import Pivot, pivoted
from hpcsweep.tables.shape import DEFAULT, Shape

Notify = Callable[[str], None]


def reshaped(
    columns: TableColumns,
    rows: Iterable[TableRow],
    shape: Shape,
    names: Sequence[str],
    notify: Notify,
) -> tuple[TableColumns, Iterator[TableRow]]:
    """The table in another shape, with the columns `names`, or all.

    `notify` gets what is left out or put together. *Raises* InputError.
    """
    groups = _group_columns(columns, shape) if shape.has_groups else None
    table = groups.columns if groups else columns
    pivot = _pivot(shape, groups)
    if pivot is not None:
        check_columns(pivot.names, table.kinds, "--pivot")
    others = groups.keys if groups else key_params(columns, ())
    if groups:
        selected = [*others, pivot.cell] if pivot else named(table, names).names
        result = grouped(columns, rows, groups, selected)
        for note in result.notes:
            notify(note)
        rows = result.rows
    if pivot is None:
        return named(table, names), iter(rows)
    made = pivoted(table, rows, pivot, others)
    for note in made.notes:
        notify(note)
    return named(made.columns, names), made.rows


def _group_columns(columns: TableColumns, shape: Shape) -> GroupColumns:
    keys: Sequence[str] = shape.group_by
    if shape.group_by:
        check_columns(keys, columns.kinds, "--group-by")
    else:
        everything = key_params(columns, ())
        check_columns(shape.mean_over, everything, "--mean-over", "param")
        keys = key_params(columns, shape.mean_over)
    return group_columns(columns, keys, shape.stats or DEFAULT)


def _pivot(shape: Shape, groups: GroupColumns | None) -> Pivot | None:
    """The pivot of a shape; of groups, a metric alone means its first statistic."""
    pivot = Pivot.parse(shape.pivot) if shape.pivot else None
    if pivot is None or groups is None:
        return pivot
    firsts = {source: name for name, (source, _) in reversed(groups.origins.items())}
    cell = firsts.get(pivot.cell, pivot.cell)
    return replace(pivot, cell=cell, mean_over=shape.mean_over)
