"""`rm`: remove sweeps with their results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli import completion
from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common

if TYPE_CHECKING:
    from hpcsweep.cli.context import Context
    from hpcsweep.sweepdir.directory import SweepDirectory


@click.command(
    "rm",
    epilog=examples(
        "hpcsweep rm demo",
        "hpcsweep rm demo first-try --yes",
    ),
)
@click.argument(
    "sweeps", metavar="SWEEP...", nargs=-1, required=True, shell_complete=completion.sweeps
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--force", is_flag=True, help="Also if it is not known whether anything of it still runs."
)
@common
def command(sweeps: tuple[str, ...], yes: bool, force: bool, **shared: Any) -> None:
    """Remove sweeps with all of their results.

    It asks before each. A sweep of which something runs or waits is refused.
    """
    from hpcsweep.cli.notices import notify
    from hpcsweep.project.remove import remove

    context = load_context(**shared)
    if not (yes or sys.stdin.isatty()):
        raise click.UsageError("there is no terminal to ask at: say --yes")
    for text in sweeps:
        sweep = _sweep(context, text, force=force)
        if sweep is None:
            continue
        if not yes and not click.confirm(_question(sweep), err=True):
            click.echo(f"{sweep.name} stays", err=True)
            continue
        remove(sweep, context.settings, notify, force=force)
        click.echo(f"removed: {sweep.path}")


def _sweep(context: Context, text: str, *, force: bool) -> SweepDirectory | None:
    """The sweep to remove; None if this finished a removal that was interrupted."""
    from hpcsweep.errors import SweepError
    from hpcsweep.project.remove import finish_removals

    path = Path(text)
    directory = path.parent if path.name != text else context.outputs()
    finished = finish_removals(directory, path.name, force=force)
    try:
        return context.sweep(text)
    except SweepError:
        if not finished:
            raise
        click.echo(f"removed what was left of {text}")
        return None


def _question(sweep: SweepDirectory) -> str:
    from hpcsweep.quantities import size_text
    from hpcsweep.state.overview import overview_of
    from hpcsweep.state.summary import counts_text
    from hpcsweep.sweepdir.disk_usage import bytes_on_disk

    entry = overview_of(sweep.path)
    states = counts_text(entry.counts) or entry.note
    size = size_text(bytes_on_disk(sweep.path))
    return f"Remove {sweep.path} ({states}; {size}) with all of its results?"
