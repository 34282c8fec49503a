"""`list`: show the sweeps of a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, json_option


@click.command(
    "list",
    epilog=examples(
        "hpcsweep list",
        "hpcsweep list /scratch/me/outputs --no-size",
    ),
)
@click.argument("directory", metavar="[DIR]", type=click.Path(path_type=Path), required=False)
@click.option(
    "--refresh", is_flag=True, help="First bring each index up to date and ask the cluster."
)
@click.option("--no-size", is_flag=True, help="Do not measure what they take on disk.")
@json_option
@common
def command(
    directory: Path | None, refresh: bool, no_size: bool, as_json: bool, **shared: Any
) -> None:
    """Show the sweeps of a directory: cases, states, age and size.

    It says what each index holds; DIR is a directory of sweeps, or of a manifest. The default is
    outputs.
    """
    from hpcsweep.cli.render.console import print_document
    from hpcsweep.cli.render.overview import print_overviews
    from hpcsweep.state.overview import overviews

    context = load_context(**shared)
    entries = overviews(
        context.directory(directory), context.settings, refresh=refresh, measure=not no_size
    )
    if as_json:
        print_document([entry.to_json() for entry in entries])
    else:
        print_overviews(entries)
