"""What a cancel did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hpcsweep.indexset import IndexSet
from hpcsweep.quantities import counted
from hpcsweep.state.outlook import NONE


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancelled:
    """What a cancel did: of a whole sweep its jobs, of selected cases array tasks.

    Examples:
        >>> done = sweep.cancel()
        >>> isinstance(done, hs.Cancelled), done.jobs, done.lines
        (True, (), ('nothing to cancel',))
    """

    name: str
    # The ids of cancelled jobs, those of the reduce too.
    jobs: tuple[str, ...] = ()
    # Cancelled array tasks, as Slurm names them.
    tasks: tuple[str, ...] = ()
    # Selected cases that were not cancelled before.
    indices: IndexSet = NONE
    # Those of them whose array tasks go on, as they hold other cases; and of these, those that had
    # begun.
    shared: IndexSet = NONE
    running: IndexSet = NONE

    @property
    def lines(self) -> tuple[str, ...]:
        """For people.

        Examples:
            >>> sweep.cancel().lines
            ('nothing to cancel',)
        """
        return tuple(self._lines()) or ("nothing to cancel",)

    def _lines(self) -> list[str]:
        lines = [f"cancelled: {', '.join(self.jobs)}"] if self.jobs else []
        if self.indices:
            lines.append(f"cancelled: {counted(self.indices.count, 'case')}")
        if self.tasks:
            lines.append(f"cancelled array tasks: {', '.join(self.tasks)}")
        if self.shared - self.running:
            count = (self.shared - self.running).count
            shares = counted(count, "of them shares", "of them share")
            lines.append(f"{shares} an array task with others, which passes over them")
        if self.running:
            runs = counted(self.running.count, "of them runs", "of them run")
            lines.append(f"{runs} beside others, to the end")
        return lines

    def to_json(self) -> dict[str, Any]:
        """The document of `cancel --json`.

        Examples:
            >>> sweep.cancel().to_json()["cases"]
            0
        """
        return {
            "schema": "hpcsweep.cancel/1",
            "name": self.name,
            "jobs": list(self.jobs),
            "tasks": list(self.tasks),
            "cases": self.indices.count,
            "indices": str(self.indices),
            "passed_over": str(self.shared - self.running),
            "to_the_end": str(self.running),
        }
