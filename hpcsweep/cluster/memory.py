"""Amounts of memory, in the form in which sbatch takes them."""

from __future__ import annotations

from collections.abc import Mapping


def memory_bytes(text: str) -> int:
    """Bytes of a `--mem`: `500M`, `2G`, or plain megabytes."""
    number = text.rstrip("KMGTkmgtBb")
    unit = text[len(number) : len(number) + 1].upper() or "M"
    return int(number) << 10 * ("KMGT".index(unit) + 1)


def requested_memory(options: Mapping[str, str]) -> int | None:
    """Bytes that a job of these options asks for on its node; None if unknown, or all of them."""
    if "mem" in options:
        return memory_bytes(options["mem"]) or None
    if "mem-per-cpu" in options:
        cpus = int(options.get("cpus-per-task", "1"))
        return memory_bytes(options["mem-per-cpu"]) * cpus or None
    return None
