"""The status of a sweep in place of the one before, for `status --watch`."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from hpcsweep.cli.render.summary import print_summary
from hpcsweep.progress import print_changes
from hpcsweep.state.summary import Summary

# Share of a core that a watch aims at, and the seconds that it rests at most for that.
SHARE, REST_MAX_S = 0.015, 60.0


@contextmanager
def live_summary(console: Console) -> Iterator[Callable[[Summary], None]]:
    """Yield a function that shows each summary, and rests so long that it costs little.

    On a terminal in place, and nothing is left of it; elsewhere a line when something changes.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        yield _resting(print_changes())
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        size = console.size

        def update(summary: Summary) -> None:
            nonlocal size
            if console.size != size:  # the terminal has wrapped what was there in its own way
                console.clear()
                size = console.size
            live.update(Text.from_ansi(_text(summary)), refresh=True)

        yield _resting(update)


class _Screen(StringIO):
    """What a terminal would get."""

    def isatty(self) -> bool:
        """Widths and colours are those of a terminal."""
        return True


def _text(summary: Summary) -> str:
    """The summary as `status` prints it on this terminal."""
    with contextlib.redirect_stdout(_Screen()) as screen:
        print_summary(summary)
    return screen.getvalue().rstrip("\n")


def _resting(show: Callable[[Summary], None]) -> Callable[[Summary], None]:
    """Show summaries; rest after each but the first and those after which a sweep is advanced."""
    before: tuple[float, float] | None = None

    def update(summary: Summary) -> None:
        nonlocal before
        show(summary)
        if before is not None and not summary.is_settled:
            time.sleep(rest_s(_used_s() - before[0], time.monotonic() - before[1]))
        before = None if summary.is_settled else (_used_s(), time.monotonic())

    return update


def rest_s(used_s: float, passed_s: float) -> float:
    """Seconds after which processor time that was used is the `SHARE` of the time. Pure."""
    return min(REST_MAX_S, max(0.0, used_s / SHARE - passed_s))


def _used_s() -> float:
    """Processor time of this process, and of the programs that it has called."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
