"""Print rows of results as a table, or as one block for each row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, zip_longest
from typing import Literal

from hpcsweep.cli.render import console, layout
from hpcsweep.cli.render.console import print_facts, print_line, print_texts
from hpcsweep.quantities import counted
from hpcsweep.tables.batches import TableRows, batches_of
from hpcsweep.tables.column_names import FIRST, LAST
from hpcsweep.tables.columns import TableColumns, TableRow
from hpcsweep.tables.formats import cell
from hpcsweep.tables.shape import STATS

# Largest count of rows; --format csv has them all.
TABLE_ROWS = 100
# Columns that are left out unless they are named,
HIDDEN = frozenset(
    {
        "seed",
        "started",
        "ended",
        "cpu_seconds",
        "max_rss_bytes",
        "host",
        "job_id",
        "run_dir",
        "code_digest",
        "error",
        "case_id",
    }
)
# columns that are left out if they are empty in all rows,
OFTEN_EMPTY = ("replicate", "reason")
# columns that are chosen before all others,
CHOSEN_FIRST = ("sweep", "index", "status", "reason")
# and columns about the case, not of its params and metrics, that are wrapped.
WRAPPED = frozenset({"error", "run_dir"})
# Follows the status of a case that was computed with other code, or from other inputs.
MARK = "*"
# What rows on a screen look like: the columns that fit, all of them in lines of any length, or a
# block for each row.
View = Literal["fitted", "wide", "vertical"]


def print_table(columns: TableColumns, rows: Iterator[TableRow], view: View = "fitted") -> None:
    """Print rows: the columns named, or the default ones."""
    needed = dict.fromkeys([*columns.names, *columns.on_demand])
    batches = batches_of(replace(columns, names=list(needed)), rows)
    stream = chain.from_iterable(batch.rows() for batch in batches)
    taken = list(islice(stream, TABLE_ROWS + 1))
    shown = taken[:TABLE_ROWS]
    match view:
        case "vertical":
            _print_blocks(columns, shown)
        case "wide":
            made = [_column(columns, name, shown) for name in columns.names]
            print_texts(*layout.lines(made, console.ANY_WIDTH))
        case "fitted":
            _print_fitted(columns, shown)
    # A plain iterator has no count: read the rest.
    count = rows.count if isinstance(rows, TableRows) else len(taken) + sum(1 for _ in stream)
    more = count - TABLE_ROWS
    if more > 0:
        print_line(f"… and {counted(more, 'more row')}: --format csv has them all.")


def _print_fitted(columns: TableColumns, rows: Sequence[TableRow]) -> None:
    """Print the columns that fit, and the names of the others."""
    names = columns.names
    given = names != columns.default_names
    if not given:
        names = [name for name in names if not _is_hidden(columns, name)]
        for name in OFTEN_EMPTY:
            if name in names and not any(row.get(name) for row in rows):
                names.remove(name)
    made = {name: _column(columns, name, rows) for name in names}
    width = console.width()
    order = names if given else _by_priority(columns, names)
    fitting = layout.fitting([made[name] for name in order], width)
    print_texts(*layout.lines([column for column in made.values() if column in fitting], width))
    left_out = [column.name for column in made.values() if column not in fitting]
    if left_out:
        note = "--columns, --wide, --vertical or --format csv has them"
        print_facts([[f"not shown for width: {', '.join(left_out)}; {note}"]])


def _print_blocks(columns: TableColumns, rows: Sequence[TableRow]) -> None:
    """Print a block for each row: a line for each value that it has."""
    for number, row in enumerate(rows):
        if number:
            print_line("")
        present = [name for name in columns.names if name in row]
        print_facts([(name, cell(row[name])) for name in present])


def _column(columns: TableColumns, name: str, rows: Sequence[TableRow]) -> layout.LayoutColumn:
    values = [row.get(name) for row in rows]
    has_numbers = any(isinstance(value, int | float) for value in values)
    is_about_case = name in FIRST or name in LAST
    cells = list(map(cell, values))
    if name == "status":
        marks = (f" {MARK}" if any(map(row.get, columns.on_demand)) else "" for row in rows)
        cells = [text + mark for text, mark in zip(cells, marks, strict=True)]
    column = layout.LayoutColumn(
        name=name,
        cells=cells,
        right=columns.kinds[name] != "str",
        # A number is never broken into lines, an id or a status neither.
        may_wrap=name in WRAPPED or not (is_about_case or has_numbers),
    )
    return layout.cleaned(column)


def _is_of_cases(columns: TableColumns) -> bool:
    """Whether a row is a case, and not a group of cases or a line of a pivot."""
    return "index" in columns.kinds


def _is_hidden(columns: TableColumns, name: str) -> bool:
    """Whether a column is left out unless it is named: of groups, no key is."""
    if _is_of_cases(columns):
        return name in HIDDEN
    own = {*columns.params.values(), *columns.metrics.values()}
    return name not in own and name.rpartition("_")[0] in HIDDEN


def _rank(columns: TableColumns, name: str) -> int:
    """The priority of a column of groups: keys, metrics by statistic, and what cases used."""
    source, _, stat = name.rpartition("_")
    if name in columns.metrics.values():
        return STATS.index(stat) if stat in STATS else 0
    return len(STATS) if source in LAST else -1


def _by_priority(columns: TableColumns, shown: list[str]) -> list[str]:
    """Columns by priority: params and metrics alternate, then carried cells.

    Of groups, keys and then the first statistic of every metric before the second.
    """
    if not _is_of_cases(columns):
        return sorted(shown, key=lambda name: _rank(columns, name))
    alternating = chain(*zip_longest(columns.params.values(), columns.metrics.values()))
    carried = columns.carried.values()
    first = [name for name in (*CHOSEN_FIRST, *alternating, *carried) if name in shown]
    return first + [name for name in shown if name not in first]
