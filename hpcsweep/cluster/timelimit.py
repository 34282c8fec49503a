"""The warning before the time limit of an array task."""

from __future__ import annotations

import math


def warning_seconds(time_limit_s: int | None) -> int:
    """Seconds from the warning signal to the time limit: a twentieth of the limit, 5 to 120.

    Slurm checks every 30 s and may send it up to 60 s earlier.
    """
    if time_limit_s is None:
        return 60
    return min(120, max(5, math.ceil(time_limit_s / 20)))
