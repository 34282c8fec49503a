"""The limits of a cluster for one submission: what it says, what the user sets, what is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from hpcsweep.cluster.base import Cluster
from hpcsweep.cluster.limits import Limits
from hpcsweep.errors import ClusterError, InputError
from hpcsweep.manifest.exclusive import put_over
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.manifest.policies import Policies
from hpcsweep.quantities import counted, duration
from hpcsweep.records import ARRAY, Reason, Resources
from hpcsweep.state.escalation import useless_retries
from hpcsweep.submission.hourly_calls import HourlyCalls
from hpcsweep.submission.sizing import SAMPLE


def limits_for(cluster: Cluster, resources: Resources, own: Mapping[str, int]) -> Limits:
    """The limits for array tasks with these resources; `own` are those that the user sets.

    *Raises* ClusterUnavailable.
    """
    limits = cluster.with_room(cluster.limits(), resources.options, own)
    return replace(limits, calls=calls_on(cluster, limits, own).left())


def calls_on(cluster: Cluster, limits: Limits, own: Mapping[str, int]) -> HourlyCalls:
    """The calls of sbatch on a cluster; `own` are the limits that the user sets."""
    most = own.get("submissions_per_hour")
    return HourlyCalls.on(limits.cluster_name, cluster.state_dir, most)


def check_requests(
    cluster: Cluster,
    manifest: FrozenManifest,
    throttle: int,
    notify: Callable[[str], None] = lambda _: None,
) -> Limits:
    """Check what the array tasks and the reduce of a manifest ask for. Returns the tasks' limits.

    *Raises* ClusterUnavailable, ClusterError for what can never start, InputError.
    """
    options, policies = manifest.resources.options, Policies.from_json(manifest.policies)
    cluster.prepare(options)
    for note in cluster.check_options(options, throttle):
        notify(note)
    limits = limits_for(cluster, manifest.resources, policies.limits)
    for note in limit_notes(limits, manifest):
        notify(note)
    refuse_mode(manifest.mode, cluster.kind, limits, throttle)
    refuse_impossible(limits)
    refuse_impossible_reduce(cluster, manifest, policies)
    return limits


def limit_notes(limits: Limits, manifest: FrozenManifest) -> Iterator[str]:
    """What is not known of the limits, and which retries they make useless; for people."""
    yield from limits.notes
    yield from (f"not known: {what}" for what in limits.unread)
    policies = Policies.from_json(manifest.policies)
    retry = policies.retry
    if retry is None:
        return
    for reason, option in useless_retries(manifest.resources, retry, limits.caps):
        yield _no_retry(reason, f"slurm.{option} is all that the cluster gives")
    is_sized = (policies.canary or 0) >= SAMPLE
    if Reason.TIMEOUT in retry.on and "time" not in manifest.resources.options and not is_sized:
        yield _no_retry(Reason.TIMEOUT, "slurm.time is not set, so there is no time to multiply")


def _no_retry(reason: Reason, why: str) -> str:
    return f"retry: a case is not sent again after {reason}, since {why}."


def refuse_impossible_reduce(
    cluster: Cluster, manifest: FrozenManifest, policies: Policies
) -> None:
    """Refuse a reduce that can never start. *Raises* as `refuse_impossible`."""
    if policies.reduce is not None and policies.reduce.options:
        own = put_over(manifest.resources.options, policies.reduce.options)
        limits = limits_for(cluster, Resources(options=own), policies.limits)
        refuse_impossible(limits, "reduce_slurm")


def refuse_impossible(limits: Limits, key: str = "slurm") -> None:
    """Refuse a job that can never start. *Raises* ClusterError with every reason.

    `key` is the manifest's, below which the options are.
    """
    if not limits.impossible:
        return
    steps = dict.fromkeys(excess.next_step for excess in limits.impossible)
    reasons = "; ".join(f"{key}.{excess.option} {excess.what}" for excess in limits.impossible)
    what = "the array" if key == "slurm" else "the reduce"
    raise ClusterError(
        f"the cluster would refuse {what}, or never start it: {reasons}",
        next_step=" ".join(steps),
    )


def refuse_mode(mode: str, kind: str, limits: Limits, throttle: int) -> None:
    """Refuse jobs of whole nodes where there are none, or with a throttle. *Raises* InputError."""
    if mode == ARRAY:
        return
    if not limits.runs_nodes:
        raise InputError(
            f"the {kind} cluster starts array tasks only, no workers of whole nodes",
            where="mode",
            next_step="Write `mode: array`, or use --cluster slurm.",
        )
    if throttle:
        raise InputError(
            f"a throttle limits array tasks, and with `mode: {mode}` there are none",
            where="--throttle",
            next_step="Leave it out: slurm.nodes is how many nodes work at once.",
        )


def summary(limits: Limits) -> str:
    """What is known of the limits in one line, with its age; for people."""
    texts = [ceiling.text for ceiling in limits.ceilings if ceiling.most]
    if limits.max_jobs is not None:
        texts.append(f"{counted(limits.max_jobs, 'task')} in the queue ({limits.max_jobs_name})")
    if limits.calls is not None:
        texts.append(f"{counted(limits.calls, 'more call')} of sbatch in this hour")
    age = ""
    if limits.read_at:
        age = f", read {duration(max(0, round(time.time() - limits.read_at)))} ago"
    name = f" of {limits.cluster_name}" if limits.cluster_name else ""
    return f"limits{name}{age}: {'; '.join(texts) or 'none'}"
