"""Submit and perhaps wait, for `submit` and `retry`, and what is said about it."""

from __future__ import annotations

from itertools import islice

import click

from hpcsweep.cli.context import Context
from hpcsweep.cli.notices import notify
from hpcsweep.cli.render.console import console
from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import Incomplete, PartRefused
from hpcsweep.progress import progress_bar
from hpcsweep.state.status import Summary
from hpcsweep.submission.advance import advance, follow
from hpcsweep.submission.notices import notices
from hpcsweep.submission.submit import Submitted, Wish, submit
from hpcsweep.sweepdir.directory import SweepDirectory


def send(here: Context, wish: Wish, cluster: Cluster, *, waits: bool) -> None:
    """Submit and perhaps wait, also for what was accepted before a part was refused."""
    try:
        done = _submit(here, wish, cluster)
    except PartRefused as refusal:
        if waits:
            click.echo(f"{refusal.what}; waiting for the parts that were accepted", err=True)
            _watch(here, cluster, SweepDirectory.open(wish.path))
        raise
    if waits:
        _wait(here, wish, cluster, done)


def go_on(here: Context, sweep: SweepDirectory) -> None:
    """Advance a sweep, and say what was sent."""
    cluster = registry.require_recorded(sweep, here.settings)
    _print_submitted(advance(sweep, cluster, here.settings, notify), cluster)


def _submit(here: Context, wish: Wish, cluster: Cluster) -> Submitted:
    done = submit(wish, cluster, here.settings, notify)
    _print_submitted(done, cluster)
    for notice in notices(done, wish):
        click.echo(notice)
    return done


def _print_submitted(done: Submitted, cluster: Cluster) -> None:
    outlook, sweep = done.outlook, done.sweep
    if not done.plans:
        if done.without_room:
            count = done.without_room.count
            click.echo(f"{sweep.name}: the queue has no room; {count} cases are sent later")
        elif done.under_way:
            click.echo(
                f"{sweep.name}: nothing to submit, {done.under_way.count} cases are under way"
            )
        else:
            left = f", {outlook.failed.count} failed (--rerun failed)" if outlook.failed else ""
            click.echo(f"{sweep.name}: nothing to submit, {outlook.complete.count} complete{left}")
    job_ids = iter(done.job_ids)
    for plan in done.plans:
        jobs = ", ".join(islice(job_ids, len(plan.parts)))
        click.echo(
            f"{sweep.name}: submission {plan.submission}, {plan.indices.count} cases in "
            f"{plan.chunks} array tasks, job {jobs} on the {cluster.kind} cluster"
        )
        if plan.goal is not None:
            rest = plan.goal.count - plan.indices.count
            click.echo(f"{rest} more cases are sent when the queue has room for their array tasks")


def _wait(here: Context, wish: Wish, cluster: Cluster, done: Submitted) -> None:
    """Wait; send once what was in doubtful hands when this command began."""
    summary = _watch(here, cluster, done.sweep)
    in_doubt = done.under_way if done.plan is None else done.cancelled
    if not summary.is_complete and in_doubt:
        done = _submit(here, wish, cluster)
        summary = _watch(here, cluster, done.sweep)
    if not summary.is_complete:
        raise Incomplete(
            f"not every case is complete: {summary.counts_text}",
            where=summary.path,
            next_step=f"`hpcsweep logs {summary.name} INDEX` says why; `hpcsweep submit` sends "
            f"what was interrupted, `hpcsweep retry {summary.name}` also what failed.",
        )
    click.echo(f"{summary.name}: {summary.counts_text}")


def _watch(here: Context, cluster: Cluster, sweep: SweepDirectory) -> Summary:
    try:
        with progress_bar(console(stderr=True)) as update:
            return follow(sweep, cluster, here.settings, update, notify)
    except KeyboardInterrupt:
        click.echo(
            f"\nNo longer waiting; what was submitted goes on. `hpcsweep status {sweep.name}` "
            f"shows it, `hpcsweep cancel {sweep.name}` ends it.",
            err=True,
        )
        raise click.exceptions.Exit(130) from None  # as a shell says it: 128 + SIGINT
