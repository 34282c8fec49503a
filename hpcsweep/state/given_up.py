"""The cases that `retry` gives up, and why: for people. Pure."""

from __future__ import annotations

from itertools import islice

from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import Policies, Retry
from hpcsweep.quantities import counted
from hpcsweep.records import Reason
from hpcsweep.state.escalation import RAN_OUT, escalated
from hpcsweep.state.outlook import NONE, Outlook

# Indices that a line names.
INDICES_NAMED = 10


def exhausted(outlook: Outlook, retry: Retry) -> dict[str, IndexSet]:
    """Indices that `retry` gives up, by why: for people."""
    by_reason: dict[str, IndexSet] = {}
    for group in outlook.groups:
        if group.reason is None or group.reason not in retry.on or group.submission is None:
            continue
        if group.reason is Reason.QUOTA:  # sent again as often as it takes
            continue
        why = ""
        if group.tries >= retry.max_attempts:
            why = f"{group.reason} after {counted(group.tries, 'attempt')}"
        elif group.tries:
            resources = outlook.resources[group.submission]
            most = outlook.caps
            if escalated(resources, group.reason, retry, group.max_rss_bytes, most) is None:
                name = RAN_OUT[group.reason]
                why = f"{group.reason}, and no more `{name}` can be asked for"
        if why:
            by_reason[why] = by_reason.get(why, NONE) | group.indices
    return by_reason


def given_up(outlook: Outlook) -> dict[str, IndexSet]:
    """What the `retry` of the outlook's manifest gives up; nothing without one."""
    retry = Policies.from_json(outlook.version.manifest.policies).retry
    return {} if retry is None else exhausted(outlook, retry)


def given_up_lines(by_reason: dict[str, IndexSet]) -> list[str]:
    """A line for each reason."""
    return [_line(why, indices) for why, indices in sorted(by_reason.items())]


def _line(why: str, indices: IndexSet) -> str:
    some = ", ".join(map(str, islice(indices, INDICES_NAMED)))
    more = " …" if indices.count > INDICES_NAMED else ""
    named = "index" if indices.count == 1 else "indices"
    return f"retry gave up {counted(indices.count, 'case')}: {why} ({named} {some}{more})"
