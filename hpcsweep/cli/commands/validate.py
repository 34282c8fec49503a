"""`validate`: check a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, json_option, manifest_argument
from hpcsweep.quantities import counted
from hpcsweep.terminal_text import one_line


@click.command(
    "validate",
    epilog=examples(
        "hpcsweep validate manifest.yaml",
        "hpcsweep validate manifest.yaml --set slurm.time=02:00:00",
    ),
)
@manifest_argument
@json_option
@common
def command(manifest: Path, as_json: bool, **shared: Any) -> None:
    """Check a manifest and report all of its mistakes."""
    from hpcsweep.cli.render.console import print_document
    from hpcsweep.manifest.validated import validated

    found = validated(*load_context(**shared).manifest(manifest))
    if as_json:
        print_document(found.to_json())
        return
    cases = counted(found.n_cases, "case")
    click.echo(f"{manifest}: {found.name}, {cases}, target {found.target}")
    for note in found.column_notes:
        click.echo(f"  {one_line(note)}")
    for note in found.filter_notes:
        click.echo(f"  where {one_line(note)}")
