"""How fast the cases of a sweep end, from earlier counts, and what the rest takes at that rate.

An exact count of the last hour would read every row of the index: nothing orders it by time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hpcsweep.records import Status
from hpcsweep.state.cluster_memory import open_memory
from hpcsweep.state.outlook import Outlook
from hpcsweep.sweepdir.directory import SweepDirectory

# Seconds back to which the rate looks, and seconds between two counts that are kept.
WINDOW_S, EVERY_S = 3600.0, 60.0
# From so many ended cases on there is a forecast: of fewer, its spread would be a third or more.
ENDED_MIN = 10
FINAL = (Status.COMPLETE, Status.FAILED)

# A time in seconds of the epoch, and the count of cases that had ended by then.
Count = list[float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How many cases ended lately, and how many will without a command."""

    # Count of cases that ended in so many seconds, > 0.
    ended: int
    seconds: float
    # Count of cases that wait or run in array tasks, or are sent when there is room.
    left: int

    @property
    def per_hour(self) -> float:
        """Cases in an hour."""
        return self.ended / self.seconds * 3600

    @property
    def left_s(self) -> tuple[float, float, float] | None:
        """Seconds for what is left at this rate, and the least and the most; None of few cases.

        Counts of ended cases vary by their square root.
        """
        if self.ended < ENDED_MIN:
            return None
        varies = math.sqrt(self.ended)
        likely, least, most = (
            self.left * self.seconds / ended
            for ended in (self.ended, self.ended + varies, self.ended - varies)
        )
        return likely, least, most

    def to_json(self) -> dict[str, Any]:
        """The part of `status --json`."""
        likely, least, most = self.left_s or (None, None, None)
        return {
            "ended": self.ended,
            "seconds": self.seconds,
            "per_hour": self.per_hour,
            "left": self.left,
            "left_s": likely,
            "left_s_least": least,
            "left_s_most": most,
        }


def pace(sweep: SweepDirectory, outlook: Outlook) -> Pace | None:
    """The pace of a sweep; None while nothing is under way, and before anything ended.

    *Writes* `cluster.json`, at most once a minute. *Raises* SweepError.
    """
    tasks = outlook.tasks
    if not tasks.parts or tasks.polled_at is None:
        return None
    now = time.time()
    ended = _count(outlook, FINAL)
    oldest = tasks.parts[0]
    began = sweep.part_facts(oldest.plan.submission)[oldest.part.number]["intent"]["time"]
    known = tasks.progress
    if not known and len(sweep.submissions()) == 1:
        known = [[began, 0]]
    counts = noted(known, now, ended)
    if counts != tasks.progress:
        with open_memory(sweep) as memory:
            if memory is not None:
                memory["progress"] = counts
    return pace_of(counts, began, now, ended, _left(outlook))


def noted(counts: Iterable[Sequence[float]], now: float, ended: int) -> list[Count]:
    """The counts with this one, from the last before `WINDOW_S` on; one in `EVERY_S`. Pure.

    Those of a clock that is ahead are left out, and those before cases were computed again.
    """
    kept = [list(count) for count in counts if count[0] <= now and count[1] <= ended]
    old = [count for count in kept if count[0] <= now - WINDOW_S]
    kept = kept[max(0, len(old) - 1) :]
    if not kept or now - kept[-1][0] >= EVERY_S:
        kept.append([now, ended])
    return kept


def pace_of(
    counts: Sequence[Sequence[float]], began: float, now: float, ended: int, left: int
) -> Pace | None:
    """The pace by these counts; nothing ran before `began`, whatever their times are. Pure."""
    seconds = now - max(began, counts[0][0])
    since = ended - int(counts[0][1])
    if seconds < EVERY_S or not since:
        return None
    return Pace(ended=since, seconds=seconds, left=left)


def _count(outlook: Outlook, statuses: Iterable[Status]) -> int:
    return sum(group.indices.count for group in outlook.groups if group.status in statuses)


def _left(outlook: Outlook) -> int:
    """Count of cases without an outcome that will have one without a command."""
    comes = (outlook.in_flight - outlook.cancelled) | outlook.owed
    groups = (group.indices for group in outlook.groups if group.status not in FINAL)
    return sum((indices & comes).count for indices in groups)
