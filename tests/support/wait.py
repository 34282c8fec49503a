"""The one place of the tests that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
# Largest pause, in seconds, that follows from how long a call takes.
REST_MAX_S = 3.0


class WaitTimeout(AssertionError):
    """The deadline came first; the message holds the last thing seen."""


def wait_until(
    predicate: Callable[[], T | str | None],
    timeout_s: float,
    what: str,
    *,
    poll_s: float = 0.05,
) -> T:
    """Call `predicate` until it returns a true value that is not a string, and return that.

    A string says "not yet" and describes what was seen; any other false value says "not yet".
    Between two calls are `poll_s` seconds, or after a call that took long four times as many, up to
    `REST_MAX_S`: what is waited for needs the processor as well.
    *Raises* WaitTimeout, which names `what` and the last thing seen, after `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        begun = time.monotonic()
        seen = predicate()
        if seen and not isinstance(seen, str):
            return seen
        ended = time.monotonic()
        if ended >= deadline:
            raise WaitTimeout(f"not within {timeout_s:g} s: {what}; last seen: {seen!s}")
        time.sleep(max(poll_s, min(4 * (ended - begun), REST_MAX_S)))
