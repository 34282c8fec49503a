"""Why an array task ended without a word of its worker or of the scheduler: from its files."""

from __future__ import annotations

from collections.abc import Iterable

from hpcsweep.cluster.memory_lines import ran_out_of_memory
from hpcsweep.cluster.task_logs import task_logs
from hpcsweep.files import end_of_text
from hpcsweep.journal import is_cut, journals_of_chunk, read
from hpcsweep.records import Reason
from hpcsweep.store.case_reader import IndexRow
from hpcsweep.sweepdir.directory import SweepDirectory

# Bytes at the end of a task's output in which slurmstepd's last lines are looked for.
OUTPUT_END = 1 << 16


def reason_of_lost(
    sweep: SweepDirectory, submission: int, chunk: int, left_running: IndexRow | None
) -> Reason:
    """The reason of a chunk whose task is over without one: `lost`, if its files do not tell more.

    `left_running` is the row of its last start, if that left a case running; otherwise it did not
    die of memory, and its output is not read.
    """
    if _found_no_room(sweep, submission, chunk):
        return Reason.QUOTA
    if left_running and _ran_out_of_memory(sweep, submission, chunk, left_running):
        return Reason.OUT_OF_MEMORY
    return Reason.LOST


def reasons_of_untaken(
    sweep: SweepDirectory, submission: int, tasks: Iterable[IndexRow]
) -> dict[int, Reason]:
    """The reasons of the chunks that no node of their job took: what ended other chunks of it.

    `tasks`: the rows of the sweep's array tasks.
    """
    by_chunk = {task["chunk"]: task for task in tasks if task["submission"] == submission}
    reasons: dict[int, Reason] = {}
    for part in sweep.plan(submission)[0].parts:
        if not part.nodes:
            continue
        chunks = range(part.first_chunk, part.first_chunk + part.chunks)
        ends = {by_chunk[chunk]["reason"] for chunk in chunks if chunk in by_chunk}
        why = next(
            (reason for reason in (Reason.QUOTA, Reason.TIMEOUT) if reason.value in ends), None
        )
        if why is not None:
            reasons |= dict.fromkeys(set(chunks) - by_chunk.keys(), why)
    return reasons


def _found_no_room(sweep: SweepDirectory, submission: int, chunk: int) -> bool:
    """Whether a task could not write its journal to the end, since the disk or quota was full."""
    journals = journals_of_chunk(sweep.journal_dir(submission), chunk)
    if not journals or is_cut(journals[-1]):
        return bool(journals)
    records = [record for reading in read(journals[-1]) for record in reading.records[-1:]]
    return bool(records) and records[-1].get("reason") == Reason.QUOTA.value


def _ran_out_of_memory(sweep: SweepDirectory, submission: int, chunk: int, start: IndexRow) -> bool:
    """Whether slurmstepd wrote into the task's output that its memory was exhausted."""
    is_restart = int(start["start_rank"][:6]) > 0
    return any(
        ran_out_of_memory(end_of_text(path, OUTPUT_END), start["job_id"], is_restart=is_restart)
        for path in task_logs(sweep, submission, chunk)
    )
