"""What the cases that run now use, for the heartbeats of a task. Loaded with the first of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hpcsweep.recordcheck import RunningFields
from hpcsweep.worker import processes
from hpcsweep.worker.slot import Slot


def running_fields(slots: Iterable[Slot], clock: Callable[[], float]) -> list[RunningFields]:
    """The running case of each slot, with what its processes use."""
    listed: list[RunningFields] = []
    for slot in slots:
        case, child = slot.running, slot.process
        if case is None or child is None:
            continue
        # A child that forks its cases uses nothing for itself, and adopts their orphans.
        roots = processes.children(child.pid) if len(child.groups) > 1 else [child.pid]
        used = processes.usage(roots)
        child.memory_bytes = max(child.memory_bytes, used.memory_bytes)
        listed.append(
            {
                "index": case.request.index,
                "seconds": round(clock() - case.begun, 3),
                "cpu_seconds": round(max(0.0, used.cpu_seconds - child.cpu_seconds_before), 3),
                "memory_bytes": used.memory_bytes,
            }
        )
    return listed
