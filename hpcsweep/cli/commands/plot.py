"""`plot`: plot one column over another."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli import completion
from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, file_option, selection_options, sweep_argument, words

if TYPE_CHECKING:
    from hpcsweep.tables.selection import Selection


def _column_option(name: str, meaning: str) -> Callable[..., Any]:
    return click.option(name, metavar="COLUMN", help=meaning, shell_complete=completion.columns)


@click.command(
    "plot",
    epilog=examples(
        "hpcsweep plot demo --x omega --y energy --by dt",
        "hpcsweep plot demo --kind hist --x energy --output energy.pdf",
    ),
)
@sweep_argument
@_column_option("--x", "What is drawn to the right; not for parallel.")
@_column_option("--y", "What is drawn upwards, a number; ecdf and hist count x instead.")
@_column_option("--by", "A line for each of its values.")
@click.option(
    "--kind",
    type=click.Choice(["line", "scatter", "heat", "box", "ecdf", "hist", "parallel"]),
    default="line",
    show_default=True,
    help="The kind of figure: heat has a cell for each x and --by, in the colour of y.",
)
@click.option("--log", "logs_of", metavar="AXIS[,…]", help="Logarithmic axes: x, y, by or none.")
@click.option(
    "--band",
    type=click.Choice(["none", "sd", "sem", "iqr"]),
    help="Around a mean; by default sd of cases that differ only in replicate, else none.",
)
@selection_options
@click.option("-o", "--output", type=file_option, help="The file; - is standard output, as png.")
@common
def command(
    sweep: str,
    x: str | None,
    y: str | None,
    by: str | None,
    kind: str,
    logs_of: str | None,
    band: str | None,
    output: Path | None,
    selection: Selection,
    **shared: Any,
) -> None:
    """Draw one column over another, of the complete cases.

    The file is Y-over-X.png in the sweep's directory (of another kind Y-over-X-KIND.png) unless
    --output names one: png, pdf or svg.
    Lines and heat show the mean of several cases at one point; lines of replicates have a band of
    one standard deviation. What is not drawn, and what a mean puts together, is said here and below
    the figure.
    The file's metadata has the manifest's fingerprint and the command line.
    """
    from hpcsweep.cli.notices import notify
    from hpcsweep.cli.output_options import destination, is_standard_output
    from hpcsweep.redact import redact
    from hpcsweep.tables.collect import opened
    from hpcsweep.tables.points import NEEDED, Axes
    from hpcsweep.tables.request import TableRequest
    from hpcsweep.tables.sweep_figure import draw_sweep

    for which in NEEDED[kind]:
        if not {"x": x, "y": y, "by": by}[which]:
            raise click.UsageError(f"--kind {kind} needs --{which} COLUMN")
    context = load_context(**shared)
    directory = context.sweep(sweep)
    chosen = set(words(logs_of))
    if not (chosen <= {"x", "y", "by"} or chosen == {"none"}):
        raise click.UsageError("--log takes x, y, by with commas between them, or none")
    if "by" in chosen and by is None:
        raise click.UsageError("--log by needs --by COLUMN")
    log = words(logs_of) if chosen else None
    axes = Axes(kind=kind, x=x or "", y=y, by=by, log=log, band=band)
    request = TableRequest(selection=selection, notify=notify)
    about = redact(shlex.join(["hpcsweep", *sys.argv[1:]]))
    with (
        destination(output, ".png", is_text=False) as file,
        opened(directory, context.cluster_of(directory), context.settings) as open_sweep,
    ):
        figure = draw_sweep(open_sweep, axes, request, path=file, about=about)
    for line in figure.lines:
        notify(line)
    if not is_standard_output(output):  # /dev/stdout is, too
        notify(f"written: {figure.path}")
