"""The nodes: what is free on them and which one takes a job."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.jobs import Job, Request, gres_counts


@dataclass(slots=True)
class Node:
    """One emulated node."""

    name: str
    free_cpus: int
    free_mem_mb: int
    free_gres: Counter[str]
    # Why it takes no jobs; empty while it is up.
    down: str = ""


class Pool:
    """All nodes, filled in their order."""

    def __init__(self, settings: EmulatorConfig) -> None:
        self._settings = settings
        self.nodes = {
            name: Node(name, settings.cpus, settings.mem_mb, Counter(gres_counts(settings.gres)))
            for name in settings.node_names
        }

    def grow(self, settings: EmulatorConfig) -> None:
        """Larger and more nodes, as the new configuration has them."""
        old, self._settings = self._settings, settings
        more = Counter(gres_counts(settings.gres))
        more.subtract(gres_counts(old.gres))
        for node in self.nodes.values():
            node.free_cpus += settings.cpus - old.cpus
            node.free_mem_mb += settings.mem_mb - old.mem_mb
            node.free_gres.update(more)
        fresh = Pool(settings).nodes
        self.nodes |= {name: node for name, node in fresh.items() if name not in self.nodes}

    def find(self, request: Request) -> str:
        """The first node that has room; empty when none has."""
        for node in self.nodes.values():
            if (
                not node.down
                and request.nodelist in ("", node.name)
                and all(node.free_gres[name] >= n for name, n in gres_counts(request.gres).items())
                and node.free_cpus >= request.cpus
                and node.free_mem_mb >= request.memory
            ):
                return node.name
        return ""

    def misfit(self, request: Request) -> str:
        """Why no node could ever take such a job; empty where one could."""
        settings = self._settings
        if request.nodes > settings.nodes:
            return "PartitionNodeLimit"
        if request.cpus > settings.nodes * settings.cpus:
            return "PartitionConfig"
        is_large = request.cpus > settings.cpus or request.memory > settings.mem_mb
        return "BadConstraints" if is_large else ""

    def would_fit(self, name: str, request: Request, leaving: list[Job]) -> bool:
        """Whether a node would have room if those jobs were gone."""
        node = self.nodes[name]
        gone = [job.request for job in leaving]
        gres = Counter(node.free_gres)
        for one in gone:
            gres.update(gres_counts(one.gres))
        return (
            node.free_cpus + sum(one.cpus for one in gone) >= request.cpus
            and node.free_mem_mb + sum(one.memory for one in gone) >= request.memory
            and all(gres[key] >= count for key, count in gres_counts(request.gres).items())
        )

    def take(self, name: str, request: Request) -> None:
        """Give a node's CPUs and memory to a job; a node that is no more has none."""
        if node := self.nodes.get(name):
            node.free_cpus -= request.cpus
            node.free_gres.subtract(gres_counts(request.gres))
            node.free_mem_mb -= request.memory

    def give_back(self, name: str, request: Request) -> None:
        """The job on that node is over."""
        if node := self.nodes.get(name):
            node.free_cpus += request.cpus
            node.free_gres.update(gres_counts(request.gres))
            node.free_mem_mb += request.memory

    def state(self, name: str) -> str:
        """The node's state in sinfo's words."""
        node = self.nodes[name]
        if node.down:
            return "down"
        if node.free_cpus == self._settings.cpus:
            return "idle"
        return "mixed" if node.free_cpus else "allocated"
