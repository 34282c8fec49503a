"""`cancel`: cancel the jobs of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, selection_options, sweep_argument

if TYPE_CHECKING:
    from hpcsweep.tables.selection import Selection


@click.command(
    "cancel",
    epilog=examples(
        "hpcsweep cancel demo",
        "hpcsweep cancel demo --cases 10-20",
    ),
)
@sweep_argument
@selection_options
@common
def command(sweep: str, selection: Selection, **shared: Any) -> None:
    """Cancel the array tasks of a sweep; results stay.

    Of selected cases, whole array tasks end; tasks with other cases pass over them.
    """
    from hpcsweep.cli.notices import notify
    from hpcsweep.cli.selecting import selected_of
    from hpcsweep.submission.cancel import cancel
    from hpcsweep.submission.cancel_cases import cancel_cases

    context = load_context(**shared)
    directory = context.sweep(sweep)
    selected, cluster = selected_of(selection, directory), context.cluster_of(directory)
    if selected is not None:
        done = cancel_cases(directory, cluster, context.settings, selected, notify)
        for line in done.lines:
            click.echo(line)
        return
    job_ids = cancel(directory, cluster, context.settings, notify)
    click.echo(f"cancelled: {', '.join(job_ids)}" if job_ids else "nothing to cancel")
