"""A sweep's status, for people."""

from __future__ import annotations

from hpcsweep.cli.render.console import print_facts, print_line
from hpcsweep.cluster.slurm.reasons import passes
from hpcsweep.records import Reason, Status
from hpcsweep.state.status import Summary

_COLOURS = {
    Status.COMPLETE: "green",
    Status.FAILED: "red",
    Status.INTERRUPTED: "yellow",
    Status.UNKNOWN: "magenta",
    Status.RUNNING: "cyan",
    Status.PENDING: "white",
}


def print_summary(found: Summary) -> None:
    """Print counts, what is under way, what is wrong, and what to do next."""
    print_line((found.name, "bold"), f"  {found.path}")
    print_facts(
        [
            ((status.value, _COLOURS[status]), str(number), _why(found, status))
            for status in Status
            if (number := found.counts.get(status, 0))
        ]
    )
    if found.tasks:
        states = ", ".join(f"{number} {state}" for state, number in sorted(found.tasks.items()))
        age = f", asked {found.asked_s_ago:.0f} s ago" if found.asked_s_ago is not None else ""
        print_line(f"array tasks: {states}{age}")
    passing = [f"{number} {why}" for why, number in sorted(found.waiting.items()) if passes(why)]
    if passing:
        print_line(f"what they wait for: {', '.join(passing)}")
    for sentence in found.stuck:
        print_line((sentence, "yellow"))
    if found.problem:
        print_line(("the cluster could not be asked:", "yellow"), f" {found.problem}")
    if found.torn:
        lines, journals = sum(found.torn.values()), len(found.torn)
        print_line((f"{lines} journal lines were passed over, in {journals} journals", "yellow"))
    if found.other_code:
        print_line((other_code(found.name, found.other_code), "yellow"))
    if found.memory:
        print_line((f"memory: the largest complete case {found.memory.text}", "yellow"))
    if found.reasons.get("lost"):
        print_line(f"What Slurm kept of lost tasks: `hpcsweep logs {found.name} INDEX`")
    if found.is_settled and not found.is_complete:
        print_line(f"Nothing is under way. {_next_step(found)}")


def other_code(name: str, count: int) -> str:
    """A line on results that are not of the code as it is now."""
    return (
        f"{count} complete cases of {name} were computed with other code than is there now: "
        "`hpcsweep submit --rerun stale` with the manifest computes them again"
    )


def _next_step(found: Summary) -> str:
    if found.counts.get(Status.FAILED, 0):
        return (
            f"`hpcsweep logs {found.name} INDEX` says why a case failed, "
            f"`hpcsweep retry {found.name}` sends it again."
        )
    return "`hpcsweep submit` sends what is missing."


def _why(found: Summary, status: Status) -> str:
    if status is Status.PENDING and found.unsubmitted:
        return f"{found.unsubmitted} not submitted"
    if status in (Status.FAILED, Status.INTERRUPTED):
        reasons = (
            f"{n} {why}" for why, n in sorted(found.reasons.items()) if Reason(why).status is status
        )
        return ", ".join(reasons)
    return ""
