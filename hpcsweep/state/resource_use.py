"""What the attempts of array tasks that asked for the same used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcsweep.quantities import memory_bytes, requested_memory, time_limit_seconds
from hpcsweep.records import Reason, Resources, Status
from hpcsweep.state.executions import REASONS, STATUSES, Executions, Floats

# The share of cases, and of tasks, whose use counts as enough: of few, it is the largest.
COVERED = 0.99
# Options of sbatch that ask for GPUs.
_GPUS = ("gres", "gpus", "gpus-per-node", "gpus-per-task")
# Several cases of a task count as one more at once only if they overlap by more than this share.
OVERLAP = 0.1
# What ends an attempt that asked for too little.
_RAN_OUT = (Reason.OUT_OF_MEMORY, Reason.TIMEOUT)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceUse:
    """What the attempts of array tasks that asked for the same used."""

    resources: Resources
    # Counts of attempts that ended, of complete ones, and of array tasks.
    attempts: int
    complete: int
    tasks: int
    # Attempts that this ended: `out_of_memory`, `timeout`.
    ran_out: Mapping[Reason, int]
    # Most cases of a task that ran at once.
    at_once: int
    # Seconds of CPUs: of the tasks from the start of the first case to the end of the last, times
    # their CPUs; and used by the cases.
    cpu_asked_s: float
    cpu_used_s: float
    # Of complete cases: CPUs in use on average, and peaks of memory in bytes, sorted.
    cpus: Floats
    peaks: Floats
    # Seconds of whole tasks, sorted.
    task_seconds: Floats

    @property
    def memory_asked(self) -> int | None:
        """Bytes on a node; None if not asked for, or if the task has the node for itself."""
        return None if self.has_whole_nodes else requested_memory(self.resources.options)

    @property
    def has_whole_nodes(self) -> bool:
        """Whether a task has all memory of its nodes, whatever it needs."""
        options = self.resources.options
        return "exclusive" in options or ("mem" in options and memory_bytes(options["mem"]) is None)

    @property
    def memory_needed(self) -> int | None:
        """Bytes that were enough for `COVERED` of the cases, as many at once as there were."""
        peak = covering(self.peaks)
        return None if peak is None else int(peak) * self.at_once

    @property
    def time_asked_s(self) -> int | None:
        """The time limit in seconds; None if none was asked for."""
        return time_limit_seconds(self.resources.options.get("time", ""))

    @property
    def time_needed_s(self) -> float | None:
        """Seconds that were enough for `COVERED` of the tasks."""
        return covering(self.task_seconds)

    @property
    def gpus(self) -> str | None:
        """What was asked for of GPUs, whose use nobody measures."""
        options = self.resources.options
        asked = [f"{name}={options[name]}" for name in _GPUS if name in options]
        return ", ".join(asked) or None

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "asked": dict(self.resources.options),
            "attempts": self.attempts,
            "complete": self.complete,
            "tasks": self.tasks,
            "cases_at_once": self.at_once,
            "ran_out": {reason.value: count for reason, count in self.ran_out.items()},
            "cpu_seconds": {"asked": self.cpu_asked_s, "used": self.cpu_used_s},
            "memory_bytes": {"asked": self.memory_asked, "needed": self.memory_needed},
            "task_seconds": {"asked": self.time_asked_s, "needed": self.time_needed_s},
            "gpus": self.gpus,
        }


def covering(values: Floats) -> float | None:
    """The smallest of these sorted values that `COVERED` of them do not exceed; None of none."""
    return float(values[math.ceil(COVERED * len(values)) - 1]) if len(values) else None


def resource_use(resources: Resources, ended: Executions) -> ResourceUse:
    """What these executions used, which ended, and whose tasks asked for this."""
    complete = ended.status == STATUSES.index(Status.COMPLETE)
    has_cpus = complete & (ended.wall > 0) & ~np.isnan(ended.cpu)
    has_peak = complete & ~np.isnan(ended.peak)
    seconds, at_once = _tasks(ended)
    counts = {one: int((ended.reason == REASONS.index(one)).sum()) for one in _RAN_OUT}
    return ResourceUse(
        resources=resources,
        attempts=len(ended),
        complete=int(complete.sum()),
        tasks=len(seconds),
        ran_out={reason: count for reason, count in counts.items() if count},
        at_once=at_once,
        cpu_asked_s=float(seconds.sum()) * resources.cpus,
        cpu_used_s=float(np.nansum(ended.cpu)),
        cpus=np.sort(ended.cpu[has_cpus] / ended.wall[has_cpus]),
        peaks=np.sort(ended.peak[has_peak]),
        task_seconds=np.sort(seconds),
    )


def _tasks(ended: Executions) -> tuple[Floats, int]:
    """The seconds of each array task, and the most cases of one that ran at once.

    That is how many must have run at once to fit into the time of their task.
    """
    order = np.argsort(ended.task, kind="stable")
    firsts = np.flatnonzero(np.diff(ended.task[order], prepend=-1))
    begin = np.minimum.reduceat(ended.start[order], firsts)
    end = np.maximum.reduceat(ended.end[order], firsts)
    busy = np.add.reduceat(np.nan_to_num(ended.wall[order]), firsts)
    seconds = np.maximum(0.0, end - begin)
    ran = seconds > 0
    at_once = np.ceil(busy[ran] / seconds[ran] - OVERLAP)
    return seconds, int(at_once.max(initial=1.0))
