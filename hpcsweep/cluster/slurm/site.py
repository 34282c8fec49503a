"""What a Slurm site says of its limits: the queries, and the limits in their output. Pure.

What a query that failed would have told is not known, and said to be so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self, TypedDict

from hpcsweep.cluster.ceilings import Ceiling, Impossible, loosest
from hpcsweep.cluster.limits import Limits
from hpcsweep.cluster.slurm import job_limits, partitions, text
from hpcsweep.cluster.slurm.job_limits import Association, JobLimits, QosLimits
from hpcsweep.cluster.slurm.partitions import NodeKind, PartitionLimits
from hpcsweep.cluster.slurm.submit_limits import QueuedTask, SubmitLimit, matching, tightest
from hpcsweep.sweepdir.parts import MAX_ARRAY_SIZE

# Slurm's default seconds between TERM and KILL.
KILL_WAIT_S = 30.0
# `JobSubmitPlugins` of a site that has none.
_NO_PLUGINS = "(null)"
# What the output of each query holds.
_TEXTS = {
    "partitions": "limits of partitions",
    "nodes": "sizes of nodes",
    "associations": "limits of associations",
    "accounts": "limits of accounts",
    "qos": "limits of QOS",
}


class SiteAnswers(TypedDict):
    """What the programs of a site printed; kept as JSON in the user's cache."""

    # Seconds of the epoch.
    time: float
    # The cluster's configuration by key.
    configuration: dict[str, str]
    # By query: the output, or the complaint of one that failed.
    output: dict[str, str]
    failed: dict[str, str]


def queries(user: str, configuration: Mapping[str, str]) -> dict[str, list[str]]:
    """The programs to run, by query; sacctmgr only where something of it is enforced."""
    queries = {"partitions": partitions.show_partitions(), "nodes": partitions.sinfo()}
    if job_limits.ASSOCIATIONS_ENFORCED & job_limits.enforced(configuration):
        name = configuration.get("ClusterName", "")
        queries["associations"] = job_limits.show_associations(user, name)
        queries["accounts"] = job_limits.show_accounts(name)
        queries["qos"] = job_limits.show_qos()
    return queries


