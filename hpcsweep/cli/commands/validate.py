"""`validate`: check a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.options import common, manifest_argument
from hpcsweep.terminal_text import one_line


@click.command("validate")
@manifest_argument
@common
def command(manifest: Path, **shared: Any) -> None:
    """Check a manifest and report all of its mistakes."""
    frozen, source = load_context(**shared).manifest(manifest)
    click.echo(f"{manifest}: {frozen.name}, {source.n_cases} cases, target {frozen.target.text}")
    for note in source.column_notes():
        click.echo(f"  columns of {one_line(note)}")
    for note in source.filter_notes():
        click.echo(f"  where {one_line(note)}")
