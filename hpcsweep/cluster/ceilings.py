"""What one array task asks for, and the most that a cluster gives to one. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from hpcsweep.allocation import gpu_requests
from hpcsweep.quantities import memory_bytes, requested_memory, time_limit_seconds, time_limit_text

# What is limited: seconds, nodes, and CPUs, bytes and GPUs of each node of a task.
TIME, NODES, CPUS, MEMORY, GPUS = "time", "nodes", "cpus", "mem", "gpus"
# CPUs, bytes and GPUs of all its nodes.
ALL_CPUS, ALL_MEMORY, ALL_GPUS = "all cpus", "all mem", "all gpus"
# What a user may set in `limits:`.
OVERRIDABLE = (TIME, NODES, CPUS, MEMORY, GPUS)
# Jobs and array tasks that run at once; no task asks for it.
RUNNING = "running"

_UNITS = {
    TIME: "",
    NODES: " nodes",
    CPUS: " CPUs on a node",
    MEMORY: " of memory on a node",
    GPUS: " GPUs on a node",
    ALL_CPUS: " CPUs",
    ALL_MEMORY: " of memory",
    ALL_GPUS: " GPUs",
    RUNNING: " tasks at once",
}


class Ceiling(NamedTuple):
    """The most that one array task can get of something."""

    what: str
    most: int
    # The limit: `MaxTime of the partition short`.
    name: str
    # The type of GPU that it counts; "" for all.
    kind: str = ""

    @property
    def text(self) -> str:
        """For people: `01:00:00 (MaxTime of the partition short)`."""
        return f"{amount_text(self.what, self.most)}{_unit(self)} ({self.name})"


class Demand(NamedTuple):
    """What one array task asks for."""

    what: str
    # Infinite for a task without a time limit.
    amount: float
    # The option of sbatch that asks for it.
    option: str
    # The type of GPU; "" for any.
    kind: str = ""


class Impossible(NamedTuple):
    """Why no array task with these options can ever start."""

    # The option of sbatch.
    option: str
    what: str
    next_step: str


def amount_text(what: str, amount: float) -> str:
    """An amount for people."""
    if amount == math.inf:
        return "no limit"
    if what == TIME:
        return time_limit_text(amount)
    if what in (MEMORY, ALL_MEMORY):
        return f"{amount / 2**20:,.0f} MiB"
    return f"{amount:g}"


def _unit(quantity: Ceiling | Demand) -> str:
    return _UNITS[quantity.what] + (f" of type {quantity.kind}" if quantity.kind else "")


def demands(options: Mapping[str, str]) -> list[Demand]:
    """What a job with these options of sbatch asks for, as far as it is certain."""
    return [*_of_time(options), *_of_cpus(options), *_of_memory(options), *_of_gpus(options)]


def exceeding(options: Mapping[str, str], ceilings: Iterable[Ceiling]) -> list[Impossible]:
    """The options that ask for more than a ceiling, each with one reason."""
    ceilings = list(ceilings)
    by_option: dict[str, Impossible] = {}
    for demand in demands(options):
        lowest = _lowest(demand, ceilings)
        if lowest is not None and demand.amount > lowest.most:
            by_option.setdefault(demand.option, _excess(demand, lowest))
    return list(by_option.values())


def loosest(alternatives: Iterable[Iterable[Ceiling]]) -> list[Ceiling]:
    """What holds if a task may choose: of each limit the highest, if no alternative lacks it."""
    by_alternative = [_lowest_of_each(ceilings) for ceilings in alternatives]
    return [
        max((lowest[key] for lowest in by_alternative if key in lowest), key=_most)
        for key in dict.fromkeys(key for lowest in by_alternative for key in lowest)
        # A type of GPU need not be in each of them.
        if key[1] or all(key in lowest for lowest in by_alternative)
    ]


def _lowest_of_each(ceilings: Iterable[Ceiling]) -> dict[tuple[str, str], Ceiling]:
    lowest: dict[tuple[str, str], Ceiling] = {}
    for ceiling in ceilings:
        key = ceiling.what, ceiling.kind
        lowest[key] = min(lowest.get(key, ceiling), ceiling, key=_most)
    return lowest


def _most(ceiling: Ceiling) -> int:
    return ceiling.most


def _excess(demand: Demand, ceiling: Ceiling) -> Impossible:
    amount, most = (amount_text(demand.what, number) for number in (demand.amount, ceiling.most))
    return Impossible(
        demand.option,
        f"asks for {amount}{_unit(demand)}, and a task can get {most} ({ceiling.name})",
        f"Ask for {most} or less, or name another partition, account or qos. If the cluster gives "
        "more than it says, `limits:` of the manifest or a profile says so.",
    )


def _lowest(demand: Demand, ceilings: list[Ceiling]) -> Ceiling | None:
    own = [ceiling for ceiling in ceilings if ceiling.what == demand.what]
    kinds = {ceiling.kind.casefold() for ceiling in own if ceiling.kind}
    if demand.kind and kinds and demand.kind.casefold() not in kinds:
        untyped = next(ceiling for ceiling in own if ceiling.kind)
        return untyped._replace(most=0, kind=demand.kind)
    fitting = [
        ceiling for ceiling in own if ceiling.kind.casefold() in ("", demand.kind.casefold())
    ]
    return min(fitting, key=_most, default=None)


def _of_time(options: Mapping[str, str]) -> Iterator[Demand]:
    # With `time-min` the scheduler may lower the limit to it.
    option = "time-min" if "time-min" in options else "time"
    if option in options:
        seconds = time_limit_seconds(options[option])
        # Slurm rounds a limit up to minutes (22.05).
        amount = math.inf if seconds is None else math.ceil(seconds / 60) * 60
        yield Demand(TIME, amount, option)


def nodes_of(options: Mapping[str, str]) -> int:
    """The least count of nodes of a job: of `2-4` it is 2."""
    match = re.match(r"\d+", options.get("nodes", ""))
    return max(1, int(match[0])) if match else 1


def _of_cpus(options: Mapping[str, str]) -> Iterator[Demand]:
    nodes = nodes_of(options)
    if "nodes" in options:
        yield Demand(NODES, nodes, "nodes")
    if "overcommit" in options:
        return
    cpus, tasks = _count(options, "cpus-per-task"), _count(options, "ntasks")
    together = 1 if "ntasks" in options else _count(options, "ntasks-per-node")
    widest = "ntasks-per-node" if together > 1 else "cpus-per-task"
    if cpus * together > 1:
        yield Demand(CPUS, cpus * together, widest)
    if cpus * max(tasks, nodes * together) > 1:
        asking = "ntasks" if tasks > 1 else "nodes" if nodes > 1 else widest
        yield Demand(ALL_CPUS, cpus * max(tasks, nodes * together), asking)


def _of_memory(options: Mapping[str, str]) -> Iterator[Demand]:
    option = next((name for name in ("mem", "mem-per-cpu", "mem-per-gpu") if name in options), "")
    if option == "mem-per-gpu":
        gpus = [demand.amount for demand in _of_gpus(options) if demand.what == GPUS]
        per_gpu = memory_bytes(options[option])
        amount = per_gpu and gpus and per_gpu * int(max(gpus))
    else:
        amount = requested_memory(options)
    if amount:
        yield Demand(MEMORY, amount, option)
        yield Demand(ALL_MEMORY, amount * nodes_of(options), option)


def _of_gpus(options: Mapping[str, str]) -> Iterator[Demand]:
    nodes = nodes_of(options)
    for option, kind, count in gpu_requests(options):
        if option == "gpus":
            yield Demand(ALL_GPUS, count, option, kind)
            # On equal shares of the nodes.
            yield Demand(GPUS, math.ceil(count / nodes) if "nodes" in options else 1, option, kind)
        else:
            yield Demand(GPUS, count, option, kind)
            yield Demand(ALL_GPUS, count * nodes, option, kind)


def _count(options: Mapping[str, str], name: str) -> int:
    text = options.get(name, "1")
    return int(text) if text.isdecimal() else 1
