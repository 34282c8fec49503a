"""The nouns of the emulated cluster: a job request, and a job as a record of the queue."""

from __future__ import annotations

import dataclasses
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from hpcsweep.emulator import hostlist

# Slurm's reason for a job after `scontrol requeuehold`.
REQUEUED_HELD = "job requeued in held state"
# The `client` of an allocation of `salloc --no-shell`, which no process holds.
NO_SHELL = "no-shell"


def gres_counts(text: str) -> dict[str, int]:
    """The counts by name in `gpu:2,shard` or `gpu:tesla:2`."""
    counts = {}
    for part in filter(None, text.split(",")):
        name, *rest = part.split(":")
        counts[name] = int(rest[-1]) if rest and rest[-1].isdigit() else 1
    return counts


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRequest:
    """The request of one sbatch (salloc, srun); shared by all elements of an array."""

    # The job id that sbatch printed; an array's base id.
    id: int
    # 16 hex digits; makes sbatch idempotent: a retry after a lost answer gets the same job.
    token: str
    submitted: float
    name: str
    user: str
    uid: int
    gid: int
    partition: str
    # Empty if none was requested.
    account: str = ""
    qos: str = "normal"
    comment: str = ""
    # Path of the script; empty for --wrap and standard input.
    command: str = ""
    arguments: tuple[str, ...] = ()
    submit_dir: str = "/"
    submit_host: str = ""
    work_dir: str = "/"
    # Patterns as given; an empty stderr means the file of stdout.
    stdout: str = ""
    stderr: str = ""
    append: bool = False
    umask: int = 0o022
    # The value of --array; empty for a plain job.
    array: str = ""
    # Minutes; 0 means no limit.
    time_limit: int = 0
    mem_mb: int = 0
    mem_per_cpu: bool = False
    # 0 if not given.
    cpus_per_task: int = 0
    ntasks: int = 0
    requeue: bool = True
    # `--requeue=expedite`.
    expedite: bool = False
    # Number of --signal, 0 for none; seconds before the limit; to the batch shell only.
    signal: int = 0
    signal_lead: int = 60
    signal_batch: bool = False
    dependency: str = ""
    nice: int = 0
    # Of --priority; 0 if not given.
    priority: int = 0
    submit_line: str = ""
    # Minimum and maximum of nodes (0: as many as needed); required and excluded nodes.
    nodes: int = 1
    max_nodes: int = 0
    nodelist: str = ""
    exclude: str = ""
    # 0 if not given.
    ntasks_per_node: int = 0
    # Whether it takes all CPUs of its nodes.
    exclusive: bool = False
    # Only shown, without effect.
    oversubscribe: bool = False
    # Standard input; empty for none.
    stdin: str = ""
    # For an allocation without a script: the program that holds it, and its process id.
    client: str = ""
    client_pid: int = 0
    constraint: str = ""
    # `gpu:2,shard:1` on each node.
    gres: str = ""
    wckey: str = ""
    kill_on_invalid_dep: bool = False

    @property
    def cpus_of_task(self) -> int:
        """CPUs of one task."""
        return max(1, self.cpus_per_task)

    @property
    def tasks(self) -> int:
        """Tasks of one element; one for each node by default."""
        return self.ntasks or self.nodes * max(1, self.ntasks_per_node)

    @property
    def cpus(self) -> int:
        """CPUs that one element asks for."""
        return self.cpus_of_task * self.tasks

    def memory_of(self, cpus: int) -> int:
        """Megabytes that one element uses on a node where it has this many CPUs."""
        return self.mem_mb * cpus if self.mem_per_cpu else self.mem_mb

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values of all fields."""
        return dataclasses.asdict(self)


@dataclass(kw_only=True, slots=True)
class Job:
    """One record of the queue: a plain job, an element of an array, or an array's remainder.

    Like in Slurm an array is one record until an element starts: the element is split off with a
    new id, and the last element keeps the array's base id.
    """

    id: int
    request: JobRequest
    # Array task id of a split-off element.
    task: int | None = None
    # Task ids of an array's remainder, ascending; empty for everything else.
    waiting: deque[int] = field(default_factory=deque)
    throttle: int = 0
    state: str = "PENDING"
    reason: str = "None"
    # JobHeldUser, JobHeldAdmin or REQUEUED_HELD; empty if not held.
    held: str = ""
    # From the failure of its node to its next start, with `--requeue=expedite`.
    expediting: bool = False
    priority: int = 0
    restart: int = 0
    # Seconds since the epoch; 0 for what has not happened.
    submitted: float = 0
    begin: float = 0
    started: float = 0
    ended: float = 0
    # Start of the current suspension (0: none), and the seconds of earlier suspensions.
    suspended: float = 0
    suspended_s: float = 0
    # The node of the batch shell, and the job's CPUs by node.
    node: str = ""
    places: dict[str, int] = field(default_factory=dict)
    # The numbers of its GPUs, by node.
    gpus: dict[str, list[int]] = field(default_factory=dict)
    # Process id (and session) of the batch shell, and its start in clock ticks after boot.
    pid: int = 0
    birth: int = 0
    # The final state of a job that is being terminated; empty otherwise.
    ending: str = ""
    exit_code: int = 0
    exit_signal: int = 0
    batch_state: str = ""
    batch_code: int = 0
    batch_signal: int = 0
    batch_ended: float = 0
    # Seconds of processor time that the batch script used, without its steps.
    user_s: float = 0
    system_s: float = 0
    # Whether one of its processes was killed for memory.
    oom: bool = False
    cancelled_by: int = -1
    # Minutes, if the limit was changed after the submission; else -1.
    new_limit: int = -1
    # Its last pending reason; the Reason of sacct.
    waited_for: str = "None"

    @property
    def is_remainder(self) -> bool:
        """Whether this record represents the elements of an array that have not started."""
        return bool(self.request.array) and self.task is None

    @property
    def time_limit(self) -> int:
        """Minutes; 0 means no limit."""
        return self.request.time_limit if self.new_limit < 0 else self.new_limit

    @property
    def node_list(self) -> str:
        """Its nodes as a Slurm node list; empty before it starts."""
        return hostlist.fold(self.places) if self.places else self.node

    @property
    def cpus(self) -> int:
        """Its allocated CPUs, or the requested ones before it starts."""
        return sum(self.places.values()) or self.request.cpus

    @property
    def is_final(self) -> bool:
        """Whether this run has ended."""
        return self.state not in ("PENDING", "RUNNING", "SUSPENDED", "COMPLETING")

    def run_time(self, now: float) -> float:
        """Seconds that it has run, without suspensions."""
        if not self.started:
            return 0
        return (self.ended or self.suspended or now) - self.started - self.suspended_s

    @property
    def elements(self) -> int:
        """The number of jobs that this record counts as."""
        return max(1, len(self.waiting))

    def event(self, now: float) -> dict[str, Any]:
        """The event for the log, with the fields that differ from those of a new job."""
        values: dict[str, Any] = {"e": "job", "at": round(now, 3), "request": self.request.id}
        for name, default in LOGGED.items():
            value = getattr(self, name)
            if value != default:
                values[name] = round(value, 3) if isinstance(value, float) else value
        return values


# The fields of a job in the event log, with the default values, which are omitted.
LOGGED: dict[str, Any] = {
    f.name: None if f.name == "id" else {} if f.name in ("places", "gpus") else f.default
    for f in dataclasses.fields(Job)
    if f.name not in ("request", "waiting")
}
