"""The limits on a user's jobs in the queue, by association and QOS. Pure functions.

Slurm counts queued and running array tasks, and refuses an array above a limit as a whole (22.05):
`AssocMaxSubmitJobLimit`, `QOSMaxSubmitJobPerUserLimit` and others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hpcsweep.cluster.slurm.job_limits import Association, JobLimits, QosLimits, levels

# The limits on queued and running jobs: on those of one user, and of a group.
_MAX_SUBMIT = ("MaxSubmitJobsPerUser", "MaxSubmitJobs")
_GROUP_SUBMIT = ("GrpSubmitJobs",)


def squeue_of_user(user: str) -> list[str]:
    """Query account, QOS and partition of all array tasks of a user in the queue, one per line."""
    return ["squeue", "-h", "-r", "-o", "%a|%q|%P", "-u", user]


class QueuedTask(NamedTuple):
    """A job or array task in the queue."""

    account: str
    qos: str
    # Several while it waits for one of them: `short,long`.
    partition: str


def queued(stdout: str) -> list[QueuedTask]:
    """The array tasks in the output of `squeue_of_user`."""
    rows = (line.strip().split("|") for line in stdout.splitlines())
    return [QueuedTask(*row[:3]) for row in rows if len(row) >= 3]


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitLimit:
    """A limit on jobs in the queue."""

    # Slurm's name.
    name: str
    most: int
    # Count of jobs in the queue that it applies to.
    jobs: int


def tightest(
    associations: Iterable[Association],
    qos: Mapping[str, QosLimits],
    queued: list[QueuedTask],
    options: Mapping[str, str],
    partition_qos: Mapping[str, str],
) -> SubmitLimit | None:
    """The limit with the least room for a job with these options; None if there is no limit.

    `partition_qos`: the QOS of each partition. Limits of a group count only the user's own jobs:
    those of others may be hidden.
    """
    among = options.get("partition", "").split(",")
    limits = [
        limit
        for association in matching(associations, options)
        for name in dict.fromkeys(partition_qos.get(partition, "") for partition in among)
        for limit in _limits(
            association, levels(association, qos, options, name), queued, partition_qos
        )
    ]
    return min(limits, key=lambda limit: limit.most - limit.jobs, default=None)


def _limits(
    association: Association,
    ordered: list[JobLimits],
    queued: list[QueuedTask],
    partition_qos: Mapping[str, str],
) -> Iterator[SubmitLimit]:
    """The limits of a user, and of a group: of the first QOS, else of all other levels."""
    for names in (_MAX_SUBMIT, _GROUP_SUBMIT):
        for level in ordered:
            name = next((name for name in names if name in level.counts), None)
            if name is not None:
                counted = sum(_counts(level, association, task, partition_qos) for task in queued)
                most = level.counts[name]
                yield SubmitLimit(name=level.named(name), most=most, jobs=counted)
                if level.qos:
                    break


def _counts(
    level: JobLimits, association: Association, task: QueuedTask, partition_qos: Mapping[str, str]
) -> bool:
    """Whether a limit of this level counts a task."""
    if not level.qos:
        return task.account in (level.below if level.account else (association.account,))
    # The QOS of a partition counts all jobs in the partition, regardless of their own QOS.
    of_partitions = (partition_qos.get(name) for name in task.partition.split(","))
    return level.qos in (task.qos, *of_partitions)


def matching(associations: Iterable[Association], options: Mapping[str, str]) -> list[Association]:
    """The associations that a job may use: of its account, or of all accounts."""
    account, partition = options.get("account"), options.get("partition")
    return [
        association
        for association in associations
        if account in (None, association.account) and association.partition in ("", partition)
    ]
