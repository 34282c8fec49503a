"""Notify a user of what became of a sweep, by a command or by mail: one message for each event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from hpcsweep.cluster import process
from hpcsweep.cluster.slurm.environment import clean_environment
from hpcsweep.errors import ClusterError, SweepError
from hpcsweep.manifest.policies import Notify, Policies
from hpcsweep.quantities import counted
from hpcsweep.redact import redact
from hpcsweep.submission.request import Submitted
from hpcsweep.sweepdir import notices

# Seconds that the command or `mail` may take.
DEADLINE_S = 30.0
WITHOUT_MAIL = (
    "Slurm can send one when a closing job ends: write `closing: {mail-user: …, mail-type: END}`"
)


class Event(StrEnum):
    """What a user is notified of."""

    COMPLETE = "complete"
    # By the circuit breaker, or because nothing is left that could go on.
    STOPPED = "stopped"
    # The disk or quota is full.
    PAUSED = "paused"


def event_of(done: Submitted) -> tuple[Event, str] | None:
    """What an `advance` found a sweep to be, and a line for people; None while it goes on. Pure."""
    outlook, name = done.outlook, done.sweep.name
    if done.stopped is not None:
        return Event.STOPPED, done.stopped.lines[0]
    if done.paused is not None:
        return Event.PAUSED, done.paused.lines[0]
    n_cases = outlook.version.source.n_cases
    if outlook.is_complete:
        names = ", ".join(stage.sweep.name for stage in done.stages)
        after = f"; sent after it: {names}" if names else ""
        return Event.COMPLETE, f"{name} is complete: {counted(n_cases, 'case')}{after}"
    if done.plans or done.stages or done.without_room or outlook.in_flight:
        return None
    counts: Counter[str] = Counter()
    for group in outlook.groups:
        counts[group.status.value] += group.indices.count
    texts = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return Event.STOPPED, f"{name} has ended without all of its {counted(n_cases, 'case')}: {texts}"


def notify_once(done: Submitted, notify: Callable[[str], None]) -> None:
    """Send the message of what an `advance` found, unless one was sent since the last submit.

    What prevents it is passed to `notify`, and never raised. *Writes* a fact of the event.
    """
    manifest = done.outlook.version.manifest
    channels, message = Policies.from_json(manifest.policies).notify, event_of(done)
    if channels is None or message is None:
        return
    event, summary = message
    try:
        if not notices.claim(done.sweep.path, event.value):
            return
        _send(channels, done.sweep.path, Path(manifest.root), event, summary)
    except (ClusterError, SweepError) as error:
        notify(f"`notify` did not send that {summary}: {error.what}. {error.next_step}".rstrip())


def _send(channels: Notify, sweep: Path, root: Path, event: Event, summary: str) -> None:
    """Send one message. *Raises* ClusterError."""
    variables = {
        "HPCSWEEP_SWEEP": str(sweep),
        "HPCSWEEP_EVENT": event.value,
        "HPCSWEEP_SUMMARY": summary,
    }
    argv = ["mail", "-s", f"hpcsweep: {summary}", channels.mail]
    if channels.command:
        program, *arguments = channels.command
        argv = [str(root / program) if "/" in program else program, *arguments, summary]
    try:
        environment = clean_environment(variables, frozenset())
        answer = process.run(argv, environment, DEADLINE_S, apart=True)
    except ClusterError as error:
        raise ClusterError(error.what, next_step=WITHOUT_MAIL if channels.mail else "") from error
    if answer.returncode:
        raise ClusterError(f"{argv[0]}: {redact(answer.complaint)}")
