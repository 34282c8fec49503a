"""Print rows of results as a table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice, zip_longest

from hpcsweep.cli.render import console, layout
from hpcsweep.cli.render.console import print_line, print_texts
from hpcsweep.tables.batches import TableRows
from hpcsweep.tables.columns import TableColumns, TableRow
from hpcsweep.tables.formats import cell

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
CHOSEN_FIRST = ("index", "status", "reason")
# and columns that may be cut.
FREE_TEXT = frozenset({"error"})


def print_table(columns: TableColumns, rows: Iterator[TableRow]) -> None:
    """Print a table of rows: the columns named, or the default ones."""
    taken = list(islice(rows, TABLE_ROWS + 1))
    shown = columns.names
    given = shown != list(columns.kinds)
    if not given:
        shown = [name for name in shown if name not in HIDDEN]
        for name in OFTEN_EMPTY:
            if not any(row.get(name) for row in taken):
                shown.remove(name)
    made = {
        name: layout.cleaned(
            layout.LayoutColumn(
                name=name,
                cells=[_short(row.get(name)) for row in taken[:TABLE_ROWS]],
                right=columns.kinds[name] != "str",
                may_be_cut=name in FREE_TEXT,
            )
        )
        for name in shown
    }
    width = console.width()
    order = shown if given else _by_priority(columns, shown)
    fitting = layout.fitting([made[name] for name in order], width)
    print_texts(*layout.lines([column for column in made.values() if column in fitting], width))
    left_out = [column.name for column in made.values() if column not in fitting]
    if left_out:
        print_line(
            f"not shown for width: {', '.join(left_out)}; --columns or --format csv has them"
        )
    # A plain iterator has no count: read the rest.
    count = rows.count if isinstance(rows, TableRows) else len(taken) + sum(1 for _ in rows)
    more = count - TABLE_ROWS
    if more > 0:
        print_line(f"… and {more} more rows: --format csv has them all.")


def _by_priority(columns: TableColumns, shown: list[str]) -> list[str]:
    """Columns by priority: params and metrics alternate."""
    alternating = chain(*zip_longest(columns.params.values(), columns.metrics.values()))
    first = [name for name in (*CHOSEN_FIRST, *alternating) if name in shown]
    return first + [name for name in shown if name not in first]


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else cell(value)
