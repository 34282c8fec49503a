"""What live pages show: each is read by one thread, however many tabs show it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Condition

from hpcsweep.report.document import Section

# Between two readings of a page: so many times the duration of one, but at least these seconds.
RESTS, INTERVAL_S = 10, 5.0
# Seconds after the last request for a page from which on it is no longer read.
ATTENTION_S = 60.0
# Seconds between two looks at what is due.
TICK_S = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """A page as it was read."""

    name: str
    made: datetime
    sections: tuple[Section, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The newest reading of a page."""

    # Counts readings, of all pages.
    reading: int
    # The reading since which the sections are the same.
    version: int
    content: Content


class LivePages:
    """The newest reading of each page that somebody looks at. Thread-safe."""

    def __init__(self, read: Callable[[str], Content], *, idle_s: float) -> None:
        """Describe pages that `read` makes, by their place in the address."""
        self._read = read
        self._idle_s = idle_s
        self._numbers = itertools.count(1)
        self._changed = Condition()
        self._snapshots: dict[str, Snapshot] = {}
        # When a page was asked for last, and when it may be read again.
        self._asked: dict[str, float] = {}
        self._due: dict[str, float] = {}
        # Requests that wait for a reading, and when the last one was there.
        self._waiting = 0
        self._used = time.monotonic()

    def snapshot(self, place: str, timeout_s: float, after: int = 0) -> Snapshot | None:
        """A reading of a page with a number above `after`; None if there is none in time."""

        def newer() -> Snapshot | None:
            found = self._snapshots.get(place)
            return found if found and found.reading > after else None

        with self._changed:
            self._asked[place] = time.monotonic()
            self._waiting += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(newer, timeout_s)
            finally:
                self._waiting -= 1
                self._used = time.monotonic()

    def read_until_idle(self) -> None:
        """Read the pages that are asked for, until there was no request for so long."""
        while self._waiting or time.monotonic() - self._used < self._idle_s:
            with self._changed:
                place = self._next()
                if place is None:
                    self._changed.wait(TICK_S)
                    continue
            begun = time.monotonic()
            content = self._read(place)
            now = time.monotonic()
            with self._changed:
                self._keep(place, content)
                self._due[place] = now + max(INTERVAL_S, RESTS * (now - begun))
                self._changed.notify_all()

    def _next(self) -> str | None:
        """The page that is due for longest; forget those that nobody looks at."""
        now = time.monotonic()
        for old, asked in list(self._asked.items()):
            if now - asked > ATTENTION_S:
                for known in (self._asked, self._due, self._snapshots):
                    known.pop(old, None)
        due = {place: self._due.get(place, 0.0) for place in self._asked}
        place = min(due, key=due.__getitem__, default=None)
        return place if place is not None and due[place] <= now else None

    def _keep(self, place: str, content: Content) -> None:
        reading, before = next(self._numbers), self._snapshots.get(place)
        is_same = before is not None and before.content.sections == content.sections
        version = before.version if before is not None and is_same else reading
        self._snapshots[place] = Snapshot(reading=reading, version=version, content=content)
