"""`plan`: show what `submit` would send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpcsweep.cli.context import context
from hpcsweep.cli.options import common, manifest_argument, script_option


@click.command("plan")
@manifest_argument
@script_option
@common
def command(manifest: Path, script: bool, **shared: Any) -> None:
    """Show what a submit would send."""
    from hpcsweep.cli.planning import show_plan
    from hpcsweep.submission.submit import SubmitRequest

    here = context(**shared)
    found, source = here.manifest(manifest)
    request = SubmitRequest(manifest=found, source=source, path=here.sweep_path(found))
    show_plan(here, request, None, script=script)
