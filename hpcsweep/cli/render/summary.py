"""Print the status of a sweep."""

from __future__ import annotations

from hpcsweep.cli.render.console import print_facts, print_line
from hpcsweep.cli.render.plan import duration
from hpcsweep.cluster.slurm.reasons import passes
from hpcsweep.quantities import size_text
from hpcsweep.records import Reason, Status
from hpcsweep.state.changed_inputs import changed_text
from hpcsweep.state.code_counts import CodeCounts
from hpcsweep.state.failing_nodes import excluded_line
from hpcsweep.state.failures import failure_lines
from hpcsweep.state.given_up import given_up_lines
from hpcsweep.state.pace import Pace
from hpcsweep.state.running import RunningCase
from hpcsweep.state.summary import Summary

_COLOURS = {
    Status.COMPLETE: "green",
    Status.FAILED: "red",
    Status.INTERRUPTED: "yellow",
    Status.UNKNOWN: "magenta",
    Status.RUNNING: "cyan",
    Status.PENDING: "white",
}

# The remedy of outdated results.
RERUN_STALE = "`hpcsweep submit --rerun stale` with the manifest computes them again"
# Running cases that are printed.
RUNNING_SHOWN = 10


def print_summary(summary: Summary) -> None:
    """Print counts, tasks in flight, problems, and what to do next."""
    print_line((summary.name, "bold"), f"  {summary.path}")
    print_facts(
        [
            ((status.value, _COLOURS[status]), str(number), _why(summary, status))
            for status in Status
            if (number := summary.counts.get(status, 0))
        ]
    )
    if summary.tasks:
        states = ", ".join(f"{number} {state}" for state, number in sorted(summary.tasks.items()))
        age = f", asked {summary.asked_s_ago:.0f} s ago" if summary.asked_s_ago is not None else ""
        what = "jobs of whole nodes" if summary.in_whole_nodes else "array tasks"
        print_line(f"{what}: {states}{age}")
    passing = [f"{number} {why}" for why, number in sorted(summary.waiting.items()) if passes(why)]
    if passing:
        print_line(f"what they wait for: {', '.join(passing)}")
    if summary.next_start:
        print_line(f"Slurm expects the next of them to start at {summary.next_start}")
    if summary.tasks:
        _print_pace(summary)
    _print_running(summary)
    _print_failures(summary)
    _print_problems(summary)
    for line in summary.stage_lines:
        print_line(line)
    if summary.canary:
        print_line(summary.canary.text)
    whys = (summary.stopped or summary.paused, summary.standstill)
    if any(whys):
        for line in (line for why in whys if why for line in why.lines):
            print_line((line, "yellow"))
    elif summary.is_settled and not summary.is_complete:
        print_line(f"Nothing is under way. {_next_step(summary)}")


def _print_pace(summary: Summary) -> None:
    """How fast cases end and when the rest will have, and the most that a case took."""
    if summary.pace:
        print_line(pace_text(summary.pace))
    most = []
    if summary.slowest_s is not None:
        most.append(f"the slowest took {duration(summary.slowest_s)}")
    if summary.largest_bytes is not None:
        most.append(f"the largest used {size_text(summary.largest_bytes)}")
    if most:
        print_line(f"complete cases: {', '.join(most)}")


def pace_text(pace: Pace) -> str:
    """The rate, and the time for what is left with its spread."""
    rate = f"{pace.per_hour:.3g} cases an hour in the last {duration(pace.seconds)}"
    if pace.left_s is None or not pace.left:
        return rate
    likely, least, most = map(duration, pace.left_s)
    return f"{rate}; at this rate the other {pace.left} take {likely} ({least} to {most})"


def _print_running(summary: Summary) -> None:
    """The cases that run longest, and what they use."""
    if not summary.running:
        return
    count = summary.counts.get(Status.RUNNING, 0)
    first = summary.running[:RUNNING_SHOWN]
    print_line("running:" if count <= len(first) else f"running longest, of {count}:")
    print_facts([(f"  {case.index}", case.host or "", _used(case)) for case in first])


def _print_failures(summary: Summary) -> None:
    """The messages of failed cases, each with an example."""
    for group in summary.failures:
        message, example = failure_lines(group)
        print_facts([(f"  {group.count}", (message, "red")), ("", example)])


def _used(case: RunningCase) -> str:
    if case.seconds is None:
        return ""
    if case.cpu_seconds is None or case.memory_bytes is None or case.seconds_ago is None:
        return duration(case.seconds)
    return (
        f"{duration(case.seconds)}, {duration(case.cpu_seconds)} of the processor, "
        f"{size_text(case.memory_bytes)}, {duration(case.seconds_ago)} ago"
    )


def _print_problems(summary: Summary) -> None:
    """What a person should look at."""
    for sentence in summary.stuck:
        print_line((sentence, "yellow"))
    if summary.problem:
        print_line(("the cluster could not be asked:", "yellow"), f" {summary.problem}")
    if summary.torn:
        lines, journals = sum(summary.torn.values()), len(summary.torn)
        print_line((f"{lines} journal lines were passed over, in {journals} journals", "yellow"))
    _print_complete(summary)
    for line in given_up_lines(dict(summary.given_up)):
        print_line((line, "yellow"))
    for fact in summary.excluded_nodes:
        print_line((excluded_line(fact), "yellow"))
    if summary.reasons.get("lost"):
        print_line(f"What Slurm kept of lost tasks: `hpcsweep logs {summary.name} INDEX`")


def _print_complete(summary: Summary) -> None:
    """Print what is to be known of the complete cases."""
    if summary.other_code:
        print_line((other_code(summary.code, summary.name), "yellow"))
    if summary.lost is not None:
        print_line((lost_files(summary.lost), "yellow" if summary.lost else ""))
    if summary.changed:
        what = changed_text(summary.changed, summary.code.complete, summary.name)
        print_line((changed_inputs(what), "yellow"))
    if summary.memory:
        print_line((f"memory: the largest complete case {summary.memory.text}", "yellow"))


def other_code(code: CodeCounts, name: str, mark: str = "") -> str:
    """A line about results that were computed with other code; `mark` is theirs in a table."""
    return f"{code.text(name)}{_marked(mark)}: {code.digests}. {RERUN_STALE}"


def changed_inputs(text: str, mark: str = "") -> str:
    """A line about results whose inputs have changed, see `changed_text`."""
    return f"{text}{_marked(mark)}. {RERUN_STALE}"


def _marked(mark: str) -> str:
    return f" (marked {mark})" if mark else ""


def lost_files(count: int) -> str:
    """A line about complete cases whose files are gone."""
    if not count:
        return "the files of every complete case are there"
    return (
        f"{count} complete cases have lost their files: `hpcsweep submit --rerun lost` with the "
        "manifest computes them again"
    )


def _next_step(summary: Summary) -> str:
    if summary.counts.get(Status.FAILED, 0):
        return (
            f"`hpcsweep logs {summary.name} INDEX` says why a case failed, "
            f"`hpcsweep retry {summary.name}` sends it again."
        )
    return "`hpcsweep submit` sends what is missing."


def _why(summary: Summary, status: Status) -> str:
    if status is Status.PENDING and summary.unsubmitted:
        return f"{summary.unsubmitted} not submitted"
    if status in (Status.FAILED, Status.INTERRUPTED):
        reasons = (
            f"{n} {why}"
            for why, n in sorted(summary.reasons.items())
            if Reason(why).status is status
        )
        return ", ".join(reasons)
    return ""
