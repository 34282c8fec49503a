"""`logs`: print the log and the output of a case."""

from __future__ import annotations

from typing import Any

import click

from hpcsweep.cli.context import context
from hpcsweep.cli.options import common, json_option, sweep_argument


@click.command("logs")
@sweep_argument
@click.argument("case", metavar="CASE")
@json_option
@common
def command(sweep: str, case: str, as_json: bool, **shared: Any) -> None:
    """Print what a case logged and printed.

    CASE is its index, or the beginning of its case id.
    """
    from hpcsweep.cli.notices import report_lost_files
    from hpcsweep.cli.render.console import print_document
    from hpcsweep.runs.logs import case_logs

    found = case_logs(context(**shared).sweep(sweep), case)
    if as_json:
        texts = [{"where": where, "text": text} for where, text in found.texts]
        excess = found.memory.to_json() if found.memory else None
        known = {"index": found.index, "case_id": found.case_id, "state": found.state}
        print_document(known | {"memory_excess": excess, "texts": texts})
    else:
        click.echo(f"case {found.case_id}, index {found.index}: {found.state}")
        if found.memory:
            click.echo(f"memory: {found.memory.text}")
        for where, text in found.texts:
            click.echo(f"==> {where}")
            click.echo(text, nl=False)
    report_lost_files(found.files)
