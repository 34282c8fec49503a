"""Show what `submit` would send, for `plan` and `submit --dry-run`."""

from __future__ import annotations

import shlex

import click

from hpcsweep.cli import streams
from hpcsweep.cli.context import Context
from hpcsweep.cli.notices import notify
from hpcsweep.cli.render.console import print_line
from hpcsweep.cli.render.plan import print_plan
from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.cluster.limits import Limits
from hpcsweep.cluster.slurm.text import sbatch
from hpcsweep.files import token
from hpcsweep.settings import Settings
from hpcsweep.state import canary
from hpcsweep.state.manifest_diff import difference
from hpcsweep.state.outlook import Outlook
from hpcsweep.submission import policy
from hpcsweep.submission.arrays import array_for, is_requeued, script_for
from hpcsweep.submission.limits import (
    limit_notes,
    limits_for,
    refuse_impossible,
    refuse_impossible_reduce,
    refuse_mode,
    summary,
)
from hpcsweep.submission.missing_inputs import refuse_missing
from hpcsweep.submission.notices import changed_notice, other_code_notice, replaceable_notice
from hpcsweep.submission.plans import make_plan
from hpcsweep.submission.replacing import replaceable
from hpcsweep.submission.request import SubmitRequest
from hpcsweep.submission.submit import outlook_for, rehearse
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from hpcsweep.sweepdir.parts import MAX_ARRAY_SIZE
from hpcsweep.sweepdir.plan import Plan

# What `plan` has not asked.
NO_CLUSTER = (
    f"any cluster, neither how large an array may be (MaxArraySize {MAX_ARRAY_SIZE} is Slurm's "
    "default) nor about partition, time, memory and GPUs; `submit --dry-run` asks"
)


def show_plan(
    context: Context,
    request: SubmitRequest,
    cluster: Cluster | None,
    *,
    script: bool,
    code_digest: str | None = None,
) -> None:
    """Print the plan or its script; ask the cluster, if there is one, what it would say."""
    limits = _limits(request, cluster, context.settings)
    sweep = SweepDirectory.open(request.path) if (request.path / MARKER).is_file() else None
    if sweep is not None:
        changed = difference(sweep, request.version)
        if changed is not None:
            click.echo(changed)
    outlook = outlook_for(request, sweep, cluster, context.settings, code_digest)
    waiting = None
    if sweep is not None:
        waiting = replaceable(sweep, request.manifest, outlook.tasks)
    notices = (
        replaceable_notice(waiting, request),
        other_code_notice(outlook, request),
        changed_notice(outlook, request),
    )
    for notice in notices:
        if notice:
            click.echo(notice, err=script)
    under_way = policy.under_way(outlook, request.policy).count
    refuse_missing(request.version, policy.sendable(outlook, request.policy))
    batches = policy.decide(outlook, request.policy, limits)
    if not batches:
        chosen = outlook if request.selection is None else outlook.within(request.selection)
        click.echo(
            f"nothing to submit: {chosen.complete.count} complete, {chosen.failed.count} failed, "
            f"{under_way} under way{_behind_canary(request, outlook)}"
        )
    for batch in batches:
        plan = make_plan(request, sweep, batch, limits)
        unchecked = rehearse(request, sweep, plan, cluster) if cluster else _unchecked(limits)
        if script:
            _show_script(request, sweep, plan, cluster, limits)
        else:
            print_plan(plan, request.version, under_way, outlook.complete.count, limits)
            print_line(f"not asked: {unchecked}" if unchecked else "the cluster would take it")
    if batches and limits.ceilings and not script:
        print_line(summary(limits))


def _behind_canary(request: SubmitRequest, outlook: Outlook) -> str:
    """How many cases wait for a canary, for people."""
    if not canary.is_running(outlook):
        return ""
    return f", {policy.sendable(outlook, request.policy).count} wait for the canary"


def _unchecked(limits: Limits) -> str:
    """What a plan without a query does not know."""
    return NO_CLUSTER if limits.read_at is None else "what is in the queue; `submit --dry-run` asks"


def _limits(request: SubmitRequest, cluster: Cluster | None, settings: Settings) -> Limits:
    resources, own = request.manifest.resources, request.policies.limits
    if cluster is None:
        unstarted = registry.unstarted(settings.cluster, settings, request.path)
        limits = unstarted.remembered(resources.options, own)
        if limits is None:
            limits = policy.UNASKED.overridden(own, resources.options, 0)
        for excess in limits.impossible:
            notify(f"slurm.{excess.option} {excess.what}")
    else:
        limits = limits_for(cluster, resources, own)
        refuse_impossible(limits)
        refuse_impossible_reduce(cluster, request.manifest, request.policies)
    kind = settings.cluster if cluster is None else cluster.kind
    refuse_mode(request.manifest.mode, kind, limits, request.throttle)
    for note in limit_notes(limits, request.manifest):
        notify(note)
    if cluster is not None and limits.room is not None:
        notify(
            f"{limits.max_jobs_name} is {limits.max_jobs}: with {limits.jobs} jobs and array tasks "
            f"in the queue, {limits.room} more fit"
        )
    return limits


def _show_script(
    request: SubmitRequest,
    sweep: SweepDirectory | None,
    plan: Plan,
    cluster: Cluster | None,
    limits: Limits,
) -> None:
    out, key = streams.document(), sweep.key if sweep else token()
    for part in plan.parts:
        array = array_for(request.path, key, request.manifest, plan, part)
        out.write(f"# {cluster.command(array) if cluster else shlex.join(sbatch(array))}\n")
    requeue = is_requeued(request.manifest, limits)
    out.write(script_for(request.manifest, request.path, plan, requeue=requeue))
