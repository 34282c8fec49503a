"""`archive`: write a sweep into one tar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, file_option, sweep_argument


@click.command(
    "archive",
    epilog=examples(
        "hpcsweep archive demo",
        "hpcsweep archive demo -o /archive/me/demo.tar",
    ),
)
@sweep_argument
@click.option("-o", "--output", type=file_option, help="The tar (default: NAME.tar, here).")
@common
def command(sweep: str, output: Path | None, **shared: Any) -> None:
    """Write a sweep into one tar, which commands read as they read its directory.

    The sweep itself stays; `hpcsweep rm` removes it.
    """
    from hpcsweep.cli.notices import notify
    from hpcsweep.cli.output_options import is_standard_output
    from hpcsweep.project.archiving import archive

    if is_standard_output(output):
        raise click.UsageError(
            "an archive is a file, which appears whole: name one, --output demo.tar"
        )
    context = load_context(**shared)
    directory = context.sweep(sweep)
    path = archive(directory, output or Path(f"{directory.name}.tar"), context.settings, notify)
    click.echo(f"written: {path}")
