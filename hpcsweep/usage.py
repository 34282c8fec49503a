"""Resource usage of this process."""

from __future__ import annotations

import resource


def cpu_seconds() -> float:
    """User and system seconds of this process and of its children that ended."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total
