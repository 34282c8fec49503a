"""`plot`: plot one column over another."""

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


@click.command("plot")
@sweep_argument
@click.option("--x", required=True, metavar="COLUMN", help="What is drawn to the right.")
@click.option("--y", required=True, metavar="COLUMN", help="What is drawn upwards, a number.")
@click.option("--by", metavar="COLUMN", help="A line for each of its values.")
@click.option("--log", "logs_of", metavar="AXIS[,…]", help="Logarithmic axes: x, y, x,y or none.")
@selection_options
@click.option("--output", type=file_option, help="The file.")
@common
def command(
    sweep: str,
    x: str,
    y: str,
    by: str | None,
    logs_of: str | None,
    output: Path | None,
    selection: Selection,
    **shared: Any,
) -> None:
    """Draw one column over another, of the complete cases.

    The file is Y-over-X.png in the sweep's directory unless --output names one: png, pdf or svg.
    Several cases at one point are drawn as their mean; replicates with a band of one standard
    deviation. What is not drawn, and what a mean puts together, is said here and below the figure.
    """
    from hpcsweep.cli.notices import notify
    from hpcsweep.cli.render.summary import changed_inputs, other_code
    from hpcsweep.ids import slug
    from hpcsweep.tables import plot
    from hpcsweep.tables.collect import collect
    from hpcsweep.tables.points import Axes
    from hpcsweep.tables.request import TableRequest

    context = load_context(**shared)
    directory = context.sweep(sweep)
    chosen = set(words(logs_of))
    if not (chosen <= {"x", "y"} or chosen == {"none"}):
        raise click.UsageError("--log takes x, y, x,y or none")
    log = words(logs_of) if chosen else None
    axes = Axes(x=x, y=y, by=by, log=log, title=directory.name)
    place = Path() if directory.archive else directory.path
    path = output or place / f"{slug(y, 60)}-over-{slug(x, 60)}.png"
    request = TableRequest(
        selection=selection, columns=axes.columns, named_by="--x, --y, --by", notify=notify
    )

    def take(columns: TableColumns, rows: Iterator[TableRow]) -> None:
        for note in plot.draw(rows, axes, path, columns.params.values()):
            notify(note)

    done = collect(directory, context.cluster_of(directory), context.settings, take, request)
    if done.code.stale:
        notify(other_code(done.code, directory.name))
    if done.changed:
        notify(changed_inputs(done.changed))
    click.echo(f"written: {path}")
