"""The nouns: read this file first.

Statuses, reasons and the frozen records that every other module hands around. Nothing here does
anything. Three kinds of number never share a name: `index` is ours (0-based position of a case in
its source), `array_task_id` and `job_id` are Slurm's, `chunk` is 0-based within a submission.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

# The argument of a worker whose part is no array: it runs the part's one chunk.
ALONE = "--alone"
# The environment variable that whatever runs in an array task has.
IN_TASK = "HPCSWEEP_IN_TASK"
# What a submission may compute again: complete cases of other code, failed ones, or both and all.
RERUNS = ("stale", "failed", "all")


class Status(StrEnum):
    """What is known of a case. `unknown` means "could not ask": never failed, never done."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"

    @property
    def is_final(self) -> bool:
        """Whether the attempt that has this status is over."""
        return self in (Status.COMPLETE, Status.FAILED, Status.INTERRUPTED)


class Reason(StrEnum):
    """Why an attempt did not complete. The first group makes it failed, the second interrupted."""

    ERROR = "error"
    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    OUT_OF_MEMORY = "out_of_memory"
    CASE_TIMEOUT = "case_timeout"
    SETUP = "setup"

    TIMEOUT = "timeout"
    NODE_FAIL = "node_fail"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    QUOTA = "quota"
    LOST = "lost"

    @property
    def status(self) -> Status:
        """The status that this reason gives an attempt."""
        return Status.FAILED if self in _FAILURES else Status.INTERRUPTED


_FAILURES = frozenset(
    {
        Reason.ERROR,
        Reason.EXIT_CODE,
        Reason.SIGNAL,
        Reason.OUT_OF_MEMORY,
        Reason.CASE_TIMEOUT,
        Reason.SETUP,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParamCase:
    """One parameter set, as `source[index]` gives it."""

    # 0-based position in the source that made it.
    index: int
    # Plain JSON values; a fresh dict at every access, so that no user can change the source.
    params: dict[str, Any]
    # 16 hex digits, see `ids.case_id`.
    case_id: str
    # Free labels, e.g. ("trial_7",).
    tags: tuple[str, ...] = ()
    # 0-based repetition of the same params; 0 where there are no replicates.
    replicate: int = 0
    # The params that a table writes otherwise than JSON does, in its own characters: what a
    # command gets. No part of the identity: 1e-3 and 0.001 are one value.
    written: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Attempt:
    """One execution of a case. The order of the fields is the order of attempts."""

    # 0, raised by one by `submit --rerun`.
    generation: int
    # 1-based number of the submission.
    submission: int
    # Slurm's SLURM_RESTART_COUNT of the task, 0 on its first start.
    restart: int
    # 16 hex digits of the task start; empty for an attempt that no task ever began.
    token: str


class Word(IntEnum):
    """Whose word an outcome is; the higher one wins within one attempt (DESIGN invariant 7)."""

    # The worker was told to end and cannot know why.
    TERMINATED = 0
    # The scheduler's verdict, or a recorded cancel.
    SCHEDULER = 1
    # A worker that saw how the case ended.
    WORKER = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What an attempt left behind."""

    # Final, but for an attempt that only began.
    status: Status
    # None exactly for `complete` and `running`.
    reason: Reason | None = None
    # JSON values by name.
    metrics: dict[str, Any] = field(default_factory=dict)
    # type, message and traceback, or whatever says why; None when nothing went wrong.
    error: dict[str, Any] | None = None
    # UTC, ISO 8601 with milliseconds; None when the attempt never began.
    started: str | None = None
    # As `started`; None while it runs.
    ended: str | None = None
    # Seconds on a monotonic clock.
    wall_seconds: float | None = None
    # Seconds of user and system time of the case's processes.
    cpu_seconds: float | None = None
    # Bytes, the largest process of the case.
    max_rss_bytes: int | None = None
    # 16 hex digits over the user's code as it ran, see `target.code_digest`.
    code_digest: str | None = None
    # Relative to the sweep directory; None where no run directory is kept.
    run_dir: str | None = None
    # Nothing was run: a cache had the result.
    from_cache: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One sbatch of a submission."""

    # 0-based number in its submission.
    number: int
    # First chunk of the part; `chunk = first_chunk + array_task_id`.
    first_chunk: int
    # Count of chunks, so the array is `0-(chunks-1)`.
    chunks: int
    # Highest number of elements that run at once; 0 means no throttle.
    throttle: int = 0
    # Whether it is an array; one of a single chunk is a plain job where a cluster has no arrays.
    is_array: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What an array task asks of Slurm: sbatch's own long options by name."""

    # e.g. {"partition": "short", "time": "00:30:00", "cpus-per-task": "1"}.
    options: dict[str, str] = field(default_factory=dict)

    @property
    def cpus_per_case(self) -> int:
        """Count of CPUs of the one slot of a task."""
        return int(self.options.get("cpus-per-task", "1"))
