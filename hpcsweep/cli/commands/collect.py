"""`collect`: print the table of results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.options import common, file_option, selection_options, sweeps_argument, words
from hpcsweep.cli.shape_options import shape_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsweep.cli.render.rows import View
    from hpcsweep.tables.columns import TableColumns, TableRow
    from hpcsweep.tables.selection import Selection
    from hpcsweep.tables.shape import Shape


@click.command("collect")
@sweeps_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "jsonl", "parquet"]),
    help="Default: a table on the screen, or what the suffix of --output says.",
)
@selection_options
@click.option("--columns", metavar="NAME[,…]", help="These columns, in this order.")
@click.option(
    "--sort", metavar="COLUMN[,…]", help="In the order of these columns, smallest values first."
)
@click.option("--desc", is_flag=True, help="With --sort: largest values first.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The first N rows alone.")
@click.option(
    "--attempts", is_flag=True, help="A row for each attempt: what it asked for and used."
)
@shape_options
@click.option("--wide", is_flag=True, help="On the screen: all columns, in lines of any length.")
@click.option("--vertical", is_flag=True, help="On the screen: a block of lines for each row.")
@click.option("--output", type=file_option, help="Write to a file.")
@common
def command(
    sweeps: tuple[str, ...],
    form: str | None,
    output: Path | None,
    columns: str | None,
    sort: str | None,
    desc: bool,
    limit: int | None,
    attempts: bool,
    wide: bool,
    vertical: bool,
    selection: Selection,
    shape: Shape,
    **shared: Any,
) -> None:
    """Print one row per case, in index order unless --sort names another.

    First brings the index up to date, and asks the cluster about silent tasks. The table of several
    sweeps has a column for the sweep.
    """
    from hpcsweep.cli import notices
    from hpcsweep.cli.render.rows import MARK
    from hpcsweep.cli.render.summary import other_code
    from hpcsweep.tables.collect import collect
    from hpcsweep.tables.request import TableRequest
    from hpcsweep.tables.several import collect_several
    from hpcsweep.tables.sorting import RowOrder

    context = load_context(**shared)
    directories = list(map(context.sweep, sweeps))
    chosen = form or _form_of(output)
    if output is not None and chosen == "table":
        raise click.UsageError("--format table is for the screen; a file is csv, jsonl or parquet")
    if output is None and chosen == "parquet":
        raise click.UsageError("--format parquet needs --output")
    view = _view(chosen, wide=wide, vertical=vertical)

    def take(columns: TableColumns, rows: Iterator[TableRow]) -> None:
        _write(chosen, output, columns, rows, view)

    request = TableRequest(
        selection=selection,
        columns=words(columns),
        attempts=attempts,
        shape=shape,
        order=RowOrder(columns=words(sort), descending=desc, limit=limit),
        notify=notices.notify,
    )
    with_clusters = [(directory, context.cluster_of(directory)) for directory in directories]
    if len(with_clusters) == 1:
        done = [collect(*with_clusters[0], context.settings, take, request)]
    else:
        done = collect_several(with_clusters, context.settings, take, request)
    for directory, facts in zip(directories, done, strict=True):
        if facts.code.stale:
            line = other_code(facts.code, directory.name, MARK if chosen == "table" else "")
            click.echo(line, err=chosen != "table")
        notices.fill_cache_table(directory)
        notices.report_passed_over(directory, facts.torn)
    if output is not None:
        notices.notify(f"written: {output}")


def _view(form: str, *, wide: bool, vertical: bool) -> View:
    """How rows are shown on the screen."""
    from hpcsweep.cli.render.rows import View

    if wide and vertical:
        raise click.UsageError("--wide and --vertical exclude each other")
    if (wide or vertical) and form != "table":
        raise click.UsageError("--wide and --vertical are for the screen")
    return View.WIDE if wide else View.VERTICAL if vertical else View.FITTED


def _write(
    form: str, output: Path | None, columns: TableColumns, rows: Iterator[TableRow], view: View
) -> None:
    from hpcsweep.cli import streams
    from hpcsweep.cli.render.rows import print_table
    from hpcsweep.tables import formats

    match form:
        case "parquet" if output is not None:
            formats.write_parquet(columns, rows, output)
        case "jsonl":
            formats.write(formats.jsonl_lines(columns, rows), output, streams.document())
        case "csv":
            formats.write(formats.csv_lines(columns, rows), output, streams.document())
        case _:
            print_table(columns, rows, view)


def _form_of(output: Path | None) -> str:
    """The format without --format."""
    if output is None:
        return "table"
    suffix = output.suffix.lower().lstrip(".") or "csv"
    if suffix not in ("csv", "jsonl", "parquet"):
        raise click.UsageError(
            f"no format is known for {output.name}: name it .csv, .jsonl or "
            ".parquet, or give --format"
        )
    return suffix
