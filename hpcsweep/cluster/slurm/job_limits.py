"""The limits of associations and QOS, as sacctmgr prints them. Pure functions.

Of a limit that several levels set, the first one counts (22.05): the QOS of the partition, the QOS
of the job, then the association. With the flag OverPartQOS the QOS of the job comes first.
A limit on a group counts at the association, its account, and all accounts above: each of them.
sacctmgr shows the other limits of accounts as those of the associations below, which inherit them.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from hpcsweep.cluster.ceilings import ALL_CPUS, ALL_GPUS, ALL_MEMORY, NODES, RUNNING, TIME, Ceiling
from hpcsweep.quantities import memory_bytes, time_limit_seconds

# `AccountingStorageEnforce` of a cluster that enforces limits, QOS and associations.
LIMITS_ENFORCED = frozenset({"limits", "safe", "all"})
QOS_ENFORCED = frozenset({"qos", "all"})
ASSOCIATIONS_ENFORCED = LIMITS_ENFORCED | QOS_ENFORCED | {"associations", "wckeys"}

# Columns of sacctmgr for limits on a user's jobs, and Slurm's names of these limits.
_COUNTS = {
    "maxsubmitpu": "MaxSubmitJobsPerUser",
    "maxsubmit": "MaxSubmitJobs",
    "grpsubmit": "GrpSubmitJobs",
    "maxjobspu": "MaxJobsPerUser",
    "maxjobs": "MaxJobs",
    "grpjobs": "GrpJobs",
}
_RUNNING = ("MaxJobsPerUser", "MaxJobs", "GrpJobs")
# Those for limits on the resources of a job; it can have no more than a user or a group.
_RESOURCES = {"maxtres": "MaxTRESPerJob", "maxtrespu": "MaxTRESPerUser", "grptres": "GrpTRES"}
_TRES = {"cpu": ALL_CPUS, "mem": ALL_MEMORY, "node": NODES, "gres/gpu": ALL_GPUS}
_OF_ASSOCIATION = ("maxsubmit", "grpsubmit", "maxjobs", "maxwall", "maxtres", "grptres")
_OF_ACCOUNT = ("grpsubmit", "grpjobs", "grptres")
_OF_QOS = ("maxsubmitpu", "grpsubmit", "maxjobspu", "grpjobs", "maxwall", *_RESOURCES)
# Those that an answer in the user's cache may lack.
_LATER_OF_QOS = ("gracetime",)


def enforced(configuration: Mapping[str, str]) -> frozenset[str]:
    """What a cluster enforces of its accounting: the words of `AccountingStorageEnforce`."""
    return frozenset(configuration.get("AccountingStorageEnforce", "").lower().split(","))


def show_associations(user: str, cluster: str) -> list[str]:
    """Query a user's associations on a cluster, which may share its database with others.

    Each shows its inherited limits.
    """
    fields = ",".join(("account,partition,qos,defaultqos", *_OF_ASSOCIATION))
    where = ("where", f"user={user}", *([f"cluster={cluster}"] if cluster else ()))
    return ["sacctmgr", "-n", "-P", "show", "assoc", *where, f"format={fields}"]


def show_accounts(cluster: str) -> list[str]:
    """Query the limits on groups of all accounts of a cluster: which are above a user's is unknown.

    Rows without a user are those of accounts; every user sees them (22.05).
    """
    fields = ",".join(("account,parentname", *_OF_ACCOUNT))
    where = ("where", "user=", *([f"cluster={cluster}"] if cluster else ()))
    return ["sacctmgr", "-n", "-P", "show", "assoc", *where, f"format={fields}"]


def show_qos() -> list[str]:
    """Query the limits of all QOS."""
    fields = ",".join(("name,flags", *_OF_QOS, *_LATER_OF_QOS))
    return ["sacctmgr", "-n", "-P", "show", "qos", f"format={fields}"]


@dataclass(frozen=True, kw_only=True, slots=True)
class JobLimits:
    """The limits that one association, account or QOS sets."""

    # Name of the QOS; "" for an association and an account.
    qos: str = ""
    # Name of the account; "" for an association and a QOS.
    account: str = ""
    # The accounts whose jobs the limits of an account count.
    below: Container[str] = ()
    # Counts of jobs by Slurm's name of the limit.
    counts: Mapping[str, int] = field(default_factory=dict)
    # The most that a job can get of something, by that and Slurm's name of the limit.
    most: dict[tuple[str, str], int] = field(default_factory=dict)

    def named(self, limit: str) -> str:
        """A limit for people: `MaxWall of the QOS short`."""
        if self.account:
            return f"{limit} of the account {self.account}"
        return f"{limit} of the {f'QOS {self.qos}' if self.qos else 'association'}"


class Association(NamedTuple):
    """One association of a user."""

    account: str
    # "" for all partitions.
    partition: str
    # The QOS that its jobs may name, and that of a job which names none.
    qos: tuple[str, ...]
    default_qos: str
    limits: JobLimits
    # Those on groups, of its account and all accounts above.
    of_accounts: tuple[JobLimits, ...] = ()


class QosLimits(NamedTuple):
    """A quality of service."""

    flags: frozenset[str]
    limits: JobLimits
    # Seconds that a preempted job has until TERM, with PreemptType=preempt/qos.
    grace_s: int = 0


def associations(stdout: str, accounts: str = "") -> list[Association]:
    """The associations in the outputs of `show_associations` and `show_accounts`."""
    rows = []
    above = _accounts_above(accounts)
    for (account, partition, names, default), limits in _rows(stdout, 4, _OF_ASSOCIATION):
        # Without a default: `normal` if the user has it, else the first one (22.05).
        several = tuple(names.split(","))
        qos = default or ("normal" if "normal" in several else several[0])
        job_limits = _limits("", limits)
        of_accounts = tuple(above.get(account, ()))
        rows.append(Association(account, partition, several, qos, job_limits, of_accounts))
    return rows


def _accounts_above(stdout: str) -> dict[str, list[JobLimits]]:
    """By account its limits on groups, then those of the accounts above it."""
    parents: dict[str, str] = {}
    limits: dict[str, JobLimits] = {}
    below: dict[str, set[str]] = {}
    for (account, parent), values in _rows(stdout, 2, _OF_ACCOUNT):
        parents[account] = parent
        own = _limits("", values)
        if own.counts or own.most:
            below[account] = set()
            limits[account] = replace(own, account=account, below=below[account])
    by_account: dict[str, list[JobLimits]] = {}
    for account in parents:
        line = [name for name in _line(account, parents) if name in limits]
        for name in line:
            below[name].add(account)
        by_account[account] = [limits[name] for name in line]
    return by_account


def _line(account: str, parents: Mapping[str, str]) -> Iterator[str]:
    """An account, its parent, and so on; none twice."""
    seen: set[str] = set()
    while account in parents and account not in seen:
        seen.add(account)
        yield account
        account = parents[account]


def qos_by_name(stdout: str) -> dict[str, QosLimits]:
    """The QOS in the output of `show_qos`."""
    return {
        name: QosLimits(
            flags=frozenset(flags.split(",")) - {""},
            limits=_limits(name, values),
            grace_s=int(time_limit_seconds(values.get("gracetime", "")) or 0),
        )
        for (name, flags), values in _rows(stdout, 2, _OF_QOS, _LATER_OF_QOS)
        if name
    }


def levels(
    association: Association,
    qos: Mapping[str, QosLimits],
    options: Mapping[str, str],
    partition_qos: str = "",
) -> list[JobLimits]:
    """The limits of a job with these options of sbatch, those that come first at the beginning."""
    own = options.get("qos") or association.default_qos
    names = [partition_qos, own]
    if own in qos and "OverPartQOS" in qos[own].flags:
        names.reverse()
    of_qos = (qos[name].limits for name in dict.fromkeys(names) if name in qos)
    return [*of_qos, association.limits, *association.of_accounts]


def ceilings(ordered: list[JobLimits]) -> Iterator[Ceiling]:
    """The most that a job can get by these levels.

    Of each limit that of the first QOS; without one, those of the association and its accounts.
    """
    seen: set[tuple[str, str]] = set()
    for level in ordered:
        running = {(RUNNING, name): level.counts[name] for name in _RUNNING if name in level.counts}
        for key, most in (level.most | running).items():
            if key not in seen:
                if level.qos:
                    seen.add(key)
                what, limit = key
                yield Ceiling(what, most, level.named(limit))


def _limits(qos: str, values: Mapping[str, str]) -> JobLimits:
    counts = {_COUNTS[key]: int(values[key]) for key in _COUNTS if values.get(key, "").isdecimal()}
    return JobLimits(qos=qos, counts=counts, most=dict(_most(values)))


def _most(values: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], int]]:
    seconds = time_limit_seconds(values.get("maxwall", ""))
    if seconds is not None:
        yield (TIME, "MaxWall"), seconds
    for column, limit in _RESOURCES.items():
        for part in values.get(column, "").split(","):
            tres, _, amount = part.partition("=")
            what = _TRES.get(tres)
            most = memory_bytes(amount) if what == ALL_MEMORY else _number(amount)
            if what is not None and most is not None:
                yield (what, limit), most


def _rows(
    stdout: str, leading: int, columns: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The first fields of each line, and the others by column."""
    for line in stdout.splitlines():
        fields = line.strip().split("|")
        if len(fields) >= leading + len(columns):
            names = (*columns, *optional)
            yield fields[:leading], dict(zip(names, fields[leading:], strict=False))


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
