"""The page *Run*: which node ran what when, how many cases ran and waited, and what ran again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcsweep.indexset import IndexSet
from hpcsweep.report.gantt import Spans, busy_nodes, lanes
from hpcsweep.report.run_curves import Curve, step_curve
from hpcsweep.report.search_curve import search_data
from hpcsweep.report.source import ReportSource
from hpcsweep.state.executions import STATUSES, Executions, Floats
from hpcsweep.state.moments import epoch_s
from hpcsweep.state.outlook import Outlook, State
from hpcsweep.sweepdir.directory import SweepDirectory

# The cases with most attempts of which each attempt is shown.
MOST_ATTEMPTS_MAX = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """When submissions were sent, and what of them has not begun."""

    # Seconds since the epoch by submission; those without a known time are not in it.
    times: Mapping[int, float]
    # Count of cases that wait now, by submission.
    waiting: Mapping[int, int]


def data(source: ReportSource) -> dict[str, Any]:
    """Where and when cases ran."""
    opened, known = source.open_sweep, source.repeated_read
    return run_data(
        source.executions,
        opened.outlook.indices(State.RUNNING),
        _sent(source.sweep, opened.outlook),
        opened.sweep_index.attempts(known),
        source.made.timestamp(),
    ) | {
        "repeated": source.repeated.count,
        "repeated_read": known.count,
        "search": search_data(source),
    }


def _sent(sweep: SweepDirectory, outlook: Outlook) -> Sent:
    """When each submission was sent, and how many of its cases wait."""
    times, waiting = {}, {}
    rest = outlook.indices(State.QUEUED, State.HELD, State.UNKNOWN)
    for number in reversed(sweep.submissions()):
        plan, document = sweep.plan(number)
        waiting[number] = (rest & plan.indices).count
        rest -= plan.indices
        if document.get("time"):
            times[number] = epoch_s(document["time"])
    return Sent(times=times, waiting=waiting)


def run_data(
    executions: Executions,
    running: IndexSet,
    sent: Sent,
    earlier: Iterable[Mapping[str, Any]],
    now: float,
) -> dict[str, Any]:
    """See `data`. Pure.

    `running` are the cases that run, by what is known; `earlier` has all attempts of the cases with
    several, by index and number; `now` is in seconds since the epoch.
    """
    spans, problems = _spans(executions, running, now)
    waits = _waits(executions, spans, sent)
    return {
        "executions": len(executions),
        "problems": problems | {"before_sent": int(np.count_nonzero(waits < 0))},
        "gantt": _gantt(executions, spans) if len(spans) else None,
        "running": _curve(step_curve(spans.start, spans.end)),
        "waiting": _waiting(spans, waits, sent),
        "attempts": _attempts(earlier),
    }


def _spans(executions: Executions, running: IndexSet, now: float) -> tuple[Spans, dict[str, int]]:
    """When each execution ran, and how many have no plausible end.

    The clock of a node may be set back while a case runs: then its end follows from how long it ran
    on the monotonic clock.
    """
    start, end, index = executions.start, executions.end, executions.index
    is_open = np.isnan(end)
    is_last = np.append(index[1:] != index[:-1], np.ones(min(1, len(index)), dtype=bool))
    runs = is_open & is_last
    runs[runs] = [at in running for at in index[runs].tolist()]
    unknown = is_open & ~runs
    backwards = end < start
    if is_open.any() or backwards.any():  # else no copy is needed
        end = end.copy()
        end[runs] = np.maximum(now, start[runs])
        mended = backwards | unknown
        end[mended] = start[mended] + np.nan_to_num(executions.wall[mended])
    problems = {"backwards": int(backwards.sum()), "without_end": int(unknown.sum())}
    return Spans(start=start, end=end, host=executions.host, task=executions.task), problems


def _waits(executions: Executions, spans: Spans, sent: Sent) -> Floats:
    """Seconds from the time that a case could run to its start; NaN if that is not known.

    That time is when its submission was sent; after an earlier attempt in it, the end of that one.
    It is negative where the clocks of two hosts differ by more than the case waited.
    """
    numbers = np.unique(executions.submission)
    since = np.array([sent.times.get(int(number), np.nan) for number in numbers])
    begins = since[np.searchsorted(numbers, executions.submission)] if len(numbers) else since
    same = executions.index[1:] == executions.index[:-1]
    again = same & (executions.submission[1:] == executions.submission[:-1])
    begins[1:][again] = spans.end[:-1][again]
    return np.asarray(spans.start - begins)


def _waiting(spans: Spans, waits: Floats, sent: Sent) -> dict[str, Any] | None:
    """The count of cases that were sent and had not begun; None if no time is known."""
    known = ~np.isnan(waits)
    ends = spans.start[known]
    starts = ends - np.maximum(waits[known], 0.0)
    still = [(sent.times[n], count) for n, count in sent.waiting.items() if n in sent.times]
    if not len(starts) and not still:
        return None
    if still:
        open_since = np.repeat([time for time, _ in still], [count for _, count in still])
        starts = np.append(starts, open_since)
        ends = np.append(ends, np.full(len(open_since), np.inf))
    return _curve(step_curve(starts, ends))


def _curve(curve: Curve) -> dict[str, Any]:
    return {"times": curve.times, "values": curve.values, "peak": curve.peak}


def _gantt(executions: Executions, spans: Spans) -> dict[str, Any]:
    """A bar for each execution; where they are too many, how busy each node was."""
    hosts = executions.hosts
    lane = lanes(spans)
    if lane is None:
        return {"kind": "nodes", **busy_nodes(spans, hosts)}
    rows = sorted(
        set(zip(spans.host.tolist(), lane.tolist(), strict=True)),
        key=lambda row: (hosts[row[0]], row[1]),
    )
    place = {row: at for at, row in enumerate(rows)}
    return {
        "kind": "bars",
        "rows": [{"node": hosts[host], "slot": number} for host, number in rows],
        "row": [place[pair] for pair in zip(spans.host.tolist(), lane.tolist(), strict=True)],
        "start": spans.start.tolist(),
        "end": spans.end.tolist(),
        "status": [STATUSES[number].value for number in executions.status],
        "index": executions.index.tolist(),
        "submission": executions.submission.tolist(),
    }


def _attempts(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What is to be known of the cases with several attempts."""
    counts: Counter[int] = Counter()
    reasons: Counter[str] = Counter()
    requeued = 0
    most: list[dict[str, Any]] = []
    for attempts in _by_case(rows):
        counts[len(attempts)] += 1
        reasons.update(one["reason"] or one["status"] or "" for one in attempts[:-1])
        requeued += sum(one["restart"] > 0 for one in attempts)
        most.append(_of_case(attempts))
        if len(most) > 4 * MOST_ATTEMPTS_MAX:
            most = _largest(most)
    return {
        "cases": {str(count): counts[count] for count in sorted(counts)},
        "requeued": requeued,
        "earlier": [{"reason": reason, "attempts": n} for reason, n in reasons.most_common()],
        "most": _largest(most),
    }


def _largest(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(cases, key=lambda one: (-len(one["attempts"]), one["index"]))[:MOST_ATTEMPTS_MAX]


def _of_case(attempts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ("submission", "restart", "status", "reason", "host", "started", "wall_seconds")
    return {
        "index": attempts[0]["idx"],
        "attempts": [{name: one[name] for name in names} for one in attempts],
    }


def _by_case(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    case: list[Mapping[str, Any]] = []
    for row in rows:
        if case and row["idx"] != case[0]["idx"]:
            yield case
            case = []
        case.append(row)
    if case:
        yield case
