"""`run`: run one case on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.options import common, manifest_argument


@click.command("run")
@manifest_argument
@click.option("--index", type=int, help="Which case (0-based).")
@click.option("--case", "case_id", metavar="ID", help="Which case, by the start of its case id.")
@click.option("--pdb", "debug", is_flag=True, help="In this process; an exception opens pdb.")
@common
def command(
    manifest: Path, index: int | None, case_id: str | None, debug: bool, **shared: Any
) -> None:
    """Run one case here, with the seed that it has on the cluster.

    It gets a run directory of its own; journal and index are not touched.
    """
    from hpcsweep.records import Status
    from hpcsweep.worker.launcher import Launcher
    from hpcsweep.worker.local import debug_one, index_of, run_one

    context = load_context(**shared)
    if (index is None) == (case_id is None):
        raise click.UsageError("give --index or --case")
    frozen, source = context.manifest(manifest)
    Launcher.of(frozen).restart_behind_setup()
    number = index_of(source, case_id) if case_id is not None else index or 0
    verb = debug_one if debug else run_one
    case, outcome, path = verb(frozen, source, number, context.outputs)
    click.echo(f"case {case.case_id}, index {case.index}: {outcome.status.value}")
    click.echo(json.dumps(outcome.metrics, indent=2))
    if outcome.error:
        click.echo(outcome.error.get("traceback") or outcome.error["message"], err=True)
    click.echo(f"run directory: {path}")
    if outcome.status is not Status.COMPLETE:
        raise click.exceptions.Exit(1)
