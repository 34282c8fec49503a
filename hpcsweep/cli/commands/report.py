"""`report`: write a sweep as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, file_option, sweep_argument


@click.command(
    "report",
    epilog=examples(
        "hpcsweep report demo",
        "hpcsweep report demo -o demo.html",
    ),
)
@sweep_argument
@click.option("-o", "--output", type=file_option, help="The file, instead of report.html.")
@common
def command(sweep: str, output: Path | None, **shared: Any) -> None:
    """Write a sweep as one HTML file: state, figures, provenance.

    The file is report.html in the sweep's directory unless --output names one. It opens in any
    browser and loads nothing: neither a server nor a network is needed.
    """
    from hpcsweep.report.write import write_report

    context = load_context(**shared)
    directory = context.sweep(sweep)
    path = write_report(directory, context.cluster_of(directory), context.settings, output)
    click.echo(f"written: {path}")
