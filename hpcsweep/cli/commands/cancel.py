"""`cancel`: cancel the jobs of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, json_option, selection_options, sweep_argument

if TYPE_CHECKING:
    from hpcsweep.tables.selection import Selection


@click.command(
    "cancel",
    epilog=examples(
        "hpcsweep cancel demo",
        "hpcsweep cancel demo --cases 10-20",
        "hpcsweep cancel demo --json",
    ),
)
@sweep_argument
@selection_options
@json_option
@common
def command(sweep: str, selection: Selection, as_json: bool, **shared: Any) -> None:
    """Cancel the array tasks of a sweep; results stay.

    Of selected cases, whole array tasks end; tasks with other cases pass over them.
    """
    from hpcsweep.cli.notices import notify
    from hpcsweep.cli.render.console import print_document
    from hpcsweep.cli.selecting import selected_of
    from hpcsweep.submission.cancel import cancel
    from hpcsweep.submission.cancel_cases import cancel_cases

    context = load_context(**shared)
    directory = context.sweep(sweep)
    selected, cluster = selected_of(selection, directory), context.cluster_of(directory)
    if selected is None:
        done = cancel(directory, cluster, context.settings, notify)
    else:
        done = cancel_cases(directory, cluster, context.settings, selected, notify)
    if as_json:
        print_document(done.to_json())
        return
    for line in done.lines:
        click.echo(line)
