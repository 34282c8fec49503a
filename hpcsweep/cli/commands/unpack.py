"""`unpack`: make the run directories of packed runs."""

from __future__ import annotations

from typing import Any

import click

from hpcsweep.cli.context import context
from hpcsweep.cli.options import common, sweep_argument


@click.command("unpack")
@sweep_argument
@click.option("--case", "case", metavar="CASE", help="Only this one: its index or its case id.")
@common
def command(sweep: str, case: str | None, **shared: Any) -> None:
    """Make run directories of packed runs.

    The packs stay, and every command reads them as they are; this is for other programs.
    """
    from hpcsweep.cli import streams
    from hpcsweep.cli.notices import report_lost_files
    from hpcsweep.runs.find import DamageReport
    from hpcsweep.runs.unpack import unpack

    report = DamageReport()
    for path in unpack(context(**shared).sweep(sweep), report, case):
        click.echo(path, file=streams.document())
    report_lost_files(report)
