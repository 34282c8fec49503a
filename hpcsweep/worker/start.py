"""The identity of this task start, and the chunk that it runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hpcsweep.errors import SweepError
from hpcsweep.files import token
from hpcsweep.indexset import IndexSet
from hpcsweep.journal import RANKED_MAX, journals_of_chunk
from hpcsweep.records import Attempt
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import Plan, WorkerRules

if TYPE_CHECKING:
    from hpcsweep.worker.process import Share
    from hpcsweep.worker.shared_limit import SharedLimit
    from hpcsweep.worker.timelimit import TimeLeft, TimeLimit


# The restart of a start whose scheduler does not count them: the chunk's journals do.
UNCOUNTED = -1


class Start(NamedTuple):
    """One start of an array task, by the environment that Slurm set or by `--start`."""

    array_task_id: int
    # The scheduler's ids as text: of the array, and of this element.
    array_job_id: str
    job_id: str
    cluster: str
    node: str
    restart: int = UNCOUNTED
    # What the task has; None: as Slurm's variables say.
    cpus: int | None = None
    mem_bytes: int | None = None
    # Whether the scheduler sends a signal before the time limit.
    is_warned: bool = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], *, alone: bool = False) -> Start:
        """The start of an array task, or with `alone` of a plain job.

        *Raises* SweepError outside of one.
        """
        job_id = environment.get("SLURM_JOB_ID", "")
        try:
            array_task_id = 0 if alone else int(environment["SLURM_ARRAY_TASK_ID"])
        except (KeyError, ValueError) as error:
            raise SweepError(
                "SLURM_ARRAY_TASK_ID is not set",
                next_step="The worker is started by the array's script; to run one case here, "
                "use `hpcsweep run MANIFEST --index I`.",
            ) from error
        # Slurm sets it from the first restart on (22.05).
        restart = int(environment.get("SLURM_RESTART_COUNT") or 0)
        if restart > RANKED_MAX:
            raise SweepError(
                f"Slurm has started this task {restart} times; {RANKED_MAX} is the most",
                next_step="Cancel the array and submit again.",
            )
        return cls(
            array_task_id=array_task_id,
            restart=restart,
            array_job_id=job_id if alone else environment.get("SLURM_ARRAY_JOB_ID", ""),
            job_id=job_id,
            cluster=environment.get("SLURM_CLUSTER_NAME", ""),
            node=environment.get("SLURMD_NODENAME") or os.uname().nodename,
        )

    def token_of(self, chunk: int) -> str:
        """The token of the attempts of a chunk in this start of a job, on each of its nodes."""
        text = f"{self.cluster} {self.job_id} {self.restart} {chunk}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class TakenChunk(NamedTuple):
    """A chunk of a whole node's worker, which runs one in each slot."""

    # The same for every worker of the job: the chunk's journal can be made by one of them only.
    token: str
    # The worker of its node ingests for all chunks.
    rules: WorkerRules
    # None if it is not known.
    limit: TimeLimit | None
    # What the slot has of the node; None if that could not be found out.
    share: Share | None
    # What all cases of the node took so far.
    time_left: TimeLeft
    # Of the job; the worker of the node asks for it.
    shared_limit: SharedLimit


class Assignment(NamedTuple):
    """The chunk that one start has to run."""

    sweep: SweepDirectory
    plan: Plan
    # The chunk's number in the plan.
    chunk: int
    start: Start
    # Of each of its cases.
    attempt: Attempt

    @classmethod
    def find(
        cls,
        sweep: SweepDirectory,
        plan: Plan,
        part: int,
        start: Start,
        taken: TakenChunk | None = None,
    ) -> Assignment:
        """The chunk of an element of a part. *Raises* SweepError if there is none."""
        first_chunk, chunks = plan.part(part).first_chunk, plan.part(part).chunks
        chunk = first_chunk + start.array_task_id
        if start.array_task_id >= chunks:
            raise SweepError(
                f"element {start.array_task_id} is beyond part {part} of submission "
                f"{plan.submission}"
            )
        restart = start.restart
        if restart == UNCOUNTED:
            earlier = journals_of_chunk(sweep.journal_dir(plan.submission), chunk)
            restart = max((int(path.name.split(".")[1]) + 1 for path in earlier), default=0)
            start = start._replace(restart=restart)
        attempt = Attempt(
            generation=plan.generation,
            submission=plan.submission,
            restart=restart,
            token=taken.token if taken else token(),
        )
        return cls(sweep=sweep, plan=plan, chunk=chunk, start=start, attempt=attempt)

    @property
    def indices(self) -> IndexSet:
        """The cases of the chunk."""
        return self.plan.chunk(self.chunk)

    @property
    def order(self) -> Iterator[int]:
        """The cases of the chunk in the order in which they begin."""
        indices = self.indices
        first = dict.fromkeys(index for index in self.plan.longest_first if index in indices)
        yield from first
        yield from (index for index in indices if index not in first)

    @property
    def journals(self) -> Path:
        """The journals of the submission."""
        return self.sweep.journal_dir(self.plan.submission)
