"""`retry`: submit failed and missing cases again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import (
    common,
    json_option,
    selection_options,
    sweep_argument,
    throttle_option,
    wait_option,
)

if TYPE_CHECKING:
    from hpcsweep.tables.selection import Selection


@click.command(
    "retry",
    epilog=examples(
        "hpcsweep retry demo",
        "hpcsweep retry demo --where 'omega > 2' --wait",
    ),
)
@sweep_argument
@wait_option
@throttle_option
@json_option
@selection_options
@common
def command(
    sweep: str,
    waits: bool,
    throttle: int,
    as_json: bool,
    selection: Selection,
    **shared: Any,
) -> None:
    """Submit failed and missing cases again, as they were submitted.

    As `submit --rerun failed` does, with the manifest that the sweep keeps.
    """
    from hpcsweep.cli.selecting import selected_of
    from hpcsweep.cli.sending import send
    from hpcsweep.cluster import registry
    from hpcsweep.manifest.frozen import named
    from hpcsweep.submission.request import SubmitRequest

    context = load_context(**shared)
    directory = context.sweep(sweep)
    newest = directory.newest()
    request = SubmitRequest(
        manifest=named(newest.manifest, directory.name),
        source=newest.source,
        path=directory.path,
        throttle=throttle,
        rerun="failed",
        selection=selected_of(selection, directory),
    )
    opened = registry.require_recorded(directory, context.settings)
    send(context, request, opened, waits=waits, prints="document" if as_json else "lines")
