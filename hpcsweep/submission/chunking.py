"""How many cases an array task runs, from how long a case takes. Pure.

A task shorter than some minutes costs the scheduler more than it computes; a long one loses more
when its node fails, and waits longer for a gap in the queue.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpcsweep.cluster.ceilings import TIME
from hpcsweep.cluster.limits import Limits
from hpcsweep.errors import InputError
from hpcsweep.quantities import time_limit_seconds, time_limit_text
from hpcsweep.records import Resources
from hpcsweep.store.measured import Measured
from hpcsweep.sweepdir.parts import AUTO_TASKS, FEW_TASKS, chunk_size_for, most_auto_tasks

# Seconds that an array task computes: at least, as a rule, at most.
SHORTEST_S, USUAL_S, LONGEST_S = 600.0, 1800.0, 7200.0
# Full arrays that `chunk: auto` makes at most, by longer tasks: each is an sbatch with its files,
# and 10,000 is Slurm's default MaxJobCount, which counts every array task (22.05).
MOST_ARRAYS = 10
# Share of its time limit that the cases of a task take on the average; the rest is for those that
# take longer.
FILL = 0.75
# Seconds of a chunk of whole nodes, and how many of those `chunk: auto` makes at most: each is a
# journal.
SHARED_S, SHARED_CHUNKS = 60.0, 10_000
# Least seconds of a case: what the worker needs to start one and to publish its run directory on a
# network file system, which is in no case's own seconds.
LEAST_CASE_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """How long a case takes."""

    mean_s: float
    # Of the longest case that is known.
    longest_s: float
    # How it is known: one of the words of `Plan.seconds_from`.
    source: str


def estimate_of(
    case_seconds: float | None, measured: Measured | None, *, by_canary: bool = False
) -> Estimate | None:
    """The estimate from what the manifest says, else from what was measured; None without both.

    `by_canary`: whether only the canary's cases were measured.
    """
    if case_seconds is not None:
        return Estimate(mean_s=case_seconds, longest_s=case_seconds, source="case_seconds")
    if measured is not None:
        source = "canary" if by_canary else "measured"
        return Estimate(mean_s=measured.mean_s, longest_s=measured.longest_s, source=source)
    return None


def chunk_size(
    count: int,
    chunk: int | None,
    estimate: Estimate | None,
    resources: Resources,
    limits: Limits,
) -> int:
    """Cases per chunk: the given `chunk`, else from the estimate, else from their count alone.

    *Raises* InputError if the given one makes more array tasks than the cluster accepts.
    """
    if chunk is not None or estimate is None or not count:
        return chunk_size_for(count, chunk, limits.max_tasks, limits.max_array_size)
    case_s = max(estimate.mean_s, LEAST_CASE_S)
    shortest, usual, longest = (
        max(1, int(seconds / case_s)) for seconds in (SHORTEST_S, USUAL_S, LONGEST_S)
    )
    # Of few cases more tasks run at once; of many no more tasks than one array has, as a rule.
    most_tasks = most_auto_tasks(limits.max_tasks, limits.max_array_size)
    size = min(usual, max(shortest, _divided(count, FEW_TASKS)))
    size = max(
        size,
        min(longest, _divided(count, most_tasks)),
        _divided(count, MOST_ARRAYS * most_tasks),
    )
    limit_s = _time_limit(resources, limits)
    if limit_s is not None:
        spare_s = FILL * limit_s - max(estimate.longest_s, case_s)
        size = min(size, 1 + max(0, int(spare_s / case_s)))
    if limits.max_tasks is not None:
        size = max(size, _divided(count, limits.max_tasks))
    return min(size, count)


def shared_chunk_size(count: int, estimate: Estimate | None) -> int:
    """Cases per chunk where the slots of whole nodes take chunks as they get free.

    A chunk costs the scheduler nothing there, and small ones end at about the same time.
    """
    if estimate is None:
        return max(1, _divided(count, AUTO_TASKS))
    usual = int(SHARED_S / max(estimate.mean_s, LEAST_CASE_S))
    return max(1, min(usual, _divided(count, AUTO_TASKS)), _divided(count, SHARED_CHUNKS))


def refuse_too_long(
    rows: int, case_seconds: float | None, resources: Resources, limits: Limits
) -> None:
    """Refuse tasks whose time limit ends them for certain. *Raises* InputError.

    `rows`: cases that a task runs one after the other. `case_seconds`: as the manifest says.
    """
    limit_s = _time_limit(resources, limits)
    if case_seconds is None or limit_s is None or rows * case_seconds <= limit_s:
        return
    takes, gets = time_limit_text(rows * case_seconds), time_limit_text(limit_s)
    what = "a case takes" if rows == 1 else f"{rows} cases, one after the other, take"
    fits = int(limit_s / case_seconds)
    raise InputError(
        f"{what} {takes} with case_seconds {case_seconds:g}, and a task has {gets}",
        where="chunk" if rows > 1 else "case_seconds",
        next_step=f"Write `chunk:` {fits} or less, or auto, or a longer slurm.time."
        if fits
        else "Write a longer slurm.time, or name a partition with longer tasks.",
    )


def _time_limit(resources: Resources, limits: Limits) -> int | None:
    """Seconds that a task gets at most: what it asks for, else what the cluster gives."""
    return time_limit_seconds(resources.options.get("time", "")) or limits.caps.get(TIME)


def _divided(count: int, tasks: int) -> int:
    """Cases per task, rounded up."""
    return -(-count // tasks)
