"""`status`: show the state of a sweep's cases."""

from __future__ import annotations

from typing import Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, json_option, sweep_argument


@click.command(
    "status",
    epilog=examples(
        "hpcsweep status demo",
        "hpcsweep status demo --watch",
        "hpcsweep status outputs/demo --json",
    ),
)
@sweep_argument
@json_option
@click.option(
    "--check",
    is_flag=True,
    help="Look for the files of every complete case, too, and tell changed inputs and core-hours "
    "of any count of cases.",
)
@click.option(
    "--watch",
    is_flag=True,
    help="Show it in place until nothing more will happen, and advance the sweep meanwhile.",
)
@common
def command(sweep: str, as_json: bool, check: bool, watch: bool, **shared: Any) -> None:
    """Show what is known of a sweep's cases."""
    from hpcsweep.cli.notices import report_passed_over
    from hpcsweep.cli.render.console import print_document
    from hpcsweep.cli.render.summary import print_summary
    from hpcsweep.state.status import Checks, status

    context = load_context(**shared)
    directory = context.sweep(sweep)
    if watch:
        from hpcsweep.cli.live import live_summary
        from hpcsweep.cli.sending import watch as follow
        from hpcsweep.cluster import registry

        cluster = registry.require_recorded(directory, context.settings)
        follow(context, cluster, directory, show=live_summary)
    checks = Checks.EVERYTHING if check else Checks.INPUTS
    summary = status(directory, context.cluster_of(directory), context.settings, checks=checks)
    if as_json:
        print_document(summary.to_json())
    else:
        print_summary(summary)
    report_passed_over(directory, summary.torn)
