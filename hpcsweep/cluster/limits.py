"""The limits of a cluster, and what is left of them for a user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from hpcsweep.cluster.ceilings import MEMORY, OVERRIDABLE, TIME, Ceiling, Impossible, exceeding

NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The name and the limits of a cluster."""

    # Empty if the cluster does not report it.
    cluster_name: str
    # One more than the largest array task id; 0 if the cluster has no arrays.
    max_array_size: int
    # Seconds between TERM and KILL.
    kill_wait_s: float
    # A time limit is rounded up to a multiple of so many seconds; Slurm's to minutes (22.05).
    time_step_s: int = 60
    # Whether it requeues a job that does not say whether it wants that; None: it requeues none
    # that asks for it.
    requeues: bool | None = None
    # Seconds from the decision to preempt a job with these options until it is ended.
    preempt_grace_s: float = 0.0
    # Whether it runs jobs that are no arrays, such as closing jobs.
    runs_jobs: bool = False
    # Whether it can start a worker on each node of a job.
    runs_nodes: bool = False
    # Array tasks that a submission may have; None if the cluster queues any number.
    max_tasks: int | None = None
    # Jobs and array tasks that a user may have queued or running at once, and those of this user
    # that are there; None where that is not limited or not known.
    max_jobs: int | None = None
    jobs: int = 0
    # Which limit that is; "" for none.
    max_jobs_name: str = ""
    # The most that one array task can get, and why none with these options can ever start.
    ceilings: tuple[Ceiling, ...] = ()
    impossible: tuple[Impossible, ...] = ()
    # Calls of sbatch that this user may still make in this hour; None for any number.
    calls: int | None = None
    # Seconds of a task that names no time limit; None where that is not known.
    default_time_s: int | None = None
    # What of its limits could not be read, for people who ask.
    unread: tuple[str, ...] = ()
    # Its configuration by key, as it says it.
    configuration: Mapping[str, str] = field(default_factory=dict, repr=False)
    # When its limits were read, seconds of the epoch; None where they are not known.
    read_at: float | None = None
    # For people: limits that are assumed because the cluster does not report them.
    notes: tuple[str, ...] = ()

    @property
    def slurm_version(self) -> str:
        """The controller's, such as `22.05.8`; empty if it is not known."""
        return self.configuration.get("SLURM_VERSION", "")

    @property
    def room(self) -> int | None:
        """How many more jobs and array tasks the queue takes; None for any number."""
        return None if self.max_jobs is None else max(0, self.max_jobs - self.jobs)

    @property
    def caps(self) -> dict[str, int]:
        """The most that a retry can ask for: seconds of "time", bytes of "mem" of a node."""
        caps: dict[str, int] = {}
        for ceiling in self.ceilings:
            if ceiling.what in (TIME, MEMORY):
                caps[ceiling.what] = min(ceiling.most, caps.get(ceiling.what, ceiling.most))
        return caps

    def overridden(self, own: Mapping[str, int], options: Mapping[str, str], jobs: int) -> Limits:
        """These limits with those that the user sets, for a task with these options of sbatch.

        `jobs`: all jobs and array tasks of this user in the queue.
        """
        own_ceilings = [
            Ceiling(what, own[what], f"limits.{what} of the manifest or profile")
            for what in OVERRIDABLE
            if what in own
        ]
        read = [ceiling for ceiling in self.ceilings if ceiling.what not in own]
        limits = replace(self, ceilings=(*own_ceilings, *read))
        if "max_array_size" in own:
            limits = replace(limits, max_array_size=own["max_array_size"])
        if "max_submit" in own:
            name = "limits.max_submit"
            limits = replace(limits, max_jobs=own["max_submit"], jobs=jobs, max_jobs_name=name)
        excesses = exceeding(options, limits.ceilings)
        return replace(limits, impossible=(*self.impossible, *excesses))
