"""A paused sweep for people: a disk or quota was full, and its cases wait for room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hpcsweep.indexset import IndexSet
from hpcsweep.quantities import counted
from hpcsweep.store.filesystem import filesystem_type
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.locate import argument_for


@dataclass(frozen=True, kw_only=True, slots=True)
class Paused:
    """Why a sweep is paused."""

    name: str
    path: str
    # Its type; "" if that is not known.
    file_system: str
    # The cases that a full disk or quota interrupted.
    cases: IndexSet
    # Whether there was no room just now; None if nobody tried.
    is_full: bool | None = None

    @property
    def lines(self) -> list[str]:
        """The reason, and how to go on."""
        kind = f" ({self.file_system})" if self.file_system else ""
        is_full = "is" if self.is_full else "was"
        cases = counted(self.cases.count, "interrupted case waits", "interrupted cases wait")
        waiting = f"; {cases} for room" if self.cases else ""
        reason = f"the disk or quota of {self.path}{kind} {is_full} full{waiting}"
        argument = argument_for(self.name, self.path)
        next_step = (
            "Make room there: `hpcsweep doctor` shows free space and quotas. Then closing jobs go "
            f"on by themselves, and so does `hpcsweep advance {argument}`."
        )
        return [f"{self.name} is paused: {reason}", next_step]

    def to_json(self) -> dict[str, Any]:
        """The part of `status --json`."""
        return {
            "path": self.path,
            "file_system": self.file_system or None,
            "cases": self.cases.count,
            "full_now": self.is_full,
        }


def paused(sweep: SweepDirectory, cases: IndexSet, *, is_full: bool | None = None) -> Paused | None:
    """Why a sweep is paused; None without such cases and if the disk is not known to be full."""
    if not cases and not is_full:
        return None
    return Paused(
        name=sweep.name,
        path=str(sweep.path),
        file_system=filesystem_type(sweep.path),
        cases=cases,
        is_full=is_full,
    )
