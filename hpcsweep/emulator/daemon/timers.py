"""A queue of timers."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable


class Timers:
    """A queue of actions by time, in seconds since the epoch."""

    def __init__(self, tick_s: float) -> None:
        self.started = time.time()
        self._tick_s = tick_s
        self._count = 0
        self._heap: list[tuple[float, int, Callable[[], object]]] = []

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Call `action` at this time."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, action))

    def next_due(self) -> float | None:
        """The time of the next action."""
        return self._heap[0][0] if self._heap else None

    def run(self) -> None:
        """Call every action that is due."""
        while self._heap and self._heap[0][0] <= time.time():
            heapq.heappop(self._heap)[2]()

    def on_tick(self, when: float) -> float:
        """The first check of time limits at or after this time."""
        if not self._tick_s:
            return when
        return self.started + math.ceil((when - self.started) / self._tick_s) * self._tick_s
