"""The policy: which indices a submission sends, and how. Pure: no file, cluster or clock is asked.

What `submit` does without more words is the first one: send what is neither complete nor failed,
and again what `--rerun` names; never what an array task may still be running.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hpcsweep.cluster.base import Limits
from hpcsweep.indexset import IndexSet
from hpcsweep.records import Resources
from hpcsweep.state.outlook import Outlook, State
from hpcsweep.sweepdir.parts import MAX_ARRAY_SIZE, chunk_size_for

# What is assumed of a cluster that was not asked: Slurm's own defaults.
UNASKED = Limits(cluster_name="", max_array_size=MAX_ARRAY_SIZE, kill_wait_s=30.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What is to be sent, and in which pieces."""

    # One of `records.RERUNS`: what is computed again although it has an outcome.
    rerun: str | None = None
    # Cases per array task; None for as many as the cluster's limits suggest.
    chunk: int | None = None
    # What an array task asks for.
    resources: Resources = field(default_factory=Resources)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Indices of one resource class that a submission sends."""

    indices: IndexSet
    # Of the submission to come.
    generation: int
    # Cases per array task.
    chunk_size: int
    resources: Resources


def wanted(outlook: Outlook, policy: Policy) -> IndexSet:
    """The indices that shall be computed, whoever may be at it."""
    every = IndexSet.all(outlook.version.source.n_cases)
    return (every - outlook.complete - outlook.failed) | _again(outlook, policy)


def under_way(outlook: Outlook, policy: Policy) -> IndexSet:
    """Those of them that are in array tasks which the cluster holds, or may hold."""
    return wanted(outlook, policy) & outlook.in_flight


def decide(outlook: Outlook, policy: Policy, limits: Limits) -> tuple[Batch, ...]:
    """The batches to send now, one for each resource class; none when nothing is missing.

    *Raises* InputError for a chunk size that makes more array tasks than the cluster takes.
    """
    indices = wanted(outlook, policy) - outlook.in_flight
    return (batch(outlook, policy, limits, indices),) if indices else ()


def batch(outlook: Outlook, policy: Policy, limits: Limits, indices: IndexSet) -> Batch:
    """The batch that sends these indices. *Raises* as `decide`."""
    again = _again(outlook, policy) & indices
    return Batch(
        indices=indices,
        generation=outlook.generation + bool(again),
        chunk_size=chunk_size_for(
            indices.count, policy.chunk, limits.max_tasks, limits.max_array_size
        ),
        resources=policy.resources,
    )


def _again(outlook: Outlook, policy: Policy) -> IndexSet:
    """Indices that have an outcome, and shall be computed once more."""
    match policy.rerun:
        case "stale":
            return outlook.indices(State.STALE)
        case "failed":
            return outlook.failed
        case "all":
            return outlook.complete | outlook.failed
        case _:
            return IndexSet()
