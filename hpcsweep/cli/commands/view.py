"""`view`: the report of a sweep, or of all sweeps of a directory, live in a browser."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli import completion
from hpcsweep.cli.context import Context, load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, file_option

if TYPE_CHECKING:
    from hpcsweep.report.server import ViewServer
    from hpcsweep.sweepdir.directory import SweepDirectory


@click.command(
    "view",
    epilog=examples(
        "hpcsweep view demo",
        "hpcsweep view --idle 480",
        "hpcsweep view demo --socket ~/.view",
    ),
)
@click.argument("what", metavar="[SWEEP|DIR]", required=False, shell_complete=completion.sweeps)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="The port, instead of a free one.",
)
@click.option(
    "--socket",
    "path",
    type=file_option,
    help="Listen at this Unix socket instead of a port: only you can open it.",
)
@click.option(
    "--idle",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="MINUTES",
    help="End when no page was open for so long.",
)
@common
def command(what: str | None, port: int, path: Path | None, idle: float, **shared: Any) -> None:
    """Show a sweep, or all sweeps of a directory, live in a browser.

    The pages are those of `report`, and change as the sweep does; none of them changes the sweep.
    The server listens on 127.0.0.1 alone, and its address has a secret in it: keep it. DIR is a
    directory of sweeps, or of a manifest. The default is outputs. Ctrl-C ends it.
    """
    from hpcsweep.report.view import address_lines, view

    def show(server: ViewServer) -> None:
        for line in address_lines(server):
            click.echo(line)

    context = load_context(**shared)
    # Ctrl-C is the way to end it, not an error.
    with contextlib.suppress(KeyboardInterrupt):
        view(
            _viewed(context, what),
            context.settings,
            show,
            address=path or port,
            idle_s=60 * idle,
        )


def _viewed(context: Context, what: str | None) -> SweepDirectory | Path:
    """The sweep, or the directory of sweeps. *Raises* SweepError."""
    from hpcsweep.sweepdir.directory import MARKER
    from hpcsweep.sweepdir.locate import OUTPUTS, sweep_names

    if what is None:
        return context.directory(None)
    given = Path(what)
    is_directory = given.is_dir() and not (given / MARKER).is_file()
    if is_directory and (sweep_names(given) or (given / OUTPUTS).is_dir()):
        return context.directory(given)
    return context.sweep(what)
