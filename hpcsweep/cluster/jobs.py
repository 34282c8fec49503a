"""Arrays and jobs: as they are submitted, and as queue and accounting show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hpcsweep.records import Part


@dataclass(frozen=True, kw_only=True, slots=True)
class Array:
    """One part to submit: the script that each of its chunks runs, and its options."""

    part: Part
    # Unique; ends with `.<submission>.<part>`.
    job_name: str
    # Absolute path; started with the part's number.
    script: str
    # Absolute path of the submission's directory of logs.
    logs: str
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


class OwnJob(NamedTuple):
    """The job in which this process runs."""

    job_id: str
    name: str
    # How often it was requeued.
    restarts: int


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
