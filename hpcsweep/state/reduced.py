"""The reduce of a sweep for people: whether it was sent, how it ended, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsweep.records import Reason, Status
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from hpcsweep.sweepdir.locate import argument_for

_BEFORE = {
    "complete": "sent when every case is complete",
    "settled": "sent when nothing more is run",
}

# What to ask more of, by the reason.
_RAN_OUT = {Reason.OUT_OF_MEMORY.value: "mem", Reason.TIMEOUT.value: "time"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reduced:
    """How far the reduce of a sweep is."""

    # Of the sweep that is reduced.
    sweep: str
    path: str
    # As in `policies.WHEN`.
    when: str
    # None: not sent for the cases as they are now.
    status: Status | None = None
    # Why it failed or was interrupted.
    reason: str = ""
    # Whether its task is not known to be over.
    is_under_way: bool = False

    @property
    def line(self) -> str:
        """For people."""
        argument = argument_for(self.sweep, self.path)
        if self.status is None:
            return f"reduce: {_BEFORE[self.when]}"
        if self.status is Status.COMPLETE:
            return f"reduce: complete; `hpcsweep collect {argument}/reduce` shows its metrics"
        if self.is_under_way:
            return f"reduce: {self.status}; `hpcsweep status {argument}/reduce` shows its task"
        why = f" ({self.reason})" if self.reason else ""
        again = f"`hpcsweep retry {argument}` runs it again"
        if self.reason in _RAN_OUT:
            again = (
                f"`hpcsweep submit` with more `{_RAN_OUT[self.reason]}` in `reduce_slurm` runs it "
                "again"
            )
        return f"reduce: {self.status}{why}; `hpcsweep logs {argument}/reduce 0` says why, {again}"

    def to_json(self) -> dict[str, Any]:
        """The part of `status --json`."""
        return {
            "status": self.status.value if self.status else None,
            "reason": self.reason or None,
            "under_way": self.is_under_way,
        }


def reduce_of(sweep: SweepDirectory) -> SweepDirectory | None:
    """The sweep of one case that is the reduce; None if it was never sent. *Raises* Damaged."""
    path = sweep.reduce_dir
    reduce = SweepDirectory.open(path) if (path / MARKER).is_file() else None
    return reduce if reduce is not None and reduce.submissions() else None


def current_reduce(sweep: SweepDirectory) -> SweepDirectory | None:
    """The same if it was sent after the sweep's last submission, for the cases as they are now."""
    reduce = reduce_of(sweep)
    if reduce is None:
        return None
    table = Path(reduce.newest().source[0].params["table"])
    return reduce if table.name == sweep.table(sweep.submissions()[-1]).name else None
