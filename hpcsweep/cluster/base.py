"""What accepts arrays, as the rest of the house sees it, and what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from hpcsweep.records import Part

# Clusters that are the user's own: a question disturbs nobody, and the person is waiting.
OWN = ("emulated", "submitit:local")


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


class Cluster(Protocol):
    """What accepts arrays. A method that asks *raises* ClusterUnavailable when it cannot."""

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

    def limits(self) -> Limits:
        """Its name and limits."""
        ...

    def ready(self, options: Mapping[str, str], throttle: int) -> list[str]:
        """Say what it makes of these options, before anything is written.

        *Raises* InputError, by name, for what it can neither do nor leave out.
        """
        ...

    def shown(self, array: Array) -> str:
        """How the array would be handed in, for people."""
        ...

    def rehearse(self, array: Array) -> str:
        """Let the cluster say whether it would take an array. Returns why it cannot be asked.

        *Raises* ClusterError when it would not.
        """
        ...

    def hand_in(self, array: Array, say: Callable[[str], None]) -> str:
        """Hand in one part, and `say` what that waits for. Returns the array's job id.

        *Raises* ClusterUnavailable when it is not known whether the array was accepted,
        ClusterError when it was refused.
        """
        ...

    def elements(self, job_ids: Sequence[str]) -> dict[Element, Queued]:
        """What is said, in Slurm's words, of every element that is known; others are over."""
        ...

    def accounting(self, job_ids: Sequence[str]) -> list[AccountingRow] | None:
        """The accounting's rows about these arrays; None where there is no accounting."""
        ...

    def find(self, name: str, since: str) -> str | None:
        """The job id of an array by its unique name; None when it is nowhere.

        *Raises* ClusterError where nothing but the scheduler's own programs could tell.
        """
        ...

    def cancel(self, targets: Sequence[str]) -> None:
        """Cancel arrays. *Safe to repeat*: an ended one is no error."""
        ...

    def cancel_waiting(self, job_ids: Sequence[str]) -> None:
        """Cancel what has not begun of arrays; what runs goes on. *Safe to repeat.*"""
        ...
