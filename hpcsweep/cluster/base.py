"""What accepts arrays, as the rest of the package sees it, and what it is given.

A new kind of cluster is a class that inherits `Defaults`, implements the rest of `Cluster`, and has
a line in `registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from hpcsweep.errors import ClusterError
from hpcsweep.records import Part
from hpcsweep.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a cluster says of itself."""

    # Empty where it does not tell.
    cluster_name: str
    # One more than the largest array task id; 0 where it has no arrays.
    max_array_size: int
    # Seconds between TERM and KILL.
    kill_wait_s: float
    # Array tasks that a submission may have; None where the cluster queues any number.
    max_tasks: int | None = None
    # What is assumed because it does not tell, for people.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Array:
    """What one part hands in: a script that each of its chunks runs, and what it needs."""

    part: Part
    # Unique; ends with `.<submission>.<part>`.
    job_name: str
    # Absolute path; started with the part's number.
    script: str
    # Absolute paths of the submission's directories.
    logs: str
    journals: str
    # Where the script starts: there the setup lines were tried.
    directory: str
    # sbatch's long options of the manifest.
    options: Mapping[str, str]


# One array task of a job: (array job id, array task id).
Element = tuple[str, int]


class Queued(NamedTuple):
    """What the queue says of one element."""

    # In Slurm's word.
    state: str
    # Why it waits, in the queue's words; empty where the cluster has none.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AccountingRow:
    """One row of the accounting."""

    job_id: str
    # Array task ids; a cancelled pending array keeps one row for all its elements for ever.
    tasks: tuple[int, ...]
    state: str
    # Whether state and end can be believed.
    is_final: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """What a cluster object is made from."""

    # What `--cluster` calls it, and a submission records: `slurm`, `submitit:local`.
    kind: str
    # As a submission recorded it; "" for a first one.
    state_dir: str
    # The sweep directory, absolute, which may not exist yet.
    sweep: Path
    settings: Settings


class Cluster(Protocol):
    """What accepts arrays. To make one starts nothing and asks nothing.

    A method that asks *raises* ClusterUnavailable when it cannot.
    """

    # --- traits ---

    @property
    def kind(self) -> str:
        """What `--cluster` calls it."""
        ...

    @property
    def state_dir(self) -> str:
        """State directory of an emulated one; "" for others."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """What its programs need, on top of our own environment."""
        ...

    @property
    def address(self) -> str:
        """What leads to it from here, without asking: by another one it may be another cluster."""
        ...

    @property
    def is_here(self) -> bool:
        """Whether it can be asked from this host, as far as one can tell without asking."""
        ...

    @property
    def is_own(self) -> bool:
        """Whether it is the user's alone: to poll it often disturbs nobody."""
        ...

    @property
    def takes_faults(self) -> bool:
        """Whether faults can be ordered in its state directory."""
        ...

    # --- before a submission ---

    def start(self) -> None:
        """Start what has to run before it can be asked. *Safe to repeat.*"""
        ...

    def prepare(self, options: Mapping[str, str]) -> None:
        """Make what these sbatch options name, where the user may. *Safe to repeat.*"""
        ...

    def limits(self) -> Limits:
        """Its name and limits."""
        ...

    def check_options(self, options: Mapping[str, str], throttle: int) -> list[str]:
        """Notes, for people, on what it makes of these options.

        *Raises* InputError, by name, for what it can neither do nor leave out.
        """
        ...

    def command(self, array: Array) -> str:
        """How the array would be submitted, for people."""
        ...

    def test_only(self, array: Array) -> str:
        """Ask whether it would take an array. Returns why it cannot be asked; "" when it would.

        *Raises* ClusterError when it would not.
        """
        ...

    # --- a submission ---

    def submit(self, array: Array, notify: Callable[[str], None]) -> str:
        """Submit one part, and `notify` of what that waits for. Returns the array's job id.

        *Raises* ClusterUnavailable when it is not known whether the array was accepted,
        ClusterError when it was refused.
        """
        ...

    def find_by_name(self, name: str, since: float) -> str | None:
        """The job id of an array by its unique name; None when it is nowhere.

        `since`: seconds of the epoch before which it was not submitted. *Raises* ClusterError
        where nothing but the scheduler's own programs could tell.
        """
        ...

    # --- afterwards ---

    def poll_queue(self, job_ids: Sequence[str]) -> dict[Element, Queued]:
        """State, in Slurm's words, of every element that the queue knows; others are over."""
        ...

    def poll_accounting(self, job_ids: Sequence[str]) -> list[AccountingRow] | None:
        """The accounting's rows about these arrays; None where there is no accounting."""
        ...

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel arrays. *Safe to repeat*: an ended one is no error."""
        ...

    def cancel_pending(self, job_ids: Sequence[str]) -> None:
        """Cancel what has not begun of arrays; what runs goes on. *Safe to repeat.*"""
        ...

    def logs(self, directory: Path, part: int, element: int) -> list[Path]:
        """Files in a submission's directory of logs with the output of one element.

        Asks nobody: the cluster need not be here.
        """
        ...

    def run_script(self, script: str, output: str, job_name: str) -> str:
        """Run a script on a compute node, as a job of its own. Returns the job id.

        *Raises* ClusterError, also where it takes nothing but arrays.
        """
        ...


class Defaults:
    """The answers of a cluster of which there is nothing special to say."""

    kind: str
    state_dir: str = ""
    environment: Mapping[str, str] = {}

    @property
    def address(self) -> str:
        """Its kind leads to it."""
        return self.kind

    @property
    def is_here(self) -> bool:
        """It is."""
        return True

    @property
    def is_own(self) -> bool:
        """It is shared."""
        return False

    @property
    def takes_faults(self) -> bool:
        """It has none on order."""
        return False

    def start(self) -> None:
        """Nothing to start."""

    def prepare(self, options: Mapping[str, str]) -> None:
        """Nothing to make."""

    def check_options(self, options: Mapping[str, str], throttle: int) -> list[str]:  # noqa: ARG002
        """Nothing to say."""
        return []

    def test_only(self, array: Array) -> str:  # noqa: ARG002
        """Nobody can be asked."""
        return f"the {self.kind} cluster cannot be asked before an array is submitted"

    def poll_accounting(self, job_ids: Sequence[str]) -> list[AccountingRow] | None:  # noqa: ARG002
        """There is no accounting."""
        return None

    def cancel_pending(self, job_ids: Sequence[str]) -> None:
        """Nothing: it does not say which of its elements have not begun."""

    def run_script(self, script: str, output: str, job_name: str) -> str:  # noqa: ARG002
        """*Raises* ClusterError: it takes nothing but arrays."""
        raise ClusterError(
            f"the {self.kind} cluster has no sbatch to send a single job by",
            next_step="Use --cluster slurm, or leave --node out.",
        )
