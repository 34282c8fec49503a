"""What the attempts of array tasks that asked for the same used."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpcsweep.quantities import memory_bytes, requested_memory, time_limit_seconds
from hpcsweep.records import Reason, Resources, Status
from hpcsweep.state.moments import epoch_s
from hpcsweep.store.sweep_index import IndexRow

# The share of cases, and of tasks, whose use counts as enough: of few, it is the largest.
COVERED = 0.99
# Options of sbatch that ask for GPUs.
_GPUS = ("gres", "gpus", "gpus-per-node", "gpus-per-task")
# Several cases of a task count as one more at once only if they overlap by more than this share.
OVERLAP = 0.1


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
    cpus: Sequence[float]
    peaks: Sequence[int]
    # Seconds of whole tasks, sorted.
    task_seconds: Sequence[float]

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


def covering(values: Sequence[float]) -> float | None:
    """The smallest of these sorted values that `COVERED` of them do not exceed; None of none."""
    return values[math.ceil(COVERED * len(values)) - 1] if values else None


@dataclass(slots=True)
class _TaskTime:
    """An array task so far, in seconds since the epoch."""

    begin: float = math.inf
    end: float = -math.inf
    busy_s: float = 0.0

    @property
    def seconds(self) -> float:
        return max(0.0, self.end - self.begin)

    @property
    def at_once(self) -> int:
        """How many cases must have run at once to fit into its time."""
        return math.ceil(self.busy_s / self.seconds - OVERLAP) if self.seconds else 1


@dataclass(slots=True)
class Gathered:
    """The attempts of a class so far."""

    resources: Resources
    attempts: int = 0
    complete: int = 0
    cpu_used_s: float = 0.0
    ran_out: Counter[Reason] = field(default_factory=Counter)
    cpus: list[float] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)
    # By submission and job; a requeue stays a part of its task.
    tasks: dict[tuple[int, str | None], _TaskTime] = field(default_factory=dict)

    def add(self, attempt: IndexRow) -> None:
        """Add an attempt that ended."""
        wall, cpu, peak = (
            attempt[name] for name in ("wall_seconds", "cpu_seconds", "max_rss_bytes")
        )
        self.attempts += 1
        self.cpu_used_s += cpu or 0.0
        if attempt["reason"] in (Reason.OUT_OF_MEMORY, Reason.TIMEOUT):
            self.ran_out[Reason(attempt["reason"])] += 1
        if attempt["status"] == Status.COMPLETE:
            self.complete += 1
            if wall and cpu is not None:
                self.cpus.append(cpu / wall)
            if peak is not None:
                self.peaks.append(peak)
        task = self.tasks.setdefault((attempt["submission"], attempt["job_id"]), _TaskTime())
        task.begin = min(task.begin, epoch_s(attempt["started"]))
        task.end = max(task.end, epoch_s(attempt["ended"]))
        task.busy_s += wall or 0.0

    def made(self) -> ResourceUse:
        """The finished record."""
        seconds = sorted(task.seconds for task in self.tasks.values())
        return ResourceUse(
            resources=self.resources,
            attempts=self.attempts,
            complete=self.complete,
            tasks=len(self.tasks),
            ran_out=dict(self.ran_out),
            at_once=max(1, *(task.at_once for task in self.tasks.values())),
            cpu_asked_s=sum(seconds) * self.resources.cpus,
            cpu_used_s=self.cpu_used_s,
            cpus=sorted(self.cpus),
            peaks=sorted(self.peaks),
            task_seconds=seconds,
        )
