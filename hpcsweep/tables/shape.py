"""The shape of a table of results: a row per case, means over some cases, or a pivot of either."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from hpcsweep.errors import InputError
from hpcsweep.tables.columns import TableColumns, TableRow, check_columns, named
from hpcsweep.tables.groups import (
    GroupColumns,
    group_columns,
    grouped,
    key_params,
)
from hpcsweep.tables.pivot import Pivot, pivoted
from hpcsweep.tables.statistics import DEFAULT, STATS

Notify = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What becomes of the rows of cases; by default nothing."""

    # Params, or `replicate`, over which means are taken.
    mean_over: tuple[str, ...] = ()
    # Instead of them: the columns that remain.
    group_by: tuple[str, ...] = ()
    # Of `STATS`; by default `DEFAULT`.
    stats: tuple[str, ...] = ()
    # `ROWS,COLUMNS:CELL`.
    pivot: str | None = None

    def __post_init__(self) -> None:
        """*Raises* InputError for options that contradict each other."""
        for stat in self.stats:
            if stat not in STATS:
                raise InputError(
                    f"{stat!r} is not a statistic",
                    where="--stats",
                    next_step=f"Statistics: {', '.join(STATS)}.",
                )
        if self.mean_over and self.group_by:
            raise InputError(
                "--mean-over names what goes, --group-by what stays",
                where="--group-by",
                next_step="Give one of them.",
            )
        if self.stats and not self.has_groups:
            raise InputError(
                "statistics need groups of cases",
                where="--stats",
                next_step="Give --mean-over or --group-by, too.",
            )

    def __bool__(self) -> bool:
        return self.has_groups or self.pivot is not None

    @property
    def has_groups(self) -> bool:
        """Whether there is a row for a group of cases, not for one."""
        return bool(self.mean_over or self.group_by)


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
    return named(made.columns, names), iter(made.rows)


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
