"""`status`: what is known of a sweep."""

from __future__ import annotations

from typing import Any

import click

from hpcsweep.cli.context import context
from hpcsweep.cli.options import common, json_option, sweep_argument


@click.command("status")
@sweep_argument
@json_option
@common
def command(sweep: str, as_json: bool, **shared: Any) -> None:
    """Show what is known of a sweep's cases."""
    from hpcsweep.cli.notices import report_passed_over
    from hpcsweep.cli.render.console import print_document
    from hpcsweep.cli.render.summary import print_summary
    from hpcsweep.state.status import status

    here = context(**shared)
    directory = here.sweep(sweep)
    summary = status(directory, here.cluster_of(directory), here.settings)
    if as_json:
        print_document(summary.to_json())
    else:
        print_summary(summary)
    report_passed_over(directory, summary.torn)
