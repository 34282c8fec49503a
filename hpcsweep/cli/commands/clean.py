"""`clean`: remove what a sweep no longer needs."""

from __future__ import annotations

from typing import Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, sweep_argument


@click.command(
    "clean",
    epilog=examples(
        "hpcsweep clean demo --dry-run",
        "hpcsweep clean demo",
    ),
)
@sweep_argument
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@common
def command(sweep: str, dry_run: bool, **shared: Any) -> None:
    """Remove what a sweep no longer needs; results and the files of every case stay.

    That is earlier attempts, checkpoints of complete cases, and the runs of `hpcsweep run`. Cases
    that run, or are in an array task, keep all they have.
    """
    from hpcsweep.cli.notices import notify
    from hpcsweep.cli.render.console import print_facts
    from hpcsweep.project.cleaning import clean
    from hpcsweep.quantities import size_text

    context = load_context(**shared)
    found = clean(context.sweep(sweep), context.settings, notify, dry_run=dry_run)
    rows = [(str(len(one.paths)), size_text(one.size_bytes), one.what) for one in found]
    if not rows:
        click.echo("nothing to remove")
        return
    print_facts(rows)
    freed = size_text(sum(one.size_bytes for one in found))
    click.echo(f"{freed} would be freed" if dry_run else f"{freed} freed")
