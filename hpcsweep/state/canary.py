"""The canary of a sweep: the cases that go first, and what waits for them. Pure.

It is in force from its submission to the first one after it that sends other cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hpcsweep.indexset import IndexSet
from hpcsweep.quantities import counted
from hpcsweep.state.outlook import NONE, Outlook


def is_running(outlook: Outlook) -> bool:
    """Whether a case of the canary is not known to be over."""
    return not outlook.canary.isdisjoint(outlook.in_flight)


def has_passed(outlook: Outlook) -> bool:
    """Whether the others may go: there is no canary, or it is over and has a complete case."""
    if not outlook.canary:
        return True
    return not is_running(outlook) and not outlook.canary.isdisjoint(outlook.complete)


def behind(outlook: Outlook) -> IndexSet:
    """The indices that wait for the canary."""
    return NONE if has_passed(outlook) else outlook.owed - outlook.canary


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryCounts:
    """A canary in force, in numbers of cases."""

    cases: int
    complete: int
    # Not known to be over.
    under_way: int
    # Those that follow it.
    others: int

    @property
    def text(self) -> str:
        """For people."""
        done = f"{self.complete} of {counted(self.cases, 'case')} complete"
        if self.under_way:
            waiting = counted(self.others, "case waits", "cases wait")
            return f"canary: {done}, {self.under_way} under way; {waiting} for it"
        others = counted(self.others, "case is", "cases are")
        if self.complete:
            return f"canary: {done}; {others} sent next"
        return f"canary: {done}; {others} not sent"

    def to_json(self) -> dict[str, Any]:
        """The part of `status --json`."""
        return {
            "cases": self.cases,
            "complete": self.complete,
            "under_way": self.under_way,
            "others": self.others,
        }


def canary_counts(outlook: Outlook) -> CanaryCounts | None:
    """The canary in force; None without one."""
    others = outlook.owed - outlook.canary
    if not outlook.canary or not others:
        return None
    return CanaryCounts(
        cases=outlook.canary.count,
        complete=(outlook.canary & outlook.complete).count,
        under_way=(outlook.canary & outlook.in_flight).count,
        others=others.count,
    )
