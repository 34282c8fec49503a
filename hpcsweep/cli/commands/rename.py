"""`rename`: give a sweep another name."""

from __future__ import annotations

from typing import Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, sweep_argument


@click.command("rename", epilog=examples("hpcsweep rename demo first-try"))
@sweep_argument
@click.argument("name", metavar="NEW")
@common
def command(sweep: str, name: str, **shared: Any) -> None:
    """Give a sweep another name; its results, cases and seeds stay.

    Nothing of it may run or wait. Change `name:` in the manifest, too, before you submit it again.
    """
    from hpcsweep.cli.notices import notify
    from hpcsweep.project.rename import rename

    context = load_context(**shared)
    directory = context.sweep(sweep)
    renamed = rename(directory, name, context.settings, notify)
    click.echo(f"{directory.name} is {renamed.name} now, in {renamed.path}")
    notify(f"Write `name: {renamed.name}` into its manifest before you submit it again.")
