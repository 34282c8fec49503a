"""`ingest`: bring the sweep index up to date with the journals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, sweep_argument
from hpcsweep.quantities import counted

if TYPE_CHECKING:
    from hpcsweep.sweepdir.directory import SweepDirectory


@click.command(
    "ingest",
    epilog=examples(
        "hpcsweep ingest demo",
        "hpcsweep ingest demo --rebuild",
        "hpcsweep ingest demo --salvage",
    ),
)
@sweep_argument
@click.option("--rebuild", is_flag=True, help="Forget the index and read all journals again.")
@click.option(
    "--salvage", is_flag=True, help="Journal the outcomes that only run directories and packs have."
)
@common
def command(sweep: str, rebuild: bool, salvage: bool, **shared: Any) -> None:
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
    if salvage:
        _salvage(directory)
    with fresh_index(directory, rebuild=rebuild) as sweep_index:
        total, torn = sum(sweep_index.counts().values()), sweep_index.torn()
    notices.fill_cache_table(directory)
    count = sum(torn.values())
    cases, lines = counted(total, "case"), counted(count, "journal line")
    click.echo(f"{directory.name}: {cases} in the index, {lines} passed over")
    notices.report_passed_over(directory, torn)


def _salvage(directory: SweepDirectory) -> None:
    """Journal what run directories and packs have, and report it."""
    from hpcsweep.cli import notices
    from hpcsweep.runs.salvage import journal_kept_runs, unkept_layouts

    done = journal_kept_runs(directory)
    click.echo(
        f"{directory.name}: {counted(done.journaled, 'outcome')} salvaged, {done.known} were in "
        f"journals already, {done.unusable} could not be used"
    )
    for line in done.named:
        notices.notify(f"not used: {line}")
    for number, runs in unkept_layouts(directory).items():
        kept = "nothing" if runs == "none" else "no complete case"
        notices.notify(
            f"submission {number} has `runs: {runs}` and kept {kept}: only its journals have that"
        )
