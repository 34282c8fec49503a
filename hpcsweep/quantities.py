"""Memory and time as sbatch takes them, and counts for people."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

_MEMORY = re.compile(r"(\d+)([KMGT]?)B?", re.IGNORECASE | re.ASCII)
_POWERS = {"K": 10, "M": 20, "": 20, "G": 30, "T": 40}
_MIB = 1 << 20


def memory_bytes(text: str) -> int | None:
    """Bytes of a `--mem`: a count of MiB, or with the unit K, M, G or T.

    None for 0, which asks for all memory of the node, and for anything else.
    """
    match = _MEMORY.fullmatch(text)
    return (int(match[1]) << _POWERS[match[2].upper()] or None) if match else None


def requested_memory(options: Mapping[str, str]) -> int | None:
    """Bytes of a node that a job with these options of sbatch asks for; None if it does not say."""
    if "mem" in options:
        return memory_bytes(options["mem"])
    per_cpu = memory_bytes(options.get("mem-per-cpu", ""))
    return per_cpu and per_cpu * int(options.get("cpus-per-task", "1"))


def memory_text(count: float) -> str:
    """Bytes as a `--mem`, in whole MiB, rounded up."""
    return f"{math.ceil(count / _MIB)}M"


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun, and with what agrees with it: `1 case`, `2 cases`.

    `one` stands behind 1, `many` behind all others; by default it is `one` with an `s`.
    """
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def size_text(count: int) -> str:
    """Bytes for people."""
    if count < _MIB:
        return f"{count / 2**10:.0f} KiB"
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / _MIB:.0f} MiB"


def duration(seconds: float) -> str:
    """A duration in the unit that suits it: 45 s, 30 min, 2.5 h."""
    if seconds < 120:  # two minutes
        return f"{seconds:.3g} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{hours_text(seconds / 3600)} h"


def hours_text(hours: float) -> str:
    """A number of hours in three digits, without an exponent."""
    if 0 < hours < 0.001:  # 4 seconds
        return "<0.001"
    return f"{hours:.3g}" if hours < 999.5 else f"{hours:,.0f}"


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


def time_limit_text(seconds: float) -> str:
    """Seconds as a `--time`: `HH:MM:SS`, from a day on `D-HH:MM:SS`, rounded up."""
    minutes, secs = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours:02d}:{minutes:02d}:{secs:02d}"
    return f"{days}-{clock}" if days else clock
