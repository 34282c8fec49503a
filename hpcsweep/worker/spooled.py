"""Outputs that write to a spool first: for packed runs, and for runs kept only if they fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hpcsweep.errors import SweepError
from hpcsweep.logbook.packs import PackWriter, rank_of
from hpcsweep.logbook.run_directory import Run
from hpcsweep.logbook.spool import Spool
from hpcsweep.records import Outcome, Status
from hpcsweep.sweepdir.plan import PACKS, Layout
from hpcsweep.worker.outputs import (
    CaseFiles,
    own_directory,
    publish_directory,
    spoiled_outcome,
    temporary_directory,
)


class _Spooled:
    """The spool of a slot; subclasses decide what is kept of a case."""

    def __init__(self, *, is_command: bool) -> None:
        self._is_command = is_command
        self.spool = Spool.make(temporary_directory())
        self.descriptors = self.spool.descriptors
        self._files = CaseFiles(spool=self.spool.to_json())

    def begin(self, run: Run, started: str) -> CaseFiles:  # noqa: ARG002  # the same for all cases
        """See `Outputs`; a command gets a directory."""
        if self._is_command:
            return CaseFiles(self.spool.ensure_directory())
        return self._files

    def publish(self, run: Run, outcome: Outcome) -> Outcome:
        """See `Outputs`."""
        try:
            return self._keep(run, outcome)
        except (OSError, SweepError) as error:  # an error of the case's own files, or a full disk
            return spoiled_outcome(outcome, error)

    def _keep(self, run: Run, outcome: Outcome) -> Outcome:  # noqa: ARG002  # for subclasses
        """*Raises* OSError, SweepError."""
        if outcome.status is Status.COMPLETE and not self.spool.is_whole():
            raise SweepError("something wrote to a descriptor of its files that was not its own")
        return outcome

    def clear(self) -> None:
        """Empty the spool."""
        self.spool.clear()

    def close(self) -> None:
        """Close the spool."""
        self.spool.close()


def open_pack(sweep: Path, chunk: int, token: str) -> PackWriter:
    """The pack of one start of a chunk."""
    return PackWriter(sweep / PACKS / f"{chunk}.{token}.tar")


class Packed(_Spooled):
    """Every case goes into the pack of this start. *Writes* the pack with the first case."""

    def __init__(self, pack: PackWriter, *, is_command: bool) -> None:
        """`pack`: shared by all slots of the task."""
        super().__init__(is_command=is_command)
        self._pack = pack

    def _keep(self, run: Run, outcome: Outcome) -> Outcome:
        outcome = super()._keep(run, outcome)
        rank = rank_of(run.metadata() | {"status": outcome.status.value})
        place = self._pack.append(run.run_id, rank, self.spool.pieces(run, outcome))
        return replace(outcome, run_dir=f"{PACKS}/{place}")

    def close(self) -> None:
        """See `Outputs`. Completes the pack."""
        self._pack.close()
        super().close()


class FailedOnly(_Spooled):
    """Keeps a run directory of every case that is not complete."""

    def __init__(self, sweep: Path, layout: Layout, *, is_command: bool) -> None:
        super().__init__(is_command=is_command)
        self._sweep, self._layout = sweep, layout

    def publish(self, run: Run, outcome: Outcome) -> Outcome:
        """See `Outputs`."""
        outcome = super().publish(run, outcome)
        return outcome if outcome.run_dir is None else publish_directory(self._sweep, run, outcome)

    def _keep(self, run: Run, outcome: Outcome) -> Outcome:
        outcome = super()._keep(run, outcome)
        if outcome.status is Status.COMPLETE:
            return outcome
        outcome = replace(outcome, run_dir=self._layout.run_dir(run.case.case_id, run.run_id))
        self.spool.restore(run, outcome, self._sweep / own_directory(run))
        return outcome
