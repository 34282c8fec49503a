"""Runs that are packed, or kept only when they fail: what a task does with a case's spool."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from hpcsweep.errors import SweepError
from hpcsweep.logbook.packs import PackWriter, rank_of
from hpcsweep.logbook.run_directory import Run
from hpcsweep.logbook.spool import Spool
from hpcsweep.records import Outcome, Status
from hpcsweep.sweepdir.plan import PACKS
from hpcsweep.worker.attempt import spoiled


class Spooled:
    """The spool of a task's slot and, where runs are packed, the pack of this start.

    *Writes* `runs/packs/<chunk>.<token>.tar` with the first case that ends.
    """

    def __init__(self, sweep: Path, chunk: int, token: str, *, packs: bool) -> None:
        self.spool = Spool.make(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108
        self._pack = PackWriter(sweep / PACKS / f"{chunk}.{token}.tar") if packs else None

    def keep(self, run: Run, outcome: Outcome, path: Path, run_dir: str) -> Outcome:
        """Put what a case left where it belongs; the outcome says where that is.

        `path` is the attempt's own directory, for one that failed; `run_dir` where it will be.
        *Raises* SweepError when the disk is full.
        """
        try:
            return self._kept(run, outcome, path, run_dir)
        except (OSError, SweepError) as error:  # of the case's own files, unless the disk is full
            return spoiled(outcome, error)
        finally:
            self.spool.clear()

    def _kept(self, run: Run, outcome: Outcome, path: Path, run_dir: str) -> Outcome:
        if outcome.status is Status.COMPLETE and not self.spool.is_whole():
            raise SweepError("something wrote to a descriptor of its files that was not its own")
        if self._pack is not None:
            rank = rank_of(run.metadata() | {"status": outcome.status.value})
            place = self._pack.append(run.run_id, rank, self.spool.pieces(run, outcome))
            return replace(outcome, run_dir=f"{PACKS}/{place}")
        if outcome.status is not Status.COMPLETE:
            outcome = replace(outcome, run_dir=run_dir)
            self.spool.restore(run, outcome, path)
        return outcome

    def sync(self) -> None:
        """Make what was packed durable, before the journal says where it is."""
        if self._pack is not None:
            self._pack.sync()

    def close(self) -> None:
        """The task ends."""
        if self._pack is not None:
            self._pack.close()
        self.spool.close()
