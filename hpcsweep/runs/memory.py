"""Complete cases that used more memory than their job asked for."""

from __future__ import annotations

from dataclasses import dataclass

from hpcsweep.quantities import requested_memory, size_text
from hpcsweep.records import Resources, Status

# How many times the request a process may hold before it counts as more: pages of libraries that
# another job has loaded are part of its resident size and of no limit.
TOLERANCE = 1.1


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryExcess:
    """More memory than was asked for."""

    used_bytes: int
    requested_bytes: int

    @property
    def ratio(self) -> float:
        """How many times the request was used."""
        return self.used_bytes / self.requested_bytes

    @property
    def text(self) -> str:
        """For people."""
        used, requested = size_text(self.used_bytes), size_text(self.requested_bytes)
        return f"used {used}, asked for {requested}: the cluster does not enforce it"

    def to_json(self) -> dict[str, int]:
        """For `--json`."""
        return {"used_bytes": self.used_bytes, "requested_bytes": self.requested_bytes}


def memory_excess(
    status: Status, resources: Resources, max_rss_bytes: int | None
) -> MemoryExcess | None:
    """That of a complete case whose job asked for this; None without one."""
    requested = requested_memory(resources.options)
    if status is not Status.COMPLETE or requested is None:
        return None
    if max_rss_bytes is None or max_rss_bytes <= requested * TOLERANCE:
        return None
    return MemoryExcess(used_bytes=max_rss_bytes, requested_bytes=requested)
