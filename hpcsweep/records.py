"""The nouns: read this file first.

Statuses, reasons and the frozen records that all other modules exchange; no behaviour. Three kinds
of number never share a name: `index` is ours (0-based position of a case in its source),
`array_task_id` and `job_id` are Slurm's, `chunk` is 0-based within a submission.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from enum import Enum, IntEnum
from typing import Any, NamedTuple

from hpcsweep.older_python import dataclass

# Arguments of a worker whose part is a plain job: it runs the only chunk of the part, or the chunks
# that no other node of the job has taken.
ALONE, NODE = "--alone", "--node"
# How the chunks of a submission are run: each by an array task; by jobs of one whole node each; by
# one job of several whole nodes.
MODES = ARRAY, NODE_JOBS, SINGLE_JOB = "array", "node", "single"
# Environment variable of every process in an array task: the path of its sweep directory.
IN_TASK = "HPCSWEEP_IN_TASK"
# EX_TEMPFAIL: the exit code of a worker that was asked to end, as there is more to do.
EXIT_STOPPED = 75
# Choices of `--rerun`: complete cases of other code, failed ones, complete ones whose files are
# gone, and all that have an outcome.
RERUNS = ("stale", "failed", "lost", "all")


class Status(str, Enum):
    """The state of a case. `unknown` means that it could not be asked, never failed or complete.

    Examples:
        >>> sweep.status().counts[hs.Status.FAILED]
        1
    """

    PENDING = "pending"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"

    # As in StrEnum, which Python 3.10 does not have.
    __str__ = str.__str__

    @property
    def is_final(self) -> bool:
        """Whether an attempt with this status is over.

        Examples:
            >>> [status.value for status in hs.Status if status.is_final]
            ['complete', 'failed', 'interrupted']
        """
        return self in (Status.COMPLETE, Status.FAILED, Status.INTERRUPTED)


class Reason(str, Enum):
    """Why an attempt did not complete. The first group means failed, the second interrupted."""

    ERROR = "error"
    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    OUT_OF_MEMORY = "out_of_memory"
    CASE_TIMEOUT = "case_timeout"
    SETUP = "setup"
    CHECK = "check"

    TIMEOUT = "timeout"
    NODE_FAIL = "node_fail"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"
    QUOTA = "quota"
    LOST = "lost"

    __str__ = str.__str__

    @property
    def status(self) -> Status:
        """The status of an attempt with this reason."""
        return Status.FAILED if self in _FAILURES else Status.INTERRUPTED


_FAILURES = frozenset(
    {
        Reason.ERROR,
        Reason.EXIT_CODE,
        Reason.SIGNAL,
        Reason.OUT_OF_MEMORY,
        Reason.CASE_TIMEOUT,
        Reason.SETUP,
        Reason.CHECK,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParamCase:
    """One parameter set, as `source[index]` returns it.

    Examples:
        >>> case = hs.grid(omega=[1.0, 2.0])[1]
        >>> isinstance(case, hs.ParamCase), case.index, case.params
        (True, 1, {'omega': 2.0})
    """

    # 0-based position in its source.
    index: int
    # Plain JSON values; a new dict at each access, so that users cannot change the source.
    params: dict[str, Any]
    # 16 hex digits, see `ids.case_id`.
    case_id: str
    # User labels, e.g. ("trial_7",).
    tags: tuple[str, ...] = ()
    # 0-based repetition of the same params; 0 without replicates.
    replicate: int = 0
    # Original text of params that a table writes differently from JSON; commands receive it. Not
    # part of the identity: 1e-3 and 0.001 are one value.
    written: dict[str, str] = field(default_factory=dict, repr=False)
    # Cells of a table that are no parameters, by column: they are in the table of results alone.
    carried: dict[str, Any] = field(default_factory=dict, repr=False)


class CaseTexts(NamedTuple):
    """What the index keeps of many cases, in columns."""

    case_ids: Sequence[str]
    # As JSON texts.
    params: Sequence[str]
    replicates: Sequence[int]
    tags: Sequence[tuple[str, ...]]

    @classmethod
    def of(cls, cases: Sequence[ParamCase], encode: Callable[[Any], str]) -> CaseTexts:
        """The texts of cases, their params as `encode` writes them."""
        return cls(
            case_ids=[case.case_id for case in cases],
            params=[encode(case.params) for case in cases],
            replicates=[case.replicate for case in cases],
            tags=[case.tags for case in cases],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One execution of a case. The order of the fields is the order of attempts."""

    # 0; each `submit --rerun` raises it by one.
    generation: int
    # 1-based number of the submission.
    submission: int
    # SLURM_RESTART_COUNT of the task; 0 at its first start.
    restart: int
    # 16 hex digits of the task start; empty for an attempt that no task began.
    token: str


