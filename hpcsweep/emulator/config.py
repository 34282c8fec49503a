"""The knobs of an emulated cluster."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsweep.emulator import names
from hpcsweep.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """A queue over all nodes."""

    name: str
    # UP, DOWN (accepts, starts nothing) or INACTIVE (refuses).
    state: str = "UP"
    # Minutes; 0 means no limit. A job above it is accepted and pends, as with EnforcePartLimits=NO.
    max_time: int = 0
    # Minutes for a job without --time; 0 means the maximum.
    default_time: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class EmulatorConfig:
    """How an emulated cluster looks and behaves. Defaults are Slurm's own where it has one."""

    cluster_name: str = "emulated"
    # Nodes are n1, n2, ...; each has `cpus` CPUs and `mem_mb` megabytes for --mem.
    nodes: int = 4
    cpus: int = 4
    mem_mb: int = 4000
    # The first one is the default.
    partitions: tuple[Partition, ...] = (Partition(name="main"),)
    # Of a job that names none; empty for a user without association.
    account: str = ""
    # Highest array index plus one, and highest count of jobs (array elements) in memory.
    max_array_size: int = 1001
    max_job_count: int = 10000
    # Seconds: from CONT and TERM to KILL; how long a finished job stays in `squeue -t all`.
    kill_wait_s: float = 30.0
    min_job_age_s: float = 300.0
    # Seconds from a requeue to the next start. Slurm: 121, or 1 + cred_expire.
    requeue_delay_s: float = 2.0
    # One second of --time and of --signal's lead takes this many seconds.
    time_scale: float = 1.0
    # Seconds between two looks at time limits; 0 looks at the exact moment (Slurm: 30).
    tick_s: float = 0.0
    # Seconds until accounting knows what happened; with phantom rows as Slurm shows them meanwhile.
    acct_lag_s: float = 0.0
    phantom_rows: bool = False
    # Seconds without jobs and requests after which the scheduler ends.
    idle_exit_s: float = 300.0
    # Days that accounting remembers a finished job.
    history_days: float = 30.0

    def __post_init__(self) -> None:
        if not self.partitions:
            raise InputError("an emulated cluster needs a partition", where="partitions")
        for name in ("nodes", "cpus", "mem_mb", "max_array_size", "max_job_count"):
            if getattr(self, name) < 1:
                raise InputError("must be 1 or more", where=name)

    @property
    def node_names(self) -> tuple[str, ...]:
        """`n1` up to the number of nodes."""
        return tuple(f"n{number}" for number in range(1, self.nodes + 1))

    def partition(self, name: str) -> Partition | None:
        """The partition of that name; the default one for an empty name."""
        if not name:
            return self.partitions[0]
        return next((one for one in self.partitions if one.name == name), None)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, for `from_json`."""
        return dataclasses.asdict(self)


def from_json(values: dict[str, Any], *, where: str) -> EmulatorConfig:
    """The configuration that `to_json` wrote.

    *Raises* InputError for a key that is not known.
    """
    known = {field.name for field in dataclasses.fields(EmulatorConfig)}
    if unknown := sorted(set(values) - known):
        raise InputError(
            f"unknown key {unknown[0]!r}",
            where=where,
            next_step=f"The keys are: {', '.join(sorted(known))}.",
        )
    try:
        partitions = tuple(Partition(**one) for one in values.get("partitions", [{"name": "main"}]))
    except TypeError as error:
        raise InputError(f"a partition is wrong: {error}", where=where) from error
    return EmulatorConfig(**(values | {"partitions": partitions}))


def load(state_dir: Path) -> EmulatorConfig:
    """The configuration in a state directory.

    *Raises* InputError when it is missing or unusable.
    """
    path = state_dir / names.CONFIG
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be read: {error}",
            where=str(path),
            next_step="Start the emulated cluster again, or remove its state directory.",
        ) from error
    return from_json(values, where=str(path))
