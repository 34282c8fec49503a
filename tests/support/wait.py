"""The one place of the tests that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


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
    *Raises* WaitTimeout, which names `what` and the last thing seen, after `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        seen = predicate()
        if seen and not isinstance(seen, str):
            return seen
        if time.monotonic() >= deadline:
            raise WaitTimeout(f"not within {timeout_s:g} s: {what}; last seen: {seen!s}")
        time.sleep(poll_s)
