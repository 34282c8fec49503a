"""The limits on a user's jobs in the queue, by association and QOS. Pure functions.

Slurm counts queued and running array tasks, and refuses an array above a limit as a whole (22.05):
`AssocMaxSubmitJobLimit`, `QOSMaxSubmitJobPerUserLimit` and others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

# `AccountingStorageEnforce` of a cluster that enforces these limits.
ENFORCED = ("limits", "safe", "all")


def enforces(configuration: Mapping[str, str]) -> bool:
    """Whether a cluster enforces limits of associations and QOS."""
    words = configuration.get("AccountingStorageEnforce", "").lower().split(",")
    return any(word in ENFORCED for word in words)


def show_associations(user: str) -> list[str]:
    """Query a user's associations; each shows its inherited limits."""
    fields = "account,partition,qos,defaultqos,maxsubmit,grpsubmit"
    return ["sacctmgr", "-n", "-P", "show", "assoc", "where", f"user={user}", f"format={fields}"]


def show_qos() -> list[str]:
    """Query the limits of all QOS."""
    return ["sacctmgr", "-n", "-P", "show", "qos", "format=name,maxsubmitpu,grpsubmit"]


def squeue_of_user(user: str) -> list[str]:
    """Query account and QOS of all array tasks of a user in the queue, one per line."""
    return ["squeue", "-h", "-r", "-o", "%a|%q", "-u", user]


class Association(NamedTuple):
    """One association of a user."""

    account: str
    partition: str
    default_qos: str
    max_submit: int | None
    group_submit: int | None


class QosLimits(NamedTuple):
    """The limits of a QOS."""

    max_submit: int | None
    group_submit: int | None


class QueuedTask(NamedTuple):
    """A job or array task in the queue."""

    account: str
    qos: str


def associations(stdout: str) -> list[Association]:
    """The associations in the output of `show_associations`."""
    found = []
    for account, partition, names, default, most, group in _rows(stdout, 6):
        # Without a default: `normal` if the user has it, else the first one (22.05).
        several = names.split(",")
        qos = default or ("normal" if "normal" in several else several[0])
        found.append(Association(account, partition, qos, _number(most), _number(group)))
    return found


def qos_limits(stdout: str) -> dict[str, QosLimits]:
    """The limits in the output of `show_qos`, by name."""
    return {
        name: QosLimits(_number(most), _number(group))
        for name, most, group in _rows(stdout, 3)
        if name
    }


def queued(stdout: str) -> list[QueuedTask]:
    """The array tasks in the output of `squeue_of_user`."""
    return [QueuedTask(*row) for row in _rows(stdout, 2)]


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitLimit:
    """A limit on jobs in the queue."""

    # Slurm's name.
    name: str
    most: int
    # Count of jobs in the queue that it applies to.
    there: int


def tightest(
    mine: Iterable[Association],
    qos: Mapping[str, QosLimits],
    there: list[QueuedTask],
    options: Mapping[str, str],
    partition_qos: str = "",
) -> SubmitLimit | None:
    """The limit with the least room for a job with these options; None if there is no limit.

    Limits of a group count only the user's own jobs: those of others may be hidden.
    """
    found = [
        SubmitLimit(name=name, most=most, there=sum(map(counts, there)))
        for association in _matching(mine, options)
        for name, most, counts in _limits_of(association, qos, options, partition_qos)
    ]
    return min(found, key=lambda limit: limit.most - limit.there, default=None)


_Limit = tuple[str, int, Callable[[QueuedTask], bool]]


def _limits_of(
    association: Association,
    qos: Mapping[str, QosLimits],
    options: Mapping[str, str],
    partition_qos: str,
) -> Iterator[_Limit]:
    def in_account(job: QueuedTask) -> bool:
        return job.account == association.account

    if association.max_submit is not None:
        yield "MaxSubmitJobs of the association", association.max_submit, in_account
    if association.group_submit is not None:
        yield "GrpSubmitJobs of the association", association.group_submit, in_account
    for name in dict.fromkeys((options.get("qos") or association.default_qos, partition_qos)):
        limits = qos.get(name, QosLimits(None, None))

        def in_qos(job: QueuedTask, name: str = name) -> bool:
            # The QOS of a partition counts all jobs in the partition, regardless of their own QOS.
            return name in (job.qos, partition_qos)

        if limits.max_submit is not None:
            yield f"MaxSubmitJobsPerUser of the QOS {name}", limits.max_submit, in_qos
        if limits.group_submit is not None:
            yield f"GrpSubmitJobs of the QOS {name}", limits.group_submit, in_qos


def _matching(mine: Iterable[Association], options: Mapping[str, str]) -> list[Association]:
    """The associations that a job may use: of its account, or of all accounts."""
    account, partition = options.get("account"), options.get("partition")
    return [
        one for one in mine if account in (None, one.account) and one.partition in ("", partition)
    ]


def _rows(stdout: str, count: int) -> Iterator[list[str]]:
    for line in stdout.splitlines():
        fields = line.strip().split("|")
        if len(fields) >= count:
            yield fields[:count]


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
