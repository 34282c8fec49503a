"""`collect`: print the table of results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.options import common, file_option, selection_options, sweep_argument, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpcsweep.tables.columns import TableColumns, TableRow
    from hpcsweep.tables.selection import Selection


@click.command("collect")
@sweep_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "jsonl", "parquet"]),
    help="Default: a table on the screen, or what the suffix of --output says.",
)
@selection_options
@click.option("--columns", metavar="NAME[,…]", help="These columns, in this order.")
@click.option(
    "--attempts", is_flag=True, help="A row for each attempt: what it asked for and used."
)
@click.option("--output", type=file_option, help="Write to a file.")
@common
def command(
    sweep: str,
    form: str | None,
    output: Path | None,
    columns: str | None,
    attempts: bool,
    selection: Selection,
    **shared: Any,
) -> None:
    """Print one row per case, in index order.

    First brings the index up to date, and asks the cluster about silent tasks.
    """
    from hpcsweep.cli import notices
    from hpcsweep.cli.render.summary import other_code
    from hpcsweep.tables.collect import TableRequest, collect

    context = load_context(**shared)
    directory = context.sweep(sweep)
    chosen = form or _form_of(output)
    if output is not None and chosen == "table":
        raise click.UsageError("--format table is for the screen; a file is csv, jsonl or parquet")
    if output is None and chosen == "parquet":
        raise click.UsageError("--format parquet needs --output")

    def take(columns: TableColumns, rows: Iterator[TableRow]) -> None:
        _write(chosen, output, columns, rows)

    request = TableRequest(
        selection=selection, columns=words(columns), attempts=attempts, notify=notices.notify
    )
    done = collect(directory, context.cluster_of(directory), context.settings, take, request)
    if done.other_code:
        click.echo(other_code(directory.name, done.other_code), err=chosen != "table")
    notices.fill_cache_table(directory)
    notices.report_passed_over(directory, done.torn)
    if output is not None:
        notices.notify(f"written: {output}")


def _write(form: str, output: Path | None, columns: TableColumns, rows: Iterator[TableRow]) -> None:
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
            print_table(columns, rows)


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
