"""`run`: run one case on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.options import common, manifest_argument

if TYPE_CHECKING:
    from hpcsweep.manifest.frozen import FrozenManifest
    from hpcsweep.sources import ParameterSource


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
    from hpcsweep.manifest import frozen
    from hpcsweep.undo import undo_on_error
    from hpcsweep.worker.launcher import Launcher
    from hpcsweep.worker.local import case_at, index_of, local_directory

    context = load_context(**shared)
    if (index is None) == (case_id is None):
        raise click.UsageError("give --index or --case")
    version, source = context.manifest(manifest)
    number = index_of(source, case_id) if case_id is not None else index or 0
    case_at(source, number)
    outputs = context.outputs(manifest.parent).absolute()
    directory = local_directory(outputs, version)
    version = _as_submitted(version, source, directory)
    with undo_on_error() as made:
        kept = frozen.write(directory, version, source, made)
        arguments = [str(kept), str(number), str(outputs), *(["--pdb"] if debug else [])]
        Launcher.of(version, directory).replace_process("hpcsweep.worker.local", *arguments)


def _as_submitted(
    version: FrozenManifest, source: ParameterSource, directory: Path
) -> FrozenManifest:
    """The manifest with the interpreter that a submit would find behind its setup lines."""
    import contextlib

    from hpcsweep.cli.notices import notify
    from hpcsweep.errors import TargetError
    from hpcsweep.submission.checked_request import check_elsewhere
    from hpcsweep.submission.request import SubmitRequest

    if not version.setup or version.interpreter is not None or version.target.is_command:
        return version
    request = SubmitRequest(manifest=version, source=source, path=directory)
    with contextlib.suppress(TargetError):  # the case will fail of it, and show where
        request, _ = check_elsewhere(request, {}, notify)
    return request.manifest
