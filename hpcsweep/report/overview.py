"""The page *Overview*: how far the sweep is, and what to do next."""

from __future__ import annotations

from typing import Any

from hpcsweep.records import Status
from hpcsweep.report.source import ReportSource
from hpcsweep.state.failures import failure_lines


def data(source: ReportSource) -> dict[str, Any]:
    """The counts of `status`, and what a reader should look at."""
    summary = source.summary
    return {
        "name": summary.name,
        "cases": summary.n_cases,
        "counts": [
            {"status": status.value, "count": summary.counts[status]}
            for status in Status
            if summary.counts[status]
        ],
        "failures": [
            {"count": group.count, "message": message, "example": example}
            for group in summary.failures
            for message, example in [failure_lines(group)]
        ],
    }
