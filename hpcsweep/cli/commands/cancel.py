"""`cancel`: cancel the jobs of a sweep."""

from __future__ import annotations

from typing import Any

import click

from hpcsweep.cli.context import context
from hpcsweep.cli.options import common, sweep_argument


@click.command("cancel")
@sweep_argument
@common
def command(sweep: str, **shared: Any) -> None:
    """Cancel what a sweep has on its cluster; results stay."""
    from hpcsweep.cli.notices import notify
    from hpcsweep.submission.cancel import cancel

    here = context(**shared)
    directory = here.sweep(sweep)
    job_ids = cancel(directory, here.cluster_of(directory), here.settings, notify)
    click.echo(f"cancelled: {', '.join(job_ids)}" if job_ids else "nothing to cancel")
