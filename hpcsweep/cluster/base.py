"""The protocol of a cluster, and the nouns that it exchanges with the rest of the package.

A new kind of cluster is a class that inherits `Defaults`, implements the rest of `Cluster`, and has
a line in `registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Protocol

from hpcsweep.cluster.ceilings import MEMORY, OVERRIDABLE, TIME, Ceiling, Impossible, exceeding
from hpcsweep.errors import ClusterError
from hpcsweep.records import Part
from hpcsweep.settings import Settings

NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The name and the limits of a cluster."""

    # Empty if the cluster does not report it.
    cluster_name: str
    # One more than the largest array task id; 0 if the cluster has no arrays.
    max_array_size: int
    # Seconds between TERM and KILL.
    kill_wait_s: float
    # Whether it requeues a job that does not say whether it wants that; None: it requeues none
    # that asks for it.
    requeues: bool | None = None
    # Seconds from the decision to preempt a job with these options until it is ended.
    preempt_grace_s: float = 0.0
    # Whether it runs jobs that are no arrays, such as closing jobs.
    runs_jobs: bool = False
    # Array tasks that a submission may have; None if the cluster queues any number.
    max_tasks: int | None = None
    # Jobs and array tasks that a user may have queued or running at once, and those of this user
    # that are there; None where that is not limited or not known.
    max_jobs: int | None = None
    jobs: int = 0
    # Which limit that is; "" for none.
    max_jobs_name: str = ""
    # The most that one array task can get, and why none with these options can ever start.
    ceilings: tuple[Ceiling, ...] = ()
    impossible: tuple[Impossible, ...] = ()
    # Calls of sbatch that this user may still make in this hour; None for any number.
    calls: int | None = None
    # What of its limits could not be read, for people who ask.
    unread: tuple[str, ...] = ()
    # Its configuration by key, as it says it.
    configuration: Mapping[str, str] = field(default_factory=dict, repr=False)
    # When its limits were read, seconds of the epoch; None where they are not known.
    read_at: float | None = None
    # For people: limits that are assumed because the cluster does not report them.
    notes: tuple[str, ...] = ()

    @property
    def room(self) -> int | None:
        """How many more jobs and array tasks the queue takes; None for any number."""
        return None if self.max_jobs is None else max(0, self.max_jobs - self.jobs)

    @property
    def caps(self) -> dict[str, int]:
        """The most that a retry can ask for: seconds of "time", bytes of "mem" of a node."""
        caps: dict[str, int] = {}
        for ceiling in self.ceilings:
            if ceiling.what in (TIME, MEMORY):
                caps[ceiling.what] = min(ceiling.most, caps.get(ceiling.what, ceiling.most))
        return caps

    def overridden(self, own: Mapping[str, int], options: Mapping[str, str], jobs: int) -> Limits:
        """These limits with those that the user sets, for a task with these options of sbatch.

        `jobs`: all jobs and array tasks of this user in the queue.
        """
        own_ceilings = [
            Ceiling(what, own[what], f"limits.{what} of the manifest or profile")
            for what in OVERRIDABLE
            if what in own
        ]
        read = [ceiling for ceiling in self.ceilings if ceiling.what not in own]
        limits = replace(self, ceilings=(*own_ceilings, *read))
        if "max_array_size" in own:
            limits = replace(limits, max_array_size=own["max_array_size"])
        if "max_submit" in own:
            name = "limits.max_submit"
            limits = replace(limits, max_jobs=own["max_submit"], jobs=jobs, max_jobs_name=name)
        excesses = exceeding(options, limits.ceilings)
        return replace(limits, impossible=(*self.impossible, *excesses))


@dataclass(frozen=True, kw_only=True, slots=True)
class Array:
    """One part to submit: the script that each of its chunks runs, and its options."""

    part: Part
    # Unique; ends with `.<submission>.<part>`.
    job_name: str
    # Absolute path; started with the part's number.
    script: str
    # Absolute paths of the submission's directories.
    logs: str
    journals: str
    # The working directory of the script; the preflight ran the setup lines there.
    directory: str
    # sbatch's long options of the manifest.
    options: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleJob:
    """A script that runs as a job of its own, not as an array."""

    name: str
    # Absolute paths.
    script: str
    output: str
    # sbatch's long options.
    options: Mapping[str, str] = field(default_factory=dict)
    # Job id of an array that must have ended, in any state, before it starts (afterany).
    after: str | None = None


