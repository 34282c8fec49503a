"""Have Slurm start the own task again, for the cases that it leaves.

Slurm itself requeues a task that it preempts or whose node fails, but none that reaches its time
limit, and none that ends within the grace time of a preemption (22.05).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from hpcsweep.errors import JournalError
from hpcsweep.journal import journals_of_chunk, read
from hpcsweep.records import Reason
from hpcsweep.sweepdir.plan import checkpoint_dir
from hpcsweep.worker.ledger import settles
from hpcsweep.worker.messages import write_notice
from hpcsweep.worker.runner import Runner, Steps, Wait
from hpcsweep.worker.slurm_program import SlurmProgram
from hpcsweep.worker.start import Start

TIMEOUT_S = 20.0
# Seconds from USR2 to TERM of a preemption without a grace time: they are sent together (22.05).
TERM_DELAY_S = 1.0
# What scontrol says of a task that Slurm has requeued already.
REQUEUED = "Job is pending execution"


def requeue(
    job: str, count_stalled: Callable[[], int], reason: Reason, most: int, runner: Runner
) -> Steps[bool]:
    """Ask Slurm to requeue this task or job, whose records are durable. Returns whether it will.

    `job` is its name for Slurm. `count_stalled` counts its last starts without progress; with
    `most` of them it is not asked. One that the time limit ended suffices: the next one would have
    no more time. Whether a task starts again that gets TERM is Slurm's decision.
    """
    if reason is not Reason.TIMEOUT:
        yield from _await_term(runner)
        if runner.is_terminated:
            return False
    stalled = count_stalled()
    if stalled >= (1 if reason is Reason.TIMEOUT else most):
        starts = "start" if stalled == 1 else f"{stalled} starts"
        _refuse(f"its last {starts} neither finished a case nor saved a newer checkpoint")
        return False
    argv = ["scontrol", "requeue", job]
    answer = yield from SlurmProgram(argv, runner.clock, TIMEOUT_S).run()
    if REQUEUED in answer.stderr:
        return True
    if answer.exit_code:
        _refuse(answer.stderr.partition("\n")[0] or f"scontrol ended with {answer.exit_code}")
    elif answer.exit_code is None:
        _refuse("scontrol cannot be started here, or did not answer")
    return answer.exit_code == 0


def _await_term(runner: Runner) -> Steps[None]:
    deadline = runner.clock() + TERM_DELAY_S
    while not runner.is_terminated and runner.clock() < deadline:
        yield Wait(until=deadline)


def _refuse(why: str) -> None:
    write_notice(
        f"this task is not requeued ({why}): `hpcsweep advance` or `hpcsweep submit` sends the "
        "rest of its cases"
    )


def task_name(start: Start) -> str:
    """Slurm's name of the task. The job id of an element may be that of its array (22.05)."""
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        return f"{start.array_job_id}_{start.array_task_id}"
    return start.job_id


def stalled_starts(sweep: Path, journals: Path, chunks: Iterable[int], newest: int) -> int:
    """How many starts of a job with these chunks, up to restart `newest`, made no progress.

    Progress is a finished case, or a checkpoint that is newer than the journal of the start before.
    So only times of the sweep's file system are compared, never the clocks of two nodes.
    """
    starts, progressed = set[int](), -1
    for chunk in chunks:
        paths = journals_of_chunk(journals, chunk)
        written_ns = [0, *map(_written_ns, paths)]
        for path, since_ns in zip(paths[::-1], written_ns[-2::-1]):
            restart = int(path.name.split(".")[1])
            starts.add(restart)
            if restart > progressed and _has_progress(sweep, path, since_ns):
                progressed = restart
        if progressed == newest:
            break
    return sum(restart > progressed for restart in starts)


def _has_progress(sweep: Path, journal: Path, since_ns: int) -> bool:
    try:
        records = [record for reading in read(journal) for record in reading.records]
    except JournalError:
        return False  # the ledger has reported it
    if any(settles(record) for record in records):
        return True
    begun = {record["case_id"] for record in records if record["kind"] == "begin"}
    saved = (path for case_id in begun for path in (sweep / checkpoint_dir(case_id)).glob("*"))
    return any(_written_ns(path) > since_ns for path in saved)


def _written_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # it was temporary
        return 0
