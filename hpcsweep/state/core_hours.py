"""The core-hours that a sweep used of those that its tasks had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hpcsweep.state.moments import epoch_s
from hpcsweep.state.outlook import Outlook
from hpcsweep.store import SweepIndex

# Of more begun cases only who asks for it is told: every attempt has to be read.
CASES_MAX = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreHours:
    """Of attempts that ended; as `efficiency` counts them."""

    # Used by cases.
    used: float
    # Of tasks, from the start of the first case to the end of the last one, times their CPUs.
    asked: float

    def to_json(self) -> dict[str, Any]:
        """The part of `status --json`."""
        return {"used": self.used, "asked": self.asked}


def core_hours(
    sweep_index: SweepIndex, outlook: Outlook, *, asked_for: bool = False
) -> CoreHours | None:
    """The core-hours so far; None if no attempt has ended.

    Of more than `CASES_MAX` cases they are None unless they are asked for.
    """
    if outlook.begun.count > CASES_MAX and not asked_for:
        return None
    used = asked = 0.0
    for task in sweep_index.task_times():
        if task.submission in outlook.resources:
            seconds = max(0.0, epoch_s(task.ended) - epoch_s(task.started))
            asked += seconds * outlook.resources[task.submission].cpus
            used += task.cpu_seconds or 0.0
    return CoreHours(used=used / 3600, asked=asked / 3600) if asked or used else None
