"""Which cases go first, as the canary of a sweep. Pure.

They find out before a million others do that the program crashes at once, and measure how long a
case takes.
"""

from __future__ import annotations

from hpcsweep.indexset import IndexSet
from hpcsweep.state.outlook import Outlook


def spread(indices: IndexSet, count: int) -> IndexSet:
    """`count` of these indices, with equal distances, the first and the last one included."""
    if count >= indices.count:
        return indices
    if count <= 1:
        return indices.slice(0, count)
    steps, last = count - 1, indices.count - 1
    return IndexSet.of(indices.select(step * last // steps) for step in range(count))


def canary_size(outlook: Outlook, asked: int, count: int) -> int:
    """How many of `count` cases go first; 0 for all at once.

    `asked`: what the manifest says. Where complete cases were measured there is nothing to find
    out, and a canary of all cases leaves none to be sent later.
    """
    if outlook.measured is not None or asked >= count:
        return 0
    return asked