# One array task of a job: (array job id, array task id).
Element = tuple[str, int]


class Queued(NamedTuple):
    """The state of one element in the queue."""

    # One of Slurm's states.
    state: str
    # The queue's reason for a pending element; empty if the cluster has none.
    reason: str = ""
    # When it started, or is expected to: seconds of the epoch; None if the queue does not say.
    start: float | None = None


@dataclass(frozen=True, slots=True)
class AccountingRow:
    """One row of accounting."""

    job_id: str
    # Array task ids. A cancelled pending array keeps a single row for all its elements.
    tasks: tuple[int, ...]
    state: str
    # Whether state and end are reliable.
    is_final: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """The arguments from which a cluster object is made."""

    # As in `--cluster` and in a submission's record: `slurm`, `submitit:local`.
    kind: str
    # As a submission recorded it; "" for the first submission.
    state_dir: str
    # Absolute path of the sweep directory, which may not exist yet.
    sweep: Path
    settings: Settings


class Cluster(Protocol):
    """A cluster that accepts arrays. Its constructor starts and queries nothing.

    A method that queries the cluster *raises* ClusterUnavailable if it cannot.
    """

    # --- traits ---

    @property
    def kind(self) -> str:
        """Its name in `--cluster`."""
        ...

    @property
    def state_dir(self) -> str:
        """State directory of an emulated cluster; "" for others."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables of its programs, on top of our own environment."""
        ...

    @property
    def address(self) -> str:
        """How its programs reach it from here; another address may be another cluster. No query."""
        ...

    @property
    def is_here(self) -> bool:
        """Whether this host can query it, as far as is known without a query."""
        ...

    @property
    def is_own(self) -> bool:
        """Whether it belongs to this user alone, so that it may be polled often."""
        ...

    @property
    def takes_faults(self) -> bool:
        """Whether faults can be ordered in its state directory."""
        ...

    # --- before a submission ---

    def start(self) -> None:
        """Start the processes that it needs to answer queries. *Safe to repeat.*"""
        ...

    def prepare(self, options: Mapping[str, str]) -> None:
        """Create what these sbatch options name, if the user may. *Safe to repeat.*"""
        ...

    def limits(self) -> Limits:
        """Its name and limits."""
        ...

    def with_room(
        self, limits: Limits, options: Mapping[str, str], own: Mapping[str, int] = NOTHING
    ) -> Limits:
        """Its limits for a task with these sbatch options, and how many more its queue takes.

        `own`: the limits that the user sets, by key of `limits:`; they override what is read.
        """
        ...

    def remembered(
        self, options: Mapping[str, str], own: Mapping[str, int] = NOTHING
    ) -> Limits | None:
        """As `with_room` answered last, without a query and the queue; None if that is unknown."""
        ...

    def check_options(self, options: Mapping[str, str], throttle: int) -> list[str]:
        """Notes for people about options that it ignores or changes.

        *Raises* InputError naming an option that it can neither apply nor ignore.
        """
        ...

    def command(self, array: Array) -> str:
        """The command that submits the array, for people."""
        ...

    def test_only(self, array: Array) -> str:
        """Test whether it would accept an array. Returns why no test is possible; "" if accepted.

        *Raises* ClusterError if it would refuse the array.
        """
        ...

    # --- a submission ---

    def submit(self, array: Array, notify: Callable[[str], None]) -> str:
        """Submit one part; `notify` gets messages about waits. Returns the array's job id.

        *Raises* ClusterUnavailable if it is unknown whether the array was accepted, ClusterError
        if it was refused.
        """
        ...

    def find_by_name(self, name: str, since: float) -> str | None:
        """The job id of an array by its unique name; None if it does not exist.

        `since`: it was not submitted before this time, in seconds since the epoch. *Raises*
        ClusterError if only the scheduler's own programs could find it.
        """
        ...

    # --- afterwards ---

    def poll_queue(self, job_ids: Sequence[str]) -> dict[Element, Queued]:
        """The Slurm state of every element that the queue knows; all others have ended."""
        ...

    def poll_accounting(self, job_ids: Sequence[str]) -> list[AccountingRow] | None:
        """The accounting rows of these arrays; None if there is no accounting."""
        ...

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel arrays. *Safe to repeat*: an array that has ended is no error."""
        ...

    def cancel_pending(self, job_ids: Sequence[str]) -> None:
        """Cancel the pending elements of arrays; running ones continue. *Safe to repeat.*"""
        ...

    def cancel_tasks(self, tasks: Sequence[str]) -> None:
        """Cancel array tasks, each named as for `hold`. *Safe to repeat.*

        *Raises* ClusterError, also if it cannot cancel a part of an array.
        """
        ...

    def hold(self, tasks: Sequence[str]) -> None:
        """Hold queued array tasks, each named `123_[0-4]`, or `123` for a job that is no array.

        *Raises* ClusterError, also if it cannot hold anything.
        """
        ...

    def release(self, tasks: Sequence[str]) -> None:
        """Release held array tasks. *Safe to repeat*: one that has ended is no error."""
        ...

    def logs(self, directory: Path, part: int, element: int) -> list[Path]:
        """The files with the output of one element, in a submission's log directory.

        No query: the cluster need not be reachable.
        """
        ...

    def submit_job(self, job: SingleJob) -> str:
        """Submit a job that is no array. Returns its id.

        *Raises* ClusterError, also if the cluster accepts only arrays.
        """
        ...

    def requeue(self, job_id: str) -> None:
        """End a job that is no array, and let it start again later. *Raises* ClusterError."""
        ...


class Defaults:
    """Default implementations, for a cluster without special features."""

    kind: str
    state_dir: str = ""
    environment: Mapping[str, str] = {}

    @property
    def address(self) -> str:
        """Its kind."""
        return self.kind

    @property
    def is_here(self) -> bool:
        """Always."""
        return True

    @property
    def is_own(self) -> bool:
        """Never: it is shared."""
        return False

    @property
    def takes_faults(self) -> bool:
        """Never."""
        return False

    def start(self) -> None:
        """Nothing to start."""

    def prepare(self, options: Mapping[str, str]) -> None:
        """Nothing to create."""

    def with_room(
        self, limits: Limits, options: Mapping[str, str], own: Mapping[str, int] = NOTHING
    ) -> Limits:
        """What the user sets; it does not tell how many jobs are in its queue."""
        unread = ("limits.max_submit is not applied: jobs in the queue are not counted here",)
        rest = {name: most for name, most in own.items() if name != "max_submit"}
        if len(rest) < len(own):
            limits = replace(limits, unread=(*limits.unread, *unread))
        return limits.overridden(rest, options, jobs=0)

    def remembered(
        self,
        options: Mapping[str, str],  # noqa: ARG002
        own: Mapping[str, int] = NOTHING,  # noqa: ARG002
    ) -> Limits | None:
        """Nothing is remembered."""
        return None

    def check_options(self, options: Mapping[str, str], throttle: int) -> list[str]:  # noqa: ARG002
        """No notes."""
        return []

    def test_only(self, array: Array) -> str:  # noqa: ARG002
        """No test is possible."""
        return f"the {self.kind} cluster cannot test an array before a submission"

    def poll_accounting(self, job_ids: Sequence[str]) -> list[AccountingRow] | None:  # noqa: ARG002
        """There is no accounting."""
        return None

    def cancel_pending(self, job_ids: Sequence[str]) -> None:
        """Nothing: it does not distinguish pending elements."""

    def cancel_tasks(self, tasks: Sequence[str]) -> None:  # noqa: ARG002
        """*Raises* ClusterError: it cancels whole arrays."""
        raise ClusterError(f"the {self.kind} cluster cannot cancel a part of an array")

    def hold(self, tasks: Sequence[str]) -> None:  # noqa: ARG002
        """*Raises* ClusterError: it holds nothing."""
        raise ClusterError(f"the {self.kind} cluster cannot hold what waits in its queue")

    def release(self, tasks: Sequence[str]) -> None:
        """Nothing is held."""

    def submit_job(self, job: SingleJob) -> str:
        """*Raises* ClusterError: it accepts only arrays."""
        raise ClusterError(
            f"the {self.kind} cluster cannot run a single job such as {job.name}",
            next_step="Use --cluster slurm.",
        )

    def requeue(self, job_id: str) -> None:
        """*Raises* ClusterError: it has no single jobs."""
        raise ClusterError(f"the {self.kind} cluster has no job {job_id}")
