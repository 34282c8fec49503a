"""Print the report of a chaos run."""

from __future__ import annotations

from collections import Counter

from hpcsweep.chaos import Report
from hpcsweep.cli.render.console import print_facts, print_line
from hpcsweep.quantities import counted


def print_report(report: Report) -> None:
    """Print the faults that struck, each with its cases, and whether a case was lost."""
    kinds = Counter(fault.kind for fault in report.faults)
    faults = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "no fault struck"
    print_line(f"chaos with seed {report.seed}: {faults}; {report.submits} submits")
    print_facts(
        [
            (
                f"  {fault.kind}",
                f"job {fault.job}" if fault.job else "the cluster",
                f"cases {fault.cases}" if fault.cases else "",
            )
            for fault in report.faults
        ]
    )
    missing = report.summary.without_outcome
    lost = f"LOST: {counted(missing, 'case has', 'cases have')} no outcome"
    print_line(lost if missing else "nothing was lost")
    print_line(report.accepted.line())
