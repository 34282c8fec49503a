"""The limits of partitions, and the sizes of their nodes. Pure functions.

A job above `MaxTime` or `MaxNodes` is accepted and pends for ever (EnforcePartLimits=NO, Slurm's
default); one that no node can hold is refused by sbatch (22.05).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hpcsweep.cluster.ceilings import (
    ALL_CPUS,
    ALL_GPUS,
    CPUS,
    GPUS,
    MEMORY,
    NODES,
    TIME,
    Ceiling,
)
from hpcsweep.quantities import time_limit_seconds

# Flags of a QOS whose jobs a limit of the partition does not bind.
_FREED_BY = {TIME: "PartitionTimeLimit", NODES: "PartitionMaxNodes"}
# A resource in sinfo's `%G`: `gpu:2`, `gpu:a100:4(S:0-1)`.
_GPUS = re.compile(r"gpu(?::([^:(),]+))?:(\d+)(?:\([^)]*\))?")


def show_partitions() -> list[str]:
    """Query all partitions, hidden ones too, one per line."""
    return ["scontrol", "-a", "-o", "show", "partition"]


def sinfo() -> list[str]:
    """Query the kinds of nodes of each partition; `-e` groups nodes only if they are equal."""
    return ["sinfo", "-h", "-a", "-e", "-o", "%R|%D|%c|%m|%G"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeKind:
    """Nodes of the same size."""

    count: int
    cpus: int
    # Bytes.
    memory: int
    # Count of GPUs by type; "" for those without a type.
    gpus: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class PartitionLimits:
    """A partition; None for no limit."""

    name: str
    is_default: bool
    # Name of its QOS; "" for none.
    qos: str
    # Seconds; the second is what a preempted job has until TERM, GraceTime.
    max_time: int | None
    grace_s: int
    max_nodes: int | None
    # CPUs and bytes of each node; bytes for each CPU.
    max_cpus: int | None
    max_memory: int | None
    max_memory_per_cpu: int | None


def partitions(stdout: str, configuration: Mapping[str, str]) -> dict[str, PartitionLimits]:
    """The partitions in the output of `show_partitions`, by name.

    `configuration`: of the cluster, whose limits on memory hold where a partition has none.
    """
    by_name = {}
    for line in stdout.splitlines():
        values = dict(field.split("=", 1) for field in line.split() if "=" in field)
        name = values.get("PartitionName")
        if name is None:
            continue
        values |= _default_memory(values, configuration)
        by_name[name] = PartitionLimits(
            name=name,
            is_default=values.get("Default") == "YES",
            qos="" if values.get("QoS", "N/A") == "N/A" else values["QoS"],
            max_time=time_limit_seconds(values.get("MaxTime", "")),
            grace_s=_number(values.get("GraceTime", "")) or 0,
            max_nodes=_number(values.get("MaxNodes", "")),
            max_cpus=_number(values.get("MaxCPUsPerNode", "")),
            max_memory=_megabytes(values.get("MaxMemPerNode", "")),
            max_memory_per_cpu=_megabytes(values.get("MaxMemPerCPU", "")),
        )
    return by_name


def _default_memory(values: Mapping[str, str], configuration: Mapping[str, str]) -> dict[str, str]:
    """The cluster's limit on memory for a partition that has none of its own."""
    names = ("MaxMemPerNode", "MaxMemPerCPU")
    if any(values.get(name, "UNLIMITED") != "UNLIMITED" for name in names):
        return {}
    return {name: configuration[name] for name in names if name in configuration}


def node_kinds(stdout: str) -> dict[str, list[NodeKind]]:
    """The kinds of nodes in the output of `sinfo`, by partition."""
    by_partition: dict[str, list[NodeKind]] = {}
    for line in stdout.splitlines():
        name, *numbers, gres = (*line.strip().split("|"), "", "", "", "")[:5]
        if not all(number.isdecimal() for number in numbers):
            continue
        count, cpus, megabytes = map(int, numbers)
        if count:
            kind = NodeKind(count=count, cpus=cpus, memory=megabytes << 20, gpus=_gpus(gres))
            by_partition.setdefault(name, []).append(kind)
    return by_partition


def _gpus(gres: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kind, number in _GPUS.findall(gres):
        counts[kind] = counts.get(kind, 0) + int(number)
    return counts


def chosen(by_name: Mapping[str, PartitionLimits], option: str) -> list[PartitionLimits]:
    """The partitions that a job may run in, by its option; the default one without it."""
    names = [name for name in option.split(",") if name]
    if names:
        return [by_name[name] for name in names if name in by_name]
    return [partition for partition in by_name.values() if partition.is_default]


def ceilings(
    partition: PartitionLimits, nodes: list[NodeKind], flags: frozenset[str]
) -> Iterator[Ceiling]:
    """What a job in a partition can get at most; `flags` are those of its QOS."""
    where = f"of the partition {partition.name}"
    largest_cpus = max((kind.cpus for kind in nodes), default=None)
    for what, most, name in (
        (TIME, partition.max_time, "MaxTime"),
        (NODES, partition.max_nodes, "MaxNodes"),
        (CPUS, partition.max_cpus, "MaxCPUsPerNode"),
        (MEMORY, partition.max_memory, "MaxMemPerNode"),
    ):
        if most is not None and _FREED_BY.get(what) not in flags:
            yield Ceiling(what, most, f"{name} {where}")
    if partition.max_memory_per_cpu is not None and largest_cpus is not None:
        # Slurm gives a job more CPUs for its memory, up to those of a node (22.05).
        most = partition.max_memory_per_cpu * largest_cpus
        yield Ceiling(MEMORY, most, f"MaxMemPerCPU {where} for {largest_cpus} CPUs")
    if not nodes:  # none yet, as in a cloud
        return
    name = f"largest node {where}"
    yield Ceiling(CPUS, max(kind.cpus for kind in nodes), name)
    yield Ceiling(MEMORY, max(kind.memory for kind in nodes), name)
    yield Ceiling(GPUS, max(sum(kind.gpus.values()) for kind in nodes), name)
    name = f"all nodes {where}"
    yield Ceiling(NODES, sum(kind.count for kind in nodes), name)
    yield Ceiling(ALL_CPUS, sum(kind.count * kind.cpus for kind in nodes), name)
    yield Ceiling(ALL_GPUS, sum(kind.count * sum(kind.gpus.values()) for kind in nodes), name)
    for gpu in sorted({gpu for kind in nodes for gpu in kind.gpus if gpu}):
        most = max(kind.gpus.get(gpu, 0) for kind in nodes)
        yield Ceiling(GPUS, most, f"largest node {where}", gpu)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _megabytes(text: str) -> int | None:
    return int(text) << 20 if text.isdecimal() and int(text) else None
