"""Bring a table of cases into another shape: means over some cases, or a pivot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.tables.columns import TableColumns, TableRow, check_columns, named
from hpcsweep.tables.groups import GroupColumns, group_columns, grouped, key_params, no_number
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
        wanted = [pivot.cell] if pivot else names
        table = _with_statistics(table, groups.origins, result.not_numbers, wanted)
    if pivot is None:
        return named(table, names), iter(rows)
    made = pivoted(table, rows, pivot, others)
    for note in made.notes:
        notify(note)
    return named(made.columns, names), made.rows


def _with_statistics(
    table: TableColumns,
    origins: Mapping[str, tuple[str, str]],
    not_numbers: Mapping[str, Any],
    wanted: Sequence[str],
) -> TableColumns:
    """The columns of groups without those of columns that turned out to have other values.

    *Raises* InputError if one of them is wanted.
    """
    without = {name: source for name, (source, _) in origins.items() if source in not_numbers}
    for name in wanted:
        if name in without:
            source = without[name]
            raise InputError(
                f"{source} has no means: {no_number(not_numbers[source])}",
                where=name,
                next_step="Select cases whose values are numbers: --where, --cases.",
            )
    kinds = {name: kind for name, kind in table.kinds.items() if name not in without}
    return replace(table, kinds=kinds, names=[name for name in table.names if name in kinds])


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
