"""`plan`: show what `submit` would send."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcsweep.cli.context import load_context
from hpcsweep.cli.examples import examples
from hpcsweep.cli.options import (
    common,
    json_option,
    manifest_argument,
    script_option,
    selection_options,
)

if TYPE_CHECKING:
    from hpcsweep.tables.selection import Selection


@click.command(
    "plan",
    epilog=examples(
        "hpcsweep plan manifest.yaml",
        "hpcsweep plan manifest.yaml --script",
        "hpcsweep plan manifest.yaml --where 'omega > 2'",
    ),
)
@manifest_argument
@script_option
@json_option
@selection_options
@common
def command(
    manifest: Path, script: bool, as_json: bool, selection: Selection, **shared: Any
) -> None:
    """Show what a submit would send."""
    from hpcsweep.cli.notices import notify
    from hpcsweep.cli.planning import print_planned
    from hpcsweep.cli.selecting import selected
    from hpcsweep.submission.next_batch import version_at
    from hpcsweep.submission.planning import planned
    from hpcsweep.submission.request import SubmitRequest
    from hpcsweep.sweepdir.version import Version

    context = load_context(**shared)
    frozen, source = context.manifest(manifest)
    path = context.sweep_path(frozen, manifest)
    version = version_at(Version.of(frozen, source), path)
    chosen = selected(selection, version, path)
    request = SubmitRequest(
        manifest=version.manifest, source=version.source, path=path, selection=chosen
    )
    found = planned(request, None, context.settings, notify, scripts=script)
    print_planned(found, script=script, as_json=as_json)
