"""The shape of a table of results: a row per case, means over some cases, or a pivot of either.

It is apart from what makes it, which loads numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpcsweep.errors import InputError

# The statistics that there are, and those without a choice.
STATS = ("mean", "sd", "n", "median", "q1", "q3", "min", "max")
DEFAULT = ("mean", "sd", "n")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What becomes of the rows of cases; by default nothing."""

    # Params, or `replicate`, over which means are taken.
    mean_over: tuple[str, ...] = ()
    # Instead of them: the columns that remain.
    group_by: tuple[str, ...] = ()
    # Of `STATS`; by default `DEFAULT`.
    stats: tuple[str, ...] = ()
    # `ROWS,COLUMNS:CELL`.
    pivot: str | None = None

    def __post_init__(self) -> None:
        """*Raises* InputError for options that contradict each other."""
        for stat in self.stats:
            if stat not in STATS:
                raise InputError(
                    f"{stat!r} is not a statistic",
                    where="--stats",
                    next_step=f"Statistics: {', '.join(STATS)}.",
                )
        if self.mean_over and self.group_by:
            raise InputError(
                "--mean-over names what goes, --group-by what stays",
                where="--group-by",
                next_step="Give one of them.",
            )
        if self.stats and not self.has_groups:
            raise InputError(
                "statistics need groups of cases",
                where="--stats",
                next_step="Give --mean-over or --group-by, too.",
            )

    def __bool__(self) -> bool:
        return self.has_groups or self.pivot is not None

    @property
    def has_groups(self) -> bool:
        """Whether there is a row for a group of cases, not for one."""
        return bool(self.mean_over or self.group_by)
