"""`files`: print one file of every case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, selection_options, sweep_argument
from hpcsweep.quantities import counted

if TYPE_CHECKING:
    from hpcsweep.tables.selection import Selection


@click.command(
    "files",
    epilog=examples(
        "hpcsweep files demo artifacts/metrics.json",
        "hpcsweep files demo stderr.txt --status failed",
        "hpcsweep files demo log.txt --paths",
    ),
)
@sweep_argument
@click.argument("name", metavar="FILE")
@click.option("--paths", is_flag=True, help="Print their paths instead of their content.")
@selection_options
@common
def command(sweep: str, name: str, paths: bool, selection: Selection, **shared: Any) -> None:
    """Print one file of every case, in index order.

    FILE is a path in the run directory, such as artifacts/metrics.json.
    """
    from hpcsweep.cli import streams
    from hpcsweep.cli.notices import notify, report_lost_files
    from hpcsweep.cli.selecting import selected_of
    from hpcsweep.runs.files import case_files
    from hpcsweep.runs.find import DamageReport

    directory, report = load_context(**shared).sweep(sweep), DamageReport()
    chosen = selected_of(selection, directory)
    count = 0
    for _, files in case_files(directory, name, report, chosen):
        count += 1
        if paths:
            click.echo(files.path(name) or f"{files.label}/{name}", file=streams.document())
        else:
            data = files.read(name) or b""
            # Start each document on a new line, as jq expects.
            streams.write_bytes(data if data.endswith(b"\n") else data + b"\n")
    if report.without:
        of_them = report.without + count + report.lost.total()
        of_cases = counted(of_them, "case that was", "cases that were")
        has = "has" if report.without == 1 else "have"
        notify(f"{report.without} of {of_cases} begun {has} no file {name}")
    report_lost_files(report)
