"""Print the status of a sweep."""

from __future__ import annotations

from hpcsweep.cli.render.console import print_facts, print_line
from hpcsweep.records import Status
from hpcsweep.state.failures import failure_lines
from hpcsweep.state.remarks import (
    core_hours_text,
    next_step,
    note_lines,
    problem_lines,
    queue_lines,
    reasons_text,
    standing_lines,
    use_text,
)
from hpcsweep.state.summary import Summary

_COLOURS = {
    Status.COMPLETE: "green",
    Status.FAILED: "red",
    Status.INTERRUPTED: "yellow",
    Status.UNKNOWN: "magenta",
    Status.RUNNING: "cyan",
    Status.PENDING: "white",
}

# Running cases that are printed.
RUNNING_SHOWN = 10
# Core-hours from which on they are printed.
CORE_HOURS_MIN = 0.1


def print_summary(summary: Summary) -> None:
    """Print counts, tasks in flight, problems, and what to do next."""
    print_line((summary.name, "bold"), f"  {summary.path}")
    print_facts(
        [
            ((status.value, _COLOURS[status]), str(number), reasons_text(summary, status))
            for status in Status
            if (number := summary.counts.get(status, 0))
        ]
    )
    for line in queue_lines(summary):
        print_line(line)
    hours = summary.core_hours
    if hours and hours.asked >= CORE_HOURS_MIN:
        print_line(core_hours_text(hours.used, hours.asked))
    _print_running(summary)
    _print_failures(summary)
    for line in problem_lines(summary):
        print_line((line, "yellow"))
    for line in note_lines(summary):
        print_line(line)
    standing = standing_lines(summary)
    for line in standing:
        print_line((line, "yellow"))
    if not standing and summary.is_settled and not summary.is_complete:
        print_line(f"Nothing is under way. {next_step(summary)}")


def _print_running(summary: Summary) -> None:
    """The cases that run longest, and what they use."""
    if not summary.running:
        return
    count = summary.counts.get(Status.RUNNING, 0)
    first = summary.running[:RUNNING_SHOWN]
    print_line("running:" if count <= len(first) else f"running longest, of {count}:")
    print_facts([(f"  {case.index}", case.host or "", use_text(case)) for case in first])


def _print_failures(summary: Summary) -> None:
    """The messages of failed cases, each with an example."""
    for group in summary.failures:
        message, example = failure_lines(group)
        print_facts([(f"  {group.count}", (message, "red")), ("", example)])
