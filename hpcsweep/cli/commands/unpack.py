"""`unpack`: make the run directories of packed runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, selection_options, sweep_argument

if TYPE_CHECKING:
    from hpcsweep.tables.selection import Selection


@click.command(
    "unpack",
    epilog=examples(
        "hpcsweep unpack demo",
        "hpcsweep unpack demo --cases 3,7",
    ),
)
@sweep_argument
@selection_options
@click.option("--case", "case", metavar="CASE", hidden=True)
@common
def command(sweep: str, case: str | None, selection: Selection, **shared: Any) -> None:
    """Make run directories of packed runs.

    The packs stay, and every command reads them as they are; this is for other programs.
    """
    from hpcsweep.cli import streams
    from hpcsweep.cli.notices import report_lost_files
    from hpcsweep.cli.selecting import selected_of
    from hpcsweep.runs.find import DamageReport
    from hpcsweep.runs.unpack import unpack

    if case is not None:
        if selection.cases is not None:
            raise click.UsageError("--case is the older name of --cases: give one of them")
        selection = replace(selection, cases=case)
    directory, report = load_context(**shared).sweep(sweep), DamageReport()
    for path in unpack(directory, report, selected_of(selection, directory)):
        click.echo(path, file=streams.document())
    report_lost_files(report)
