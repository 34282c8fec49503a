"""`advance`: submit the rest of a sweep, and the retries of its manifest."""

from __future__ import annotations

from typing import Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, json_option, sweep_argument


@click.command("advance", epilog=examples("hpcsweep advance demo"))
@sweep_argument
@json_option
@common
def command(sweep: str, as_json: bool, **shared: Any) -> None:
    """Continue a sweep: submit the rest, and the retries of its manifest.

    When the cases are complete, submit its reduce and the sweeps that follow it.
    Closing jobs run it on the cluster. Where they may not submit, run it by hand or by cron; any
    number of them at once send nothing twice.
    """
    from hpcsweep.cli.sending import go_on

    context = load_context(**shared)
    go_on(context, context.sweep(sweep), as_json=as_json)
