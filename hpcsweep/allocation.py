"""What an array task has, and how many cases it runs at once. Pure.

A slot is the place for one case: a task has as many as its CPUs, memory and GPUs allow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from hpcsweep.quantities import memory_bytes
from hpcsweep.records import CaseNeeds

# sbatch's options that start several processes of a job, which a case of MPI uses together.
_TASKS = ("ntasks", "ntasks-per-node", "tasks-per-node")
_SEVERAL = ("nodes", *_TASKS, "ntasks-per-core", "ntasks-per-socket", "ntasks-per-gpu")
# One generic resource of a list: `gpu`, `gpu:2`, `gpu:a100:2`, `gres/gpu:a100=2`.
_GPUS = re.compile(r"(?:gres[/:])?gpu(?:[:=](?P<kind>[^:=]*[^:=\d][^:=]*))?(?:[:=](?P<count>\d+))?")
# The options that ask for GPUs, each of them instead of the ones behind it.
_GPU_OPTIONS = ("gpus", "gpus-per-node", "gpus-per-task", "gres", "tres-per-task")


class TaskResources(NamedTuple):
    """What one array task has on its node; None if that is not known."""

    cpus: int | None = None
    mem_bytes: int | None = None
    gpus: int | None = None


class GpuRequest(NamedTuple):
    """GPUs of one type that an option of sbatch asks for."""

    # One of the job, of each node or of each task.
    option: str
    # "" for any type.
    kind: str
    number: int


def task_resources(options: Mapping[str, str]) -> TaskResources:
    """What a task with these options of sbatch asks for.

    What is not asked for is not known; nor is anything but memory that a whole node has.
    """
    is_whole = is_whole_node(options)
    tasks = next((_number(options[name]) for name in _TASKS if name in options), 1)
    gpus = None if is_whole else _gpus(options, tasks)
    cpus = None
    for option, count in (("cpus-per-task", tasks), ("cpus-per-gpu", gpus)):
        number = _number(options.get(option, ""))
        if number is not None and count is not None and not is_whole:
            cpus = number * count
    memory = None
    for option, count in (("mem", 1), ("mem-per-cpu", cpus), ("mem-per-gpu", gpus)):
        size = memory_bytes(options.get(option, ""))
        if size is not None and count is not None:
            memory = size * count
    return TaskResources(cpus=cpus, mem_bytes=memory, gpus=gpus)


def is_whole_node(options: Mapping[str, str]) -> bool:
    """Whether a task gets all of its node. `exclusive: user` shares it with the user's others."""
    return options.get("exclusive") == ""


def starts_several(options: Mapping[str, str]) -> str:
    """The option that starts several processes of a job, or asks for several nodes; "" if none."""
    return next((name for name in _SEVERAL if options.get(name, "1") != "1"), "")


def asks_for_gpus(options: Mapping[str, str]) -> bool:
    """Whether a task asks for GPUs, in whatever number."""
    lists = (options.get(name, "") for name in ("gres", "tres-per-task"))
    return any(name.startswith("gpus") for name in options) or any("gpu" in text for text in lists)


def slots(needs: CaseNeeds, has: TaskResources) -> int | None:
    """How many cases with these needs run at once, at least 1; None if nothing limits it.

    A case needs at least one CPU.
    """
    pairs = (
        (needs.cpus or 1, has.cpus),
        (needs.mem_bytes, has.mem_bytes),
        (needs.gpus, has.gpus),
    )
    most = [available // needed for needed, available in pairs if needed and available is not None]
    if needs.slots is not None:
        most.append(needs.slots)
    return max(1, min(most)) if most else None


def cpus_of_case(needs: CaseNeeds, cpus: int) -> int:
    """The CPUs of each case of a task that has `cpus`."""
    return needs.cpus or max(1, cpus // (needs.slots or 1))


def gpu_requests(options: Mapping[str, str]) -> Iterator[GpuRequest]:
    """What each option asks for, type by type; a type without a count is one GPU."""
    for option in _GPU_OPTIONS:
        # `2`, `a100:2` and `a100` are short for the same behind `gpu:`.
        prefix = "gpu:" if option.startswith("gpus") else ""
        for part in options.get(option, "").split(","):
            if match := _GPUS.fullmatch(prefix + part.strip()):
                yield GpuRequest(option, match["kind"] or "", int(match["count"] or 1))


def _gpus(options: Mapping[str, str], tasks: int | None) -> int | None:
    counts: dict[str, int] = {}
    for request in gpu_requests(options):
        counts[request.option] = counts.get(request.option, 0) + request.number
    for option, count in counts.items():
        if not option.endswith("-per-task"):
            return count
        if tasks is not None:
            return count * tasks
    return None


def _number(text: str) -> int | None:
    """A count of 1 or more; None for anything else, which is another mistake."""
    return (int(text) or None) if text.isdecimal() else None
