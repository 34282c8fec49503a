"""`run`: run one case on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import common, manifest_argument


@click.command(
    "run",
    epilog=examples(
        "hpcsweep run manifest.yaml --index 4",
        "hpcsweep run manifest.yaml --index 4 --pdb",
    ),
)
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
    from hpcsweep.cli.notices import notify
    from hpcsweep.submission.local_run import become_run
    from hpcsweep.sweepdir.version import Version
    from hpcsweep.worker.local import index_of

    context = load_context(**shared)
    if (index is None) == (case_id is None):
        raise click.UsageError("give --index or --case")
    frozen, source = context.manifest(manifest)
    number = index_of(source, case_id) if case_id is not None else index or 0
    outputs = context.sweep_path(frozen, manifest).parent
    become_run(Version.of(frozen, source), number, outputs, notify, debug=debug)
