"""`ingest`: bring the sweep index up to date with the journals."""

from __future__ import annotations

from typing import Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, sweep_argument
from hpcsweep.quantities import counted


@click.command(
    "ingest",
    epilog=examples(
        "hpcsweep ingest demo",
        "hpcsweep ingest demo --rebuild",
    ),
)
@sweep_argument
@click.option("--rebuild", is_flag=True, help="Forget the index and read all journals again.")
@common
def command(sweep: str, rebuild: bool, **shared: Any) -> None:
    """Bring the index up to date with the journals."""
    from hpcsweep.cli import notices
    from hpcsweep.errors import SweepError
    from hpcsweep.store.ingest import fresh_index

    directory = load_context(**shared).sweep(sweep).writable()
    if not directory.is_writable:
        raise SweepError(
            "you may not write here, so its index cannot be updated",
            where=str(directory.path),
            next_step="Nothing is needed: commands that only read make an index of their own.",
        )
    with fresh_index(directory, rebuild=rebuild) as sweep_index:
        total, torn = sum(sweep_index.counts().values()), sweep_index.torn()
    notices.fill_cache_table(directory)
    count = sum(torn.values())
    cases, lines = counted(total, "case"), counted(count, "journal line")
    click.echo(f"{directory.name}: {cases} in the index, {lines} passed over")
    notices.report_passed_over(directory, torn)
