"""The notices of a submission; an empty text is no notice."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

from hpcsweep.indexset import IndexSet
from hpcsweep.quantities import duration, time_limit_seconds
from hpcsweep.state.changed_inputs import InputCounts
from hpcsweep.state.code_counts import CodeCounts
from hpcsweep.state.outdated_remarks import check_command
from hpcsweep.state.outlook import Outlook, State
from hpcsweep.submission.replacing import Replaceable
from hpcsweep.submission.request import SubmitRequest, Submitted

# Indices that are listed of cases computed with other code.
INDICES_NAMED = 10


def notices(done: Submitted, request: SubmitRequest) -> list[str]:
    """The notices after a submit."""
    texts = [
        cancelled_notice(done) if done.plan is None else short_time_notice(request),
        "" if request.replace else replaceable_notice(done.replaceable, request),
        other_code_notice(done.outlook, request) if request.rerun is None else "",
        changed_notice(done.outlook, request) if request.rerun is None else "",
    ]
    return [notice for notice in texts if notice]


def short_time_notice(request: SubmitRequest) -> str:
    """What `00:30` is for sbatch: seconds, where hours and minutes may be meant."""
    text = request.manifest.resources.options.get("time", "")
    seconds = time_limit_seconds(text)
    if seconds is None or seconds >= 60 or text.count(":") != 1 or "-" in text:  # a minute
        return ""
    return (
        f"the time limit {text} is {duration(seconds)}: sbatch reads it as minutes and seconds; "
        f"{text}:00 is {duration(60 * seconds)}"
    )


def cancelled_notice(done: Submitted) -> str:
    """When it will be certain that cancelled tasks are over."""
    count, tasks = done.cancelled.count, done.outlook.tasks
    if not count or tasks.certain_from is None:
        return ""
    are = f"{count} of them {'is' if count == 1 else 'are'} in array tasks that were cancelled"
    if tasks.problem:
        return f"{are}; that these are over is known once their cluster answers: {tasks.problem}"
    when = datetime.fromtimestamp(tasks.certain_from).strftime("%H:%M:%S")  # noqa: DTZ006  # as a clock on the wall says it
    return (
        f"{are}, and it is certain from {when} on that these are over. Submit again then, or use "
        "--wait."
    )


def replaceable_notice(replaceable: Replaceable | None, request: SubmitRequest) -> str:
    """Which queued array tasks have other options, and what is done with them."""
    if replaceable is None:
        return ""
    if request.replace:
        return f"{replaceable}; they are cancelled, and their cases sent anew"
    return f"{replaceable}; --replace cancels them and sends their cases anew"


def other_code_notice(outlook: Outlook, request: SubmitRequest) -> str:
    """Which results come from other code, and how to compute them again."""
    stale = outlook.indices(State.STALE)
    if not stale:
        return ""
    return _with_remedy(CodeCounts.of(outlook).text(), stale, request)


def changed_notice(outlook: Outlook, request: SubmitRequest) -> str:
    """Which results come from files or cells that have changed, and how to compute them again."""
    inputs = InputCounts.of(outlook)
    if inputs.unseen:
        command = check_command(request.manifest.name, str(request.path))
        return f"{inputs.text()}: {command} does"
    return _with_remedy(inputs.text(), outlook.changed, request) if inputs.changed else ""


def _with_remedy(what: str, indices: IndexSet, request: SubmitRequest) -> str:
    some = ", ".join(map(str, islice(indices, INDICES_NAMED)))
    more = " …" if indices.count > INDICES_NAMED else ""
    text = f"{what} (indices {some}{more})"
    return f"{text}; --rerun stale computes them again" if request.rerun is None else text
