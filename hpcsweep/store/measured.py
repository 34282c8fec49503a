"""What the complete cases of a sweep took."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select

from hpcsweep.records import Status
from hpcsweep.store import schema


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What complete cases took."""

    # Count of these cases, >= 1.
    cases: int
    # Seconds of wall clock.
    mean_s: float
    longest_s: float
    # Of the largest process of any of them; None if not known.
    max_rss_bytes: int | None = None

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> Measured | None:
        """The only row of `query`; None if it counts no case."""
        cases, mean_s, longest_s, max_rss_bytes = row
        if not cases:
            return None
        return cls(cases=cases, mean_s=mean_s, longest_s=longest_s, max_rss_bytes=max_rss_bytes)


def query(sweep: str, without: Collection[int] = ()) -> Select[Any]:
    """The complete cases of a sweep, but for those of some submissions."""
    table = schema.cases.c
    found = select(
        func.count(),
        func.avg(table.wall_seconds),
        func.max(table.wall_seconds),
        func.max(table.max_rss_bytes),
    ).where(
        table.sweep == sweep,
        table.status == Status.COMPLETE.value,
        table.wall_seconds.is_not(None),
        table.code_digest.is_not(None),  # what a cache had was not computed
    )
    return found.where(table.submission.not_in(without)) if without else found