def limits_in(configuration: Mapping[str, str], problem: str = "") -> Limits:
    """Name and limits of the cluster by `scontrol show config`; Slurm's defaults without it.

    `problem`: why there is no configuration.
    """
    size = configuration.get("MaxArraySize", "")
    kill_wait_s = text.seconds(configuration.get("KillWait", ""))
    notes = []
    if "ClusterName" not in configuration or not size.isdecimal():
        notes.append(
            "The cluster does not tell its limits "
            f"({problem or 'scontrol names none'}): assumed are Slurm's defaults, "
            f"MaxArraySize {MAX_ARRAY_SIZE}, KillWait {KILL_WAIT_S:g} s."
        )
    elif int(size) == 0:
        notes.append("The cluster has no job arrays (MaxArraySize 0): each task is a job.")
    return Limits(
        cluster_name=configuration.get("ClusterName", ""),
        max_array_size=int(size) if size.isdecimal() else MAX_ARRAY_SIZE,
        kill_wait_s=KILL_WAIT_S if kill_wait_s is None else kill_wait_s,
        # Slurm's default is 1 (22.05).
        requeues=configuration.get("JobRequeue", "1") != "0",
        runs_jobs=True,
        runs_nodes=True,
        notes=tuple(notes),
        configuration=configuration,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Partitions, nodes, associations and QOS of a site, as far as they could be read."""

    configuration: Mapping[str, str]
    partitions: Mapping[str, PartitionLimits]
    nodes: Mapping[str, list[NodeKind]]
    associations: list[Association]
    qos: Mapping[str, QosLimits]
    # For people.
    unread: tuple[str, ...]

    @classmethod
    def of(cls, answers: SiteAnswers) -> Self:
        """Parse what the programs printed."""
        output, configuration = answers["output"], answers["configuration"]
        return cls(
            configuration=configuration,
            partitions=partitions.partitions(output.get("partitions", ""), configuration),
            nodes=partitions.node_kinds(output.get("nodes", "")),
            associations=job_limits.associations(
                output.get("associations", ""), output.get("accounts", "")
            ),
            qos=job_limits.qos_by_name(output.get("qos", "")),
            unread=tuple(f"{_TEXTS[name]}: {why}" for name, why in answers["failed"].items()),
        )

    @property
    def _enforced(self) -> frozenset[str]:
        return job_limits.enforced(self.configuration)

    @property
    def enforces_limits(self) -> bool:
        """Whether limits of associations and QOS are enforced."""
        return bool(job_limits.LIMITS_ENFORCED & self._enforced)

    def limits(
        self, limits: Limits, options: Mapping[str, str], jobs: list[QueuedTask], read_at: float
    ) -> Limits:
        """The limits for a task with these options of sbatch; `jobs` are this user's in the queue.

        `read_at`: seconds of the epoch.
        """
        limits = replace(
            limits,
            ceilings=tuple(self.ceilings(options)),
            impossible=tuple(self.unknown_names(options)),
            preempt_grace_s=self._preempt_grace_s(options),
            unread=self.unread,
            read_at=read_at,
        )
        room = self.room(options, jobs) if self.enforces_limits else None
        if room is None:
            return limits
        return replace(limits, max_jobs=room.most, jobs=room.jobs, max_jobs_name=room.name)

    def _preempt_grace_s(self, options: Mapping[str, str]) -> int:
        """Seconds that a preempted task has until TERM, by its QOS or else its partition."""
        if self.configuration.get("PreemptType", "").endswith("/qos"):
            among = self._associations_of(options)
            names = {options.get("qos") or association.default_qos for association in among}
            graces = [self.qos[name].grace_s for name in names if name in self.qos]
        else:
            graces = [partition.grace_s for partition in self._partitions_of(options)]
        return min(graces, default=0)

    def ceilings(self, options: Mapping[str, str]) -> list[Ceiling]:
        """The most that a task with these options of sbatch can get.

        It may run in several partitions, or under several associations: the most of all of them.
        """
        among: list[PartitionLimits | None] = [*self._partitions_of(options)]
        associations: list[Association | None] = [*self._associations_of(options)]
        return loosest(
            self._ceilings(partition, association, options)
            for partition in among or [None]
            for association in associations or [None]
        )

    def _ceilings(
        self,
        partition: PartitionLimits | None,
        association: Association | None,
        options: Mapping[str, str],
    ) -> Iterator[Ceiling]:
        ordered: list[JobLimits] = []
        if association is not None:
            of_partition = partition.qos if partition else ""
            ordered = job_limits.levels(association, self.qos, options, of_partition)
        if partition is not None:
            flags = [self.qos[level.qos].flags for level in ordered if level.qos]
            nodes = self.nodes.get(partition.name, [])
            yield from partitions.ceilings(partition, nodes, frozenset().union(*flags))
        if self.enforces_limits:
            yield from job_limits.ceilings(ordered)

    def room(self, options: Mapping[str, str], queued: list[QueuedTask]) -> SubmitLimit | None:
        """The limit with the least room in the queue; None if there is no limit."""
        of_partitions = {name: partition.qos for name, partition in self.partitions.items()}
        with_partition = self._with_partition(options)
        return tightest(self.associations, self.qos, queued, with_partition, of_partitions)

    def unknown_names(self, options: Mapping[str, str]) -> Iterator[Impossible]:
        """The partition, account and QOS of a job that this user cannot name."""
        if self.configuration.get("JobSubmitPlugins", _NO_PLUGINS) != _NO_PLUGINS:
            return  # they may change what a job asks for
        for name in filter(None, options.get("partition", "").split(",")):
            if self.partitions and name not in self.partitions:
                yield _unknown("partition", name, self.partitions)
        account, qos = options.get("account", ""), options.get("qos", "")
        accounts = {association.account.casefold() for association in self.associations}
        if account and accounts and account.casefold() not in accounts:
            yield _unknown("account", account, accounts)
        allowed = {
            name for association in self._associations_of(options) for name in association.qos
        }
        if qos and allowed and job_limits.QOS_ENFORCED & self._enforced and qos not in allowed:
            yield _unknown("qos", qos, allowed)

    def _partitions_of(self, options: Mapping[str, str]) -> list[PartitionLimits]:
        return partitions.chosen(self.partitions, options.get("partition", ""))

    def _associations_of(self, options: Mapping[str, str]) -> list[Association]:
        return matching(self.associations, self._with_partition(options))

    def _with_partition(self, options: Mapping[str, str]) -> dict[str, str]:
        """The options, with the default partition where they name none."""
        names = ",".join(partition.name for partition in self._partitions_of(options))
        return {**options, **({"partition": names} if names else {})}


def _unknown(option: str, name: str, names: Iterable[str]) -> Impossible:
    return Impossible(
        option,
        f"is {name}, and this cluster has no such {option} for you",
        f"Known are {', '.join(sorted(names))}.",
    )
