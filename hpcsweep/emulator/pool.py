"""The nodes: what is free on them and which one takes a job."""

from __future__ import annotations

from dataclasses import dataclass

from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.jobs import Request


@dataclass(slots=True)
class Node:
    """One emulated node."""

    name: str
    free_cpus: int
    free_mem_mb: int
    # Why it takes no jobs; empty while it is up.
    down: str = ""


class Pool:
    """All nodes, filled in their order."""

    def __init__(self, settings: EmulatorConfig) -> None:
        self._settings = settings
        self.nodes = {
            name: Node(name, settings.cpus, settings.mem_mb) for name in settings.node_names
        }

    def find(self, request: Request) -> str:
        """The first node that has room; empty when none has."""
        for node in self.nodes.values():
            if (
                not node.down
                and node.free_cpus >= request.cpus
                and node.free_mem_mb >= request.memory
            ):
                return node.name
        return ""

    def take(self, name: str, request: Request) -> None:
        """Give a node's CPUs and memory to a job; a node that is no more has none."""
        if node := self.nodes.get(name):
            node.free_cpus -= request.cpus
            node.free_mem_mb -= request.memory

    def give_back(self, name: str, request: Request) -> None:
        """The job on that node is over."""
        if node := self.nodes.get(name):
            node.free_cpus += request.cpus
            node.free_mem_mb += request.memory

    def state(self, name: str) -> str:
        """The node's state in sinfo's words."""
        node = self.nodes[name]
        if node.down:
            return "down"
        if node.free_cpus == self._settings.cpus:
            return "idle"
        return "mixed" if node.free_cpus else "allocated"
