"""Which node ran what when: a bar for each execution, or how busy each node was. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hpcsweep.state.executions import Floats, Ints

# Above so many executions, or lanes for them, there is no bar for each but a row for each node, of
# so many intervals of time; and above so many nodes one row for all of the others.
BARS_MAX, LANES_MAX = 3000, 100
INTERVALS, NODES_MAX = 200, 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Spans:
    """Executions that have a place on an axis of time."""

    # Seconds; `end` is not before `start`.
    start: Floats
    end: Floats
    # The number of the node, and of the array task.
    host: npt.NDArray[np.signedinteger[Any]]
    task: npt.NDArray[np.signedinteger[Any]]

    def __len__(self) -> int:
        return len(self.start)


@dataclass(slots=True)
class _NodeLanes:
    """The lanes of a node so far."""

    # When lanes that are in use become free, with the lane and its task.
    busy: list[tuple[float, int, int]] = field(default_factory=list)
    # The task that was last in each free lane.
    free: dict[int, int] = field(default_factory=dict)

    def lane(self, start: float, end: float, task: int) -> int:
        """A lane that is free from `start` on, taken until `end`: the last one of the task."""
        while self.busy and self.busy[0][0] <= start:
            _, lane, before = heapq.heappop(self.busy)
            self.free[lane] = before
        own = [lane for lane, before in self.free.items() if before == task]
        chosen = min(own or self.free, default=len(self.free) + len(self.busy))
        self.free.pop(chosen, None)
        heapq.heappush(self.busy, (end, chosen, task))
        return chosen


def lanes(spans: Spans) -> Ints | None:
    """The lane of each execution on its node: those of one lane do not overlap. None of too many.

    Slots are not recorded: there are as many lanes as cases ran at once, and a task keeps its own.
    """
    if len(spans) > BARS_MAX:
        return None
    nodes: dict[int, _NodeLanes] = {}
    chosen = np.zeros(len(spans), dtype=np.int64)
    for at in np.lexsort((spans.end, spans.start)).tolist():
        node = nodes.setdefault(int(spans.host[at]), _NodeLanes())
        start, end = float(spans.start[at]), float(spans.end[at])
        chosen[at] = node.lane(start, end, int(spans.task[at]))
    n_lanes = sum(len(node.free) + len(node.busy) for node in nodes.values())
    return chosen if n_lanes <= LANES_MAX else None


def busy_nodes(spans: Spans, hosts: Sequence[str]) -> dict[str, Any]:
    """How many cases ran on average on each node, in intervals of equal length.

    The nodes that were busy longest come first; `others` counts those that are one row, the last.
    """
    start, stop = float(spans.start.min()), float(spans.end.max())
    edges = np.linspace(start, max(stop, start + 1.0), INTERVALS + 1)
    seconds = np.bincount(spans.host, weights=spans.end - spans.start, minlength=len(hosts))
    order = np.argsort(-seconds, kind="stable")
    shown, rest = order[:NODES_MAX], order[NODES_MAX:]
    rows = [_means(spans, spans.host == host, edges) for host in shown]
    names = [hosts[host] for host in shown]
    if len(rest):
        rows.append(_means(spans, np.isin(spans.host, rest), edges))
        names.append("")
    return {
        "start": start,
        "step": float(edges[1] - edges[0]),
        "nodes": names,
        "others": len(rest),
        "running": [row.round(3).tolist() for row in rows],
    }


def _means(spans: Spans, chosen: npt.NDArray[np.bool_], edges: Floats) -> Floats:
    """The mean count of open executions between two successive times each."""
    total = _seconds_until(spans.start[chosen], edges) - _seconds_until(spans.end[chosen], edges)
    return np.asarray(np.diff(total) / np.diff(edges))


def _seconds_until(moments: Floats, times: Floats) -> Floats:
    """At each time: the sum of the seconds that have passed since each earlier moment."""
    ordered = np.sort(moments - times[0])  # small numbers lose fewer digits in a sum
    sums = np.append(0.0, np.cumsum(ordered))
    passed = np.searchsorted(ordered, times - times[0], side="right")
    return np.asarray(passed * (times - times[0]) - sums[passed])
