"""Submit a sweep when another one is over, for `submit --after`."""

from __future__ import annotations

from pathlib import Path

import click

from hpcsweep.cli.context import Context
from hpcsweep.cli.notices import notify
from hpcsweep.cluster import registry
from hpcsweep.errors import InputError
from hpcsweep.state.over import is_sweep_over
from hpcsweep.state.standstill import by_hand
from hpcsweep.submission.followers import Follower, send_after
from hpcsweep.submission.submit import SubmitRequest
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.followers import over_text
from hpcsweep.tables.sweep_cases import awaited_until


def submit_after(
    context: Context, path: Path, other: SweepDirectory, cluster: str | None, throttle: int
) -> bool:
    """Have a manifest submitted when `other` is over; False if it is already.

    It is sent to the cluster of `other`, whose closing jobs send it.
    """
    recorded = context.cluster_of(other)
    if recorded is not None and cluster not in (None, recorded.kind):
        raise InputError(
            f"{other.name} is on the cluster {recorded.kind}, and what follows it is sent there",
            where="--cluster",
            next_step="Leave it out.",
        )
    manifest, source, awaited = context.manifest_after(path, other)
    when = awaited_until(awaited, other)
    if is_sweep_over(other, recorded, context.settings, when):
        notify(f"{other.name} is {when}: nothing to wait for")
        return False
    request = SubmitRequest(
        manifest=manifest, source=source, path=context.sweep_path(manifest), throttle=throttle
    )
    opened = recorded or registry.choose(
        cluster or context.settings.cluster, context.settings, request.path
    )
    follower = Follower(request=request, source=awaited, when=when)
    if not send_after(follower, other, opened, context.settings, notify):
        return False
    click.echo(f"{manifest.name}: is sent when {over_text(when, other.name)}")
    if other.submissions() and not _has_closing_jobs(other):
        click.echo(f"{other.name} has no closing jobs. {by_hand(other.path)}")
    return True


def _has_closing_jobs(sweep: SweepDirectory) -> bool:
    """Whether a closing job was submitted behind an array of the last submission."""
    facts = sweep.part_facts(sweep.submissions()[-1])
    return any("closing" in part_facts for part_facts in facts.values())
