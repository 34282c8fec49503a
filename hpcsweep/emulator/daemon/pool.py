"""The pool of nodes: their free resources, and the allocation of nodes to jobs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from hpcsweep.emulator import gpus, hostlist
from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.jobs import Job, JobRequest, gres_counts


@dataclass(slots=True)
class Node:
    """One emulated node."""

    name: str
    free_cpus: int
    free_mem_mb: int
    free_gres: Counter[str]
    # The reason of a node that is down; empty while it is up.
    down: str = ""
    # Since when it is down, in seconds since the epoch.
    since: float = 0
    # The numbers of its GPUs that jobs have.
    used_gpus: set[int] = field(default_factory=set)


def empty_nodes(settings: EmulatorConfig) -> dict[str, Node]:
    """The nodes of an empty cluster."""
    return {
        name: Node(name, settings.cpus, settings.mem_mb, Counter(gres_counts(settings.gres)))
        for name in settings.node_names
    }


class Pool:
    """All nodes of the cluster; jobs fill them in order."""

    def __init__(self, settings: EmulatorConfig) -> None:
        self._settings = settings
        self.nodes = empty_nodes(settings)
        # Count of elements with an allocation, by base id; a throttle limits it.
        self.elements: Counter[int] = Counter()

    def grow(self, settings: EmulatorConfig) -> None:
        """Enlarge the nodes and add new ones, as in the new configuration."""
        old, self._settings = self._settings, settings
        more = Counter(gres_counts(settings.gres))
        more.subtract(gres_counts(old.gres))
        for node in self.nodes.values():
            node.free_cpus += settings.cpus - old.cpus
            node.free_mem_mb += settings.mem_mb - old.mem_mb
            node.free_gres.update(more)
        self.nodes = empty_nodes(settings) | self.nodes

    def find_places(self, request: JobRequest) -> dict[str, int]:
        """The nodes for a job, with its CPUs on each; empty if there is no room.

        The first single node with enough room, or else as few nodes as possible, emptiest first.
        """
        return _find_places(request, self.nodes, self._settings.cpus)

    def nodes_for(self, request: JobRequest) -> int:
        """The minimum number of nodes of a job."""
        named = len(hostlist.expand(request.nodelist))
        return max(request.nodes, named, -(-request.cpus // self._settings.cpus))

    def misfit(self, request: JobRequest) -> str:
        """The pending reason of a job that exceeds the empty cluster; empty if it fits."""
        settings = self._settings
        if request.nodes > settings.nodes:
            return "PartitionNodeLimit"
        if request.cpus > settings.nodes * settings.cpus:
            return "PartitionConfig"
        return (
            "" if _find_places(request, empty_nodes(settings), settings.cpus) else "BadConstraints"
        )

    def find_places_without(self, request: JobRequest, leaving: list[Job]) -> dict[str, int]:
        """Like `find_places`, as if the `leaving` jobs had ended."""
        nodes = {
            name: replace(node, free_gres=Counter(node.free_gres))
            for name, node in self.nodes.items()
        }
        for job in leaving:
            _change(nodes, job, -1)
        return _find_places(request, nodes, self._settings.cpus)

    def allocate(self, job: Job) -> None:
        """Allocate the CPUs, memory and gres of a job's places."""
        _change(self.nodes, job, 1)
        self.elements[job.request.id] += 1
        # --exclusive takes all GPUs, whether it asks for any or not (22.05 to 26.05).
        source = self._settings.gres if job.request.exclusive else job.request.gres
        if gpu_count := gres_counts(source).get("gpu", 0):
            nodes = {name: self.nodes[name] for name in job.places if name in self.nodes}
            # A new dict: the elements of an array share the empty one of their remainder.
            job.gpus = {
                name: gpus.lowest_free(gpu_count, node.used_gpus) for name, node in nodes.items()
            }
            for name, node in nodes.items():
                node.used_gpus.update(job.gpus[name])

    def release(self, job: Job) -> None:
        """Free the resources of a job."""
        _change(self.nodes, job, -1)
        self.elements[job.request.id] -= 1
        for name, numbers in job.gpus.items():
            if node := self.nodes.get(name):
                node.used_gpus.difference_update(numbers)

    def state(self, name: str) -> str:
        """The node's state in sinfo."""
        node = self.nodes[name]
        if node.down:
            return "down"
        if node.free_cpus == self._settings.cpus:
            return "idle"
        return "mixed" if node.free_cpus else "allocated"


def _change(nodes: dict[str, Node], job: Job, sign: int) -> None:
    """Allocate (1) or free (-1) a job's resources on its nodes; skips unknown nodes."""
    gres = gres_counts(job.request.gres)
    for name, cpus in job.places.items():
        if node := nodes.get(name):
            node.free_cpus -= sign * cpus
            node.free_mem_mb -= sign * job.request.memory_of(cpus)
            for key, count in gres.items():
                node.free_gres[key] -= sign * count


def _room(node: Node, request: JobRequest, all_cpus: int) -> int:
    """The number of the job's tasks that fit on the node now."""
    if node.down or (request.exclusive and node.free_cpus < all_cpus):
        return 0
    if any(node.free_gres[name] < count for name, count in gres_counts(request.gres).items()):
        return 0
    tasks = node.free_cpus // request.cpus_of_task
    if request.mem_per_cpu and request.mem_mb:
        tasks = min(tasks, node.free_mem_mb // (request.mem_mb * request.cpus_of_task))
    elif request.mem_mb > node.free_mem_mb:
        return 0
    return min(tasks, request.ntasks_per_node or tasks)


def _find_places(request: JobRequest, nodes: dict[str, Node], all_cpus: int) -> dict[str, int]:
    excluded, required = hostlist.expand(request.exclude), hostlist.expand(request.nodelist)
    room = {
        name: tasks
        for name, node in nodes.items()
        if name not in excluded and (tasks := _room(node, request, all_cpus))
    }
    if not set(required) <= set(room):
        return {}
    most = min(request.max_nodes or len(room), len(room))
    for count in range(max(1, request.nodes, len(required)), most + 1):
        chosen = _choose(room, required, count, request.tasks)
        if sum(chosen.values()) >= request.tasks:
            shares = distribute(max(request.tasks, count), chosen)
            cpus = {name: tasks * request.cpus_of_task for name, tasks in shares.items()}
            return dict.fromkeys(cpus, all_cpus) if request.exclusive else cpus
    return {}


def _choose(room: dict[str, int], required: list[str], count: int, tasks: int) -> dict[str, int]:
    """Choose `count` nodes, in order, with the number of tasks that fit on each."""
    others = [name for name in room if name not in required]
    if count == 1 and not required:
        others.sort(key=lambda name: room[name] < tasks)
    elif count > 1:
        others.sort(key=lambda name: -min(room[name], tasks))
    chosen = {*required, *others[: count - len(required)]}
    return {name: tasks for name, tasks in room.items() if name in chosen}


def distribute(tasks: int, room: dict[str, int]) -> dict[str, int]:
    """Distribute tasks over nodes: one on each, then fill the first ones (Slurm's `block`)."""
    left = tasks - len(room)
    shares = {}
    for name, most in room.items():
        more = max(0, min(most - 1, left))
        shares[name] = 1 + more
        left -= more
    return shares
