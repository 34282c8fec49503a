"""Have Slurm start a job of whole nodes again, for the chunks that its workers leave.

The processes of its chunks leave their journals without an end then. If Slurm refuses, the ends are
written into a journal of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hpcsweep.errors import JournalError
from hpcsweep.files import token
from hpcsweep.journal import JournalWriter, common_fields, journal_name, now, read, task_end
from hpcsweep.records import Attempt, Part, Reason, Word
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.worker.requeue import requeue, stalled_starts
from hpcsweep.worker.runner import Runner, Steps
from hpcsweep.worker.start import Start


class StoppedJob(NamedTuple):
    """A job whose workers have ended before all of its chunks were done."""

    sweep: SweepDirectory
    plan: Plan
    part: Part
    start: Start

    def requeue(self, reason: Reason, most: int, runner: Runner) -> Steps[None]:
        """Have it requeued, or journal that what it leaves has ended. See `requeue`."""
        if next(self._left(), None) is None:
            return
        chunks = range(self.part.first_chunk, self.part.first_chunk + self.part.chunks)
        newest = self.start.restart
        stalled = partial(stalled_starts, self.sweep.path, self._journals, chunks, newest)
        is_requeued = yield from requeue(self.start.job_id, stalled, reason, most, runner)
        if not is_requeued and reason is Reason.TIMEOUT:
            self._end_left()

    @property
    def _journals(self) -> Path:
        return self.sweep.journal_dir(self.plan.submission)

    def _left(self) -> Iterator[int]:
        """The chunks without an end; from the last one, as the first are taken first."""
        for offset in reversed(range(self.part.chunks)):
            chunk = self.part.first_chunk + offset
            restart = self.start.restart
            path = self._journals / journal_name(chunk, restart, self.start.token_of(chunk))
            if not path.exists() or not _has_end(path):
                yield chunk

    def _end_left(self) -> None:
        writer = JournalWriter(self._journals / "commands" / f"{token()}.jsonl")
        for chunk in self._left():
            attempt = Attempt(
                generation=self.plan.generation,
                submission=self.plan.submission,
                restart=self.start.restart,
                token=self.start.token_of(chunk),
            )
            common = common_fields(self.plan.manifest, attempt, chunk)
            writer.append(task_end(common, Word.WORKER, Reason.TIMEOUT, time=now()))
        writer.close()


def _has_end(journal: Path) -> bool:
    """Whether the last record is the end of the chunk."""
    try:
        records = [record for reading in read(journal) for record in reading.records]
    except JournalError:
        return False
    return bool(records) and records[-1]["kind"] == "end" and "index" not in records[-1]
