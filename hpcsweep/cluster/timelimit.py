"""Time limits of array tasks, in sbatch's format."""

from __future__ import annotations

import math


def time_limit_seconds(text: str) -> int | None:
    """Seconds of a `--time`: minutes, m:s, h:m:s, d-h, d-h:m, d-h:m:s; None for no limit."""
    days, dash, rest = text.rpartition("-")
    try:
        fields = [int(field) for field in rest.split(":")]
        whole_days = int(days) if dash else 0
    except ValueError:
        return None
    if dash:
        hours, minutes, secs = (*fields, 0, 0)[:3]
    elif len(fields) == 3:
        hours, minutes, secs = fields
    else:
        hours, (minutes, secs) = 0, (*fields, 0)[:2]
    return ((whole_days * 24 + hours) * 60 + minutes) * 60 + secs or None


def warning_seconds(time_limit_s: int | None) -> int:
    """Seconds from the warning signal to the time limit: a twentieth of the limit, 5 to 120.

    Slurm checks every 30 s and may send it up to 60 s earlier.
    """
    if time_limit_s is None:
        return 60
    return min(120, max(5, math.ceil(time_limit_s / 20)))
