"""What attempts asked for and used, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hpcsweep.quantities import size_text
from hpcsweep.records import Resources
from hpcsweep.store.case_reader import IndexRow

# What is asked for instead of memory of the whole task.
_SHARES = {"mem-per-cpu": "CPU", "mem-per-gpu": "GPU"}


def requested(resources: Resources) -> dict[str, Any]:
    """The columns of what an attempt's array task asked for; without what it did not say."""
    options = resources.options
    memory = options.get("mem")
    for option, share in _SHARES.items():
        if option in options:
            memory = f"{options[option]} per {share}"
    columns = {
        "asked_time": options.get("time"),
        "asked_mem": memory,
        "asked_cpus": int(options.get("cpus-per-task", "1")),
    }
    return {name: value for name, value in columns.items() if value is not None}


def line(row: IndexRow, resources: Resources) -> str:
    """One attempt in a line: its submission and outcome, what it asked for, and what it used."""
    outcome = ": ".join(word for word in (row["status"], row["reason"]) if word) or "unknown"
    columns = requested(resources)
    options = (("mem", columns.get("asked_mem")), ("time", columns.get("asked_time")))
    asked_for = ", ".join(f"{name} {value}" for name, value in options if value)
    used = ", ".join(_used(row))
    parts = [
        f"attempt {row['number']} (submission {row['submission']}): {outcome}",
        asked_for and f"asked for {asked_for}",
        used and f"used {used}",
        row["host"] and f"on {row['host']}",
    ]
    return "; ".join(part for part in parts if part)


def _used(row: IndexRow) -> Iterator[str]:
    if row["max_rss_bytes"] is not None:
        yield size_text(row["max_rss_bytes"])
    if row["wall_seconds"] is not None:
        yield f"{row['wall_seconds']:.4g} s"
    if row["cpu_seconds"] is not None:
        yield f"{row['cpu_seconds']:.4g} s of CPU"
