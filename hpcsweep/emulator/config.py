"""The configuration of an emulated cluster."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsweep.emulator import names, versions
from hpcsweep.emulator.faults.chance import Fault, FaultPlan
from hpcsweep.emulator.versions import SlurmVersion
from hpcsweep.errors import InputError
from hpcsweep.files import DOCUMENT_MAX, parse_json, read_regular

# By the annotation of a field: the types that its value may have, and the words for them.
_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
}
_MINUTES = ("max_time", "default_time", "max_wall")
_WORDS = {"str": "a text", "bool": "true or false", "int": "an integer", "float": "a number"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """A queue over all nodes."""

    name: str
    # UP, DOWN (accepts jobs, starts none) or INACTIVE (refuses jobs).
    state: str = "UP"
    # Minutes; 0 means no limit. A job above it is accepted and pends, as with EnforcePartLimits=NO.
    max_time: int = 0
    # Minutes for a job without --time; 0 means the maximum.
    default_time: int = 0
    # A job without free resources preempts jobs of partitions with a lower tier.
    priority_tier: int = 1
    # How jobs of this partition are preempted: OFF (never), REQUEUE or CANCEL.
    preempt_mode: str = "OFF"
    # Seconds until they end; with `preempt_send_user_signal` their --signal is sent at once, also
    # without a grace.
    grace_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Qos:
    """A quality of service; 0 is no limit."""

    name: str
    priority: int = 0
    max_submit_per_user: int = 0
    max_jobs_per_user: int = 0
    # Minutes.
    max_wall: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class EmulatorConfig:
    """The size and behaviour of an emulated cluster; defaults are Slurm's, if Slurm has one."""

    cluster_name: str = "emulated"
    # The version of Slurm to emulate: 22.05, 24.11 or 26.05.
    slurm_version: str = versions.DEFAULT
    # Whether nothing is created on demand, and unlisted accounts and QOS are refused.
    strict: bool = False
    # Nodes are n1, n2, ...; each has `cpus` CPUs and `mem_mb` megabytes for --mem.
    nodes: int = 4
    cpus: int = 4
    mem_mb: int = 4000
    # The first one is the default.
    partitions: tuple[Partition, ...] = (Partition(name="main"),)
    # The account of a job that names none; empty for a user without association.
    account: str = ""
    # The existing accounts; with `strict` others are refused, unless the list is empty.
    accounts: tuple[str, ...] = ()
    # The same for QOS; the first one is the default.
    qos: tuple[Qos, ...] = ()
    # Features and gres of every node: names for --constraint, and `gpu:4,shard:8` for --gres.
    features: tuple[str, ...] = ()
    gres: str = ""
    # Jobs (array elements) of one user, submitted and running; 0 is no limit.
    max_submit_jobs: int = 0
    max_jobs: int = 0
    preempt_send_user_signal: bool = False
    # Seconds between two polls of the memory of jobs with --mem; 0 disables the limit.
    mem_poll_s: float = 1.0
    # Highest array index plus one, and highest count of jobs (array elements) in memory.
    max_array_size: int = 1001
    max_job_count: int = 10000
    first_job_id: int = 1
    # Seconds: from CONT and TERM to KILL; how long a finished job stays in `squeue -t all`.
    kill_wait_s: float = 30.0
    min_job_age_s: float = 300.0
    # Seconds from a submission to the earliest start: programs rely on handling sbatch's answer
    # before the job starts (Slurm 22.05: 0.1 to 0.9 s).
    start_delay_s: float = 0.25
    # Seconds from a requeue to the next start. Slurm: 121, or 1 + cred_expire.
    requeue_delay_s: float = 2.0
    # Real seconds per second of --time and of --signal's lead.
    time_scale: float = 1.0
    # Minutes by which a job may exceed its --time before it is ended.
    over_time_limit: int = 0
    # Seconds between two checks of time limits; 0 checks at the exact moment (Slurm: 30).
    tick_s: float = 0.0
    # Delay of accounting in seconds; whether it shows phantom rows meanwhile.
    acct_lag_s: float = 0.0
    phantom_rows: bool = False
    # Faults to inject; `seed` and the job names decide which ones strike. The part of a name that
    # the regular expression `faults_ignore` matches is ignored.
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    faults_ignore: str = ""
    # Seconds without jobs and requests after which the scheduler exits.
    idle_exit_s: float = 300.0
    # Days that accounting keeps a finished job.
    history_days: float = 30.0

    def __post_init__(self) -> None:
        if self.slurm_version not in versions.VERSIONS:
            raise InputError(
                f"is {self.slurm_version!r}, not a version of Slurm that the emulator speaks",
                where="slurm_version",
                next_step=f"It speaks {', '.join(versions.VERSIONS)}; write it in quotes.",
            )
        parts: list[EmulatorConfig | Partition | Qos | Fault] = [self]
        for part in (*parts, *self.partitions, *self.qos, *self.faults):
            _check_types(part)
        if not self.partitions:
            raise InputError("an emulated cluster needs a partition", where="partitions")
        for name in ("nodes", "cpus", "mem_mb", "max_array_size", "max_job_count", "first_job_id"):
            if getattr(self, name) < 1:
                raise InputError("must be 1 or more", where=name)

    @property
    def version(self) -> SlurmVersion:
        """The Slurm that it speaks."""
        return versions.VERSIONS[self.slurm_version]

    @property
    def default_qos(self) -> str:
        """The QOS of a job that names none."""
        return self.qos[0].name if self.qos else "normal"

    @property
    def node_names(self) -> tuple[str, ...]:
        """All node names, from `n1` on."""
        return tuple(f"n{number}" for number in range(1, self.nodes + 1))

    @property
    def fault_plan(self) -> FaultPlan:
        """The function that decides which faults strike."""
        return FaultPlan(seed=self.seed, faults=self.faults, ignore=self.faults_ignore)

    def partition(self, name: str) -> Partition | None:
        """The partition of that name; the default one for an empty name."""
        if not name:
            return self.partitions[0]
        return next((partition for partition in self.partitions if partition.name == name), None)

    def tier(self, name: str) -> int:
        """The PriorityTier of a partition."""
        partition = self.partition(name)
        return partition.priority_tier if partition else 1

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, for `from_json`."""
        return dataclasses.asdict(self)


def from_json(values: Any, *, where: str) -> EmulatorConfig:
    """The configuration that `to_json` wrote.

    *Raises* InputError for anything else.
    """
    if not isinstance(values, dict):
        raise InputError("holds no JSON object", where=where)
    names = {field.name for field in dataclasses.fields(EmulatorConfig)}
    if unknown := sorted(set(values) - names):
        raise InputError(
            f"unknown key {unknown[0]!r}",
            where=where,
            next_step=f"The keys are: {', '.join(sorted(names))}.",
        )
    values = dict(values)
    kinds: dict[str, type[Partition | Qos | Fault]] = {
        "partitions": Partition,
        "qos": Qos,
        "faults": Fault,
    }
    try:
        for name in ("partitions", "qos", "faults", "accounts", "features"):
            if name in values:
                make = kinds.get(name)
                values[name] = tuple(make(**entry) if make else entry for entry in values[name])
        return EmulatorConfig(**values)
    except TypeError as error:
        raise InputError(f"a value has the wrong shape: {error}", where=where) from error


def _check_types(part: EmulatorConfig | Partition | Qos | Fault) -> None:
    """*Raises* InputError for a value that is not of its field's type."""
    for field in dataclasses.fields(part):
        value, kind = getattr(part, field.name), str(field.type)
        if kind in _KINDS and type(value) not in _KINDS[kind]:
            raise InputError(
                f"is {value!r}, not {_WORDS[kind]}",
                where=field.name,
                next_step="It counts minutes, as in 90." if field.name in _MINUTES else "",
            )


def load(state_dir: Path) -> EmulatorConfig:
    """The configuration in a state directory.

    *Raises* InputError if it is missing or invalid.
    """
    path = state_dir / names.CONFIG
    try:
        values = parse_json(read_regular(path, DOCUMENT_MAX))
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be read: {error}",
            where=str(path),
            next_step="Start the emulated cluster again, or remove its state directory.",
        ) from error
    return from_json(values, where=str(path))