class Word(IntEnum):
    """The reporter of an outcome; within one attempt the higher one wins (DESIGN invariant 7)."""

    # A worker that was told to end, and cannot know why.
    TERMINATED = 0
    # The scheduler's verdict, or a recorded cancel.
    SCHEDULER = 1
    # A worker that observed the end of the case.
    WORKER = 2


def error_text(error: Mapping[str, Any] | None) -> str:
    """The message of an `Outcome.error`, or its type if it has none: a bare `assert` has none.

    The message of a KeyError is the key alone.
    """
    kind, message = (str((error or {}).get(name) or "") for name in ("type", "message"))
    return f"{kind}: {message}" if message and kind == "KeyError" else message or kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of an attempt."""

    # Final, except for an attempt that is running.
    status: Status
    # None exactly for `complete` and `running`.
    reason: Reason | None = None
    # JSON values by name.
    metrics: dict[str, Any] = field(default_factory=dict)
    # type, message and traceback, or another explanation; None without an error.
    error: dict[str, Any] | None = None
    # UTC, ISO 8601 with milliseconds; None if the attempt never began.
    started: str | None = None
    # Like `started`; None while it runs.
    ended: str | None = None
    # Seconds on a monotonic clock.
    wall_seconds: float | None = None
    # User and system seconds of the case's processes.
    cpu_seconds: float | None = None
    # Bytes; the largest process of the case.
    max_rss_bytes: int | None = None
    # Bytes, file cache included; the most that the cgroup of the array task ever held, if it rose
    # to that during this case.
    cgroup_peak_bytes: int | None = None
    # 16 hex digits over the user's code as it ran; see `target.code_digest`.
    code_digest: str | None = None
    # Relative to the sweep directory; None if no run directory is kept.
    run_dir: str | None = None
    # What was known of each input file when the case began, see `input_files`; None without any.
    inputs: dict[str, Any] | None = None
    # True if nothing was run because a cache had the result.
    from_cache: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One sbatch of a submission."""

    # 0-based number in its submission.
    number: int
    # First chunk of the part; `chunk = first_chunk + array_task_id`.
    first_chunk: int
    # Count of chunks; the array is `0-(chunks-1)`.
    chunks: int
    # Limit of elements that run at once; 0 means no throttle.
    throttle: int = 0
    # False for a plain job: of a single chunk on a cluster without arrays, or of whole nodes.
    is_array: bool = True
    # Count of the whole nodes whose workers share the chunks of a plain job; 0 for no such job.
    nodes: int = 0

    def element(self, chunk: int) -> int:
        """Slurm's array task id for one of its chunks; 0 in a plain job."""
        return chunk - self.first_chunk if self.is_array else 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What an array task requests from Slurm: sbatch's long options by name."""

    # e.g. {"partition": "short", "time": "00:30:00", "cpus-per-task": "1"}.
    options: dict[str, str] = field(default_factory=dict)

    @property
    def cpus(self) -> int:
        """Count of CPUs that a process of the task asks for."""
        return int(self.options.get("cpus-per-task", "1"))


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseNeeds:
    """What one case needs of its task, and so how many run at once; None for no such need."""

    # Count of CPUs.
    cpus: int | None = None
    # Bytes of memory.
    mem_bytes: int | None = None
    # Count of GPUs.
    gpus: int | None = None
    # The most cases that a task runs at once.
    slots: int | None = None
