"""A summary in sentences for people: the terminal and the report say the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hpcsweep.cluster.reasons import passes, passing_meaning
from hpcsweep.quantities import counted, duration, hours_text, size_text
from hpcsweep.records import Reason, Status
from hpcsweep.state.failing_nodes import excluded_line
from hpcsweep.state.given_up import given_up_lines
from hpcsweep.state.outdated_remarks import changed_inputs, other_code
from hpcsweep.state.pace import Pace
from hpcsweep.state.running import RunningCase
from hpcsweep.state.summary import Summary
from hpcsweep.sweepdir.locate import argument_for


def reasons_text(summary: Summary, status: Status) -> str:
    """Why cases have this status, with counts: `2 error, 1 timeout`."""
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


def queue_lines(summary: Summary) -> Iterator[str]:
    """The array tasks in the queue, what they wait for, and how fast cases end."""
    if not summary.tasks:
        return
    states = ", ".join(f"{number} {state}" for state, number in sorted(summary.tasks.items()))
    age = f", asked {summary.asked_s_ago:.0f} s ago" if summary.asked_s_ago is not None else ""
    what = "jobs of whole nodes" if summary.in_whole_nodes else "array tasks"
    yield f"{what}: {states}{age}"
    for reason, number in sorted(summary.waiting.items()):
        if passes(reason):
            yield f"{number} waiting ({reason}): {passing_meaning(reason)}"
    if summary.next_start:
        yield f"the scheduler expects the next of them to start at {summary.next_start}"
    if summary.pace:
        yield pace_text(summary.pace)
    most = []
    if summary.slowest_s is not None:
        most.append(f"the slowest took {duration(summary.slowest_s)}")
    if summary.largest_bytes is not None:
        most.append(f"the largest used {size_text(summary.largest_bytes)}")
    if most:
        yield f"complete cases: {', '.join(most)}"


def pace_text(pace: Pace) -> str:
    """The rate, and the time for what is left with its spread."""
    rate = f"{pace.per_hour:.3g} cases an hour in the last {duration(pace.seconds)}"
    if pace.left_s is None or not pace.left:
        return rate
    likely, least, most = map(duration, pace.left_s)
    left = "the last one takes" if pace.left == 1 else f"the other {pace.left} take"
    return f"{rate}; at this rate {left} {likely} ({least} to {most})"


def core_hours_text(used: float, asked: float) -> str:
    """How many core-hours were used of how many."""
    share = f" ({100 * used / asked:.0f} %)" if asked else ""
    return f"{hours_text(used)} of {hours_text(asked)} core-hours used{share}"


def use_text(case: RunningCase) -> str:
    """How long a case runs, and what it uses; "" if that is not known."""
    if case.seconds is None:
        return ""
    if case.cpu_seconds is None or case.memory_bytes is None or case.seconds_ago is None:
        return duration(case.seconds)
    return (
        f"{duration(case.seconds)}, {duration(case.cpu_seconds)} of the processor, "
        f"{size_text(case.memory_bytes)}, {duration(case.seconds_ago)} ago"
    )


def waiting_lines(summary: Summary) -> Iterator[str]:
    """Why nothing is heard of array tasks for longer than usual."""
    yield from summary.stuck
    if summary.problem:
        yield f"the cluster could not be asked: {summary.problem}"


def problem_lines(summary: Summary) -> Iterator[str]:
    """What a person should look at."""
    yield from waiting_lines(summary)
    if summary.torn:
        lines = counted(sum(summary.torn.values()), "journal line was", "journal lines were")
        yield f"{lines} passed over, in {counted(len(summary.torn), 'journal')}"
    if summary.other_code:
        yield other_code(summary.code, summary.name)
    if summary.lost:
        yield lost_files(summary.lost)
    if summary.inputs and summary.inputs.text():
        yield changed_inputs(summary.inputs, summary.name, summary.path)
    if summary.memory:
        yield f"memory: the largest complete case {summary.memory.text}"
    yield from given_up_lines(dict(summary.given_up))
    yield from map(excluded_line, summary.excluded_nodes)


def note_lines(summary: Summary) -> Iterator[str]:
    """What else is to be known: of files, stages and the canary."""
    if summary.lost == 0:
        yield lost_files(0)
    if summary.reasons.get("lost"):
        argument = argument_for(summary.name, summary.path)
        yield f"The output of lost tasks: `hpcsweep logs {argument} INDEX`"
    yield from summary.stage_lines
    if summary.canary:
        yield summary.canary.text


def standing_lines(summary: Summary) -> list[str]:
    """Why nothing goes on, and how it does; empty if it does."""
    whys = (summary.stopped or summary.paused, summary.standstill)
    return [line for why in whys if why for line in why.lines]


def lost_files(count: int) -> str:
    """A line about complete cases whose files are gone."""
    if not count:
        return "the files of every complete case are there"
    lost = counted(count, "complete case has lost its", "complete cases have lost their")
    return f"{lost} files: `hpcsweep submit --rerun lost` with the manifest computes them again"


def next_step(summary: Summary) -> str:
    """What to do when nothing is under way, and cases are missing."""
    if Path(summary.path).is_file():
        return "It is an archive: `tar xf` makes a sweep directory of it, which can go on."
    if summary.counts.get(Status.FAILED, 0):
        argument = argument_for(summary.name, summary.path)
        return (
            f"`hpcsweep logs {argument} INDEX` says why a case failed, "
            f"`hpcsweep retry {argument}` sends it again."
        )
    return "`hpcsweep submit` sends what is missing."
