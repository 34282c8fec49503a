"""`copy`: copy a sweep to another directory or host."""

from __future__ import annotations

from typing import Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, sweep_argument


@click.command(
    "copy",
    epilog=examples(
        "hpcsweep copy demo /archive/me",
        "hpcsweep copy demo login.example.org:sweeps",
    ),
)
@sweep_argument
@click.argument("directory", metavar="[HOST:]DIR")
@common
def command(sweep: str, directory: str, **shared: Any) -> None:
    """Copy a sweep into another directory, here or on another host.

    The copy is a sweep of its own. To another host it goes by rsync over ssh, and the same command
    goes on where it was interrupted.
    """
    from hpcsweep.cli.notices import notify
    from hpcsweep.project.copying import copy

    context = load_context(**shared)
    where = copy(context.sweep(sweep), directory, context.settings, notify)
    click.echo(f"copied to {where}")
