"""`compare`: show in what two sweeps differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli import completion
from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, json_option, selection_options, words

if TYPE_CHECKING:
    from hpcsweep.tables.selection import Selection


@click.command(
    "compare",
    epilog=examples(
        "hpcsweep compare demo finer",
        "hpcsweep compare demo finer --on omega,dt",
    ),
)
@click.argument("a", metavar="A", shell_complete=completion.sweeps)
@click.argument("b", metavar="B", shell_complete=completion.sweeps)
@click.option(
    "--on",
    default="params",
    show_default=True,
    metavar="params|COLUMN[,…]",
    shell_complete=completion.columns,
    help="What cases have in common that are compared: all params, or these columns.",
)
@selection_options
@json_option
@common
def command(a: str, b: str, on: str, selection: Selection, as_json: bool, **shared: Any) -> None:
    """Show in what two sweeps differ: cases, states, metrics, code and environment."""
    from hpcsweep.cli.render.comparison import print_comparison
    from hpcsweep.cli.render.console import print_document
    from hpcsweep.tables.compare import compare

    context = load_context(**shared)
    sweeps = [context.sweep(text) for text in (a, b)]
    pairs = [(sweep, context.cluster_of(sweep)) for sweep in sweeps]
    comparison = compare(pairs, context.settings, words(on), selection)
    if as_json:
        print_document(comparison.to_json())
    else:
        print_comparison(comparison)
