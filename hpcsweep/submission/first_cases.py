"""Which cases go first, as the canary of a sweep. Pure.

They find out before a million others do that the program crashes at once, and measure how long a
case takes.
"""

from __future__ import annotations

from hpcsweep.indexset import IndexSet
from hpcsweep.state.outlook import Outlook

# The canary of a command where the manifest says nothing, and up to how many cases there is none: a
# smaller sweep has failed sooner than a canary.
DEFAULT_CANARY = 1
DEFAULT_ABOVE = 10


def spread(indices: IndexSet, count: int) -> IndexSet:
    """`count` of these indices, with equal distances, the first and the last one included."""
    if count >= indices.count:
        return indices
    if count <= 1:
        return indices.slice(0, count)
    steps, last = count - 1, indices.count - 1
    return IndexSet.of(indices.select(step * last // steps) for step in range(count))


def canary_size(outlook: Outlook, canary: int | None, count: int, *, goes_on: bool) -> int:
    """How many of `count` cases go first; 0 for all at once.

    `asked`: what the manifest says, None for the default of a command. `goes_on`: whether closing
    jobs can send the others. Where complete cases were measured there is nothing to find out, and
    a canary of all cases leaves none to be sent later.
    """
    if canary is None:
        canary = DEFAULT_CANARY if goes_on and count > DEFAULT_ABOVE else 0
    if outlook.measured is not None or canary >= count:
        return 0
    return canary
