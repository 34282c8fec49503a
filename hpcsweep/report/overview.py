"""The page *Overview*: how far the sweep is, what went wrong, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from hpcsweep.quantities import duration, hours_text, size_text
from hpcsweep.records import Status
from hpcsweep.report.source import ReportSource
from hpcsweep.state.efficiency import Efficiency
from hpcsweep.state.failures import failure_lines
from hpcsweep.state.remarks import (
    note_lines,
    problem_lines,
    queue_lines,
    reasons_text,
    standing_lines,
    use_text,
)
from hpcsweep.state.summary import Summary
from hpcsweep.sweepdir.locate import argument_for

# The order of states in the bar, from done to unknown.
BAR = (
    Status.COMPLETE,
    Status.RUNNING,
    Status.FAILED,
    Status.INTERRUPTED,
    Status.UNKNOWN,
    Status.PENDING,
)


def data(source: ReportSource) -> dict[str, Any]:
    """The counts and sentences of `status`, core-hours, and commands that come next."""
    summary = source.summary
    return {
        "name": summary.name,
        "path": summary.path,
        "cases": summary.n_cases,
        "complete": summary.counts.get(Status.COMPLETE, 0),
        "bar": list(_bar(summary)),
        "counts": [
            {"status": status.value, "count": count, "why": reasons_text(summary, status)}
            for status in BAR
            if (count := summary.counts.get(status, 0))
        ],
        "facts": list(_facts(summary, source.efficiency)),
        "standing": standing_lines(summary),
        "problems": list(problem_lines(summary)),
        "queue": list(queue_lines(summary)),
        "notes": [*filter(None, [source.selected]), *note_lines(summary)],
        "running": [
            {"index": case.index, "host": case.host or "", "use": use_text(case)}
            for case in summary.running
        ],
        "failures": [
            {"count": group.count, "message": message, "example": example}
            for group in summary.failures
            for message, example in [failure_lines(group)]
        ],
        "next": [{"why": why, "command": command} for why, command in _next(summary)],
    }


def _bar(summary: Summary) -> Iterator[dict[str, Any]]:
    """Parts of a bar that is 1000 wide."""
    counts = [summary.counts.get(status, 0) for status in BAR]
    ends = list(accumulate(counts))
    for status, count, end in zip(BAR, counts, ends, strict=True):
        if count:
            scale = 1000 / ends[-1]
            x, width = round((end - count) * scale, 2), round(count * scale, 2)
            yield {"status": status.value, "x": x, "width": width}


def _facts(summary: Summary, efficiency: Efficiency) -> Iterator[dict[str, str]]:
    """The figures that people ask for first."""
    used = sum(use.cpu_used_s for use in efficiency.uses) / 3600
    asked = sum(use.cpu_asked_s for use in efficiency.uses) / 3600
    if asked:
        share = f"{100 * used / asked:.0f} % of {hours_text(asked)} asked for"
        yield {"label": "Core-hours used", "value": hours_text(used), "more": share}
    if summary.slowest_s is not None:
        yield {"label": "Slowest complete case", "value": duration(summary.slowest_s), "more": ""}
    if summary.largest_bytes is not None:
        largest = size_text(summary.largest_bytes)
        yield {"label": "Largest memory of a case", "value": largest, "more": ""}
    yield {"label": "Submissions", "value": str(summary.submissions), "more": ""}


def _next(summary: Summary) -> Iterator[tuple[str, str]]:
    """What a reader may want to do, and the command for it."""
    argument = argument_for(summary.name, summary.path)
    if not summary.is_settled:
        yield "Follow it until nothing more happens", f"hpcsweep status {argument} --watch"
    elif not summary.is_complete:
        yield "Send the cases that failed or are missing again", f"hpcsweep retry {argument}"
    if summary.failures:
        index = summary.failures[0].index
        yield "Read what a failed case logged and printed", f"hpcsweep logs {argument} {index}"
    if summary.counts.get(Status.COMPLETE, 0):
        table = shlex.quote(f"{summary.name}.csv")
        collect = f"hpcsweep collect {argument} --format csv --output {table}"
        yield "Write the results as a table", collect
        yield "Ask for the memory and time that were needed", f"hpcsweep efficiency {argument}"
