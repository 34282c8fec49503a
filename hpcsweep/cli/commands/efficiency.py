"""`efficiency`: compare what tasks asked for with what they used."""

from __future__ import annotations

from typing import Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, json_option, sweep_argument


@click.command(
    "efficiency",
    epilog=examples(
        "hpcsweep efficiency demo",
        "hpcsweep efficiency demo --json",
    ),
)
@sweep_argument
@json_option
@common
def command(sweep: str, as_json: bool, **shared: Any) -> None:
    """Compare what array tasks asked for with what their cases used.

    It prints the lines of a manifest that ask for what was needed. Slurm's accounting is not asked.
    """
    from hpcsweep.cli.render.console import print_document
    from hpcsweep.cli.render.efficiency import print_efficiency
    from hpcsweep.state.efficiency import efficiency

    context = load_context(**shared)
    used = efficiency(context.sweep(sweep))
    if as_json:
        print_document(used.to_json())
    else:
        print_efficiency(used)
