"""Check that the files of complete cases are there and can be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hpcsweep.quantities import counted
from hpcsweep.runs.find import DamageReport, lost_files
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory


@dataclass(frozen=True, kw_only=True, slots=True)
class FileCheck:
    """Whether the files of complete cases are there and can be read. Counts are of cases.

    Examples:
        >>> found = sweep.check()
        >>> isinstance(found, hs.FileCheck), found.text
        (True, '2 complete cases have theirs')
    """

    # Complete cases that have files, or should have.
    checked: int
    gone: int
    damaged: int
    # A line for each of the first of these, with its index.
    named: tuple[str, ...] = ()

    @property
    def is_intact(self) -> bool:
        """Whether nothing is gone or damaged.

        Examples:
            >>> sweep.check().is_intact
            True
        """
        return not (self.gone or self.damaged)

    @property
    def text(self) -> str:
        """For people: one line, or one more for each case that is named.

        Examples:
            >>> hs.FileCheck(checked=3, gone=0, damaged=0).text
            '3 complete cases have theirs'
        """
        if not self.checked:
            return "no complete case has any kept"
        if self.is_intact:
            return counted(self.checked, "complete case has its own", "complete cases have theirs")
        counts = {"damaged": self.damaged, "gone": self.gone}
        found = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
        return "\n".join([f"of {counted(self.checked, 'complete case')} {found}:", *self.named])

    def to_json(self) -> dict[str, Any]:
        """The counts and the cases that are named.

        Examples:
            >>> hs.FileCheck(checked=3, gone=0, damaged=0).to_json()["checked"]
            3
        """
        return {
            "checked": self.checked,
            "gone": self.gone,
            "damaged": self.damaged,
            "named": list(self.named),
        }


def check_all_files(sweep: SweepDirectory) -> FileCheck:
    """Read what hpcsweep wrote of every complete case: a walk over all. *Writes* the index."""
    report = DamageReport()
    with fresh_index(sweep) as sweep_index:
        lost_files(sweep, sweep_index, report)
    return FileCheck(
        checked=report.checked,
        gone=report.lost["gone"],
        damaged=report.lost["damaged"],
        named=tuple(report.named),
    )
