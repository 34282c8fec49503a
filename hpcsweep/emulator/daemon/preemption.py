"""Preemption: choose jobs of lower partitions that give way to a job of a higher one."""

from __future__ import annotations

from collections.abc import Collection

from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.daemon.pool import Pool
from hpcsweep.emulator.jobs import Job

MESSAGE = " DUE TO PREEMPTION"


def choose_victims(
    job: Job,
    occupying: list[Job],
    preempting: Collection[int],
    pool: Pool,
    settings: EmulatorConfig,
) -> list[Job]:
    """The jobs to preempt for `job`, on a single node if possible, youngest first.

    Empty if no choice frees enough. `preempting`: ids of jobs that are being preempted already.
    """
    leaving = [
        other for other in occupying if other.state == "COMPLETING" or other.id in preempting
    ]
    candidates = [
        other
        for other in occupying
        if other.state == "RUNNING"
        and other.id not in preempting
        and _is_preemptable(other, job, settings)
    ]
    for nodes in [*([name] for name in pool.nodes), list(pool.nodes)]:
        on_nodes = [other for other in candidates if set(other.places) & set(nodes)]
        on_nodes.sort(key=lambda other: -other.started)
        chosen: list[Job] = []
        while not pool.find_places_without(job.request, [*leaving, *chosen]):
            if not on_nodes:
                break
            chosen.append(on_nodes.pop(0))
        else:
            return chosen
    return []


def _is_preemptable(victim: Job, job: Job, settings: EmulatorConfig) -> bool:
    partition = settings.partition(victim.request.partition)
    if partition is None or partition.preempt_mode == "OFF":
        return False
    return partition.priority_tier < settings.tier(job.request.partition)


def grace_s(job: Job, settings: EmulatorConfig) -> float:
    """Seconds from the decision to preempt a job to its termination."""
    partition = settings.partition(job.request.partition)
    return partition.grace_s if partition else 0.0


def is_queued_again(job: Job, settings: EmulatorConfig) -> bool:
    """Whether a preempted job is requeued."""
    partition = settings.partition(job.request.partition)
    cancels = partition is not None and partition.preempt_mode == "CANCEL"
    return job.request.requeue and not cancels
