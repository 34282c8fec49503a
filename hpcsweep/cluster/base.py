"""The protocol of a cluster; `jobs` and `limits` have the nouns that it exchanges.

A new kind of cluster is a class that inherits `Defaults`, implements the rest of `Cluster`, and has
a line in `registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from hpcsweep.cluster.jobs import AccountingRow, Array, Element, OwnJob, Queued, SingleJob
from hpcsweep.cluster.limits import NOTHING, Limits
from hpcsweep.cluster.scripts import PLAIN, ScriptForm
from hpcsweep.errors import ClusterError
from hpcsweep.files import names
from hpcsweep.settings import Settings


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

    @property
    def script_form(self) -> ScriptForm:
        """How its batch scripts are written."""
        ...

    def own_job(self) -> OwnJob | None:
        """The job of this cluster in which this process runs; None outside of one. No query."""
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

    def poll_accounting(self, elements: Sequence[Element]) -> list[AccountingRow] | None:
        """The accounting rows of these elements, maybe of others of their arrays, too.

        None if there is no accounting.
        """
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

    def run_again(self, own: OwnJob, job: SingleJob) -> str:
        """Let the job of this process, which is no array, start again later. Returns its id then.

        `job`: as it was submitted, without what it waited for. This process may be ended at once.
        *Raises* ClusterError.
        """
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

    @property
    def script_form(self) -> ScriptForm:
        """Scripts without directives of its own."""
        return PLAIN

    def own_job(self) -> OwnJob | None:
        """None: it tells no process of its job."""
        return None

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

    def poll_accounting(self, elements: Sequence[Element]) -> list[AccountingRow] | None:  # noqa: ARG002
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

    def logs(self, directory: Path, part: int, element: int) -> list[Path]:
        """The files `<part>.<job>_<element>.log`, one for each job id that the part ever had."""
        return [
            directory / name
            for name in names(directory)
            if name.startswith(f"{part}.") and name.endswith(f"_{element}.log")
        ]

    def submit_job(self, job: SingleJob) -> str:
        """*Raises* ClusterError: it accepts only arrays."""
        raise ClusterError(
            f"the {self.kind} cluster cannot run a single job such as {job.name}",
            next_step="Use --cluster slurm.",
        )

    def run_again(self, own: OwnJob, job: SingleJob) -> str:  # noqa: ARG002
        """*Raises* ClusterError: it has no single jobs."""
        raise ClusterError(f"the {self.kind} cluster has no job {own.job_id}")
