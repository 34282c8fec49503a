"""Notices of the Python door: logged, and by default printed."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

from hpcsweep.terminal_text import visible

_log = logging.getLogger(__name__)

# A function that is called with each notice.
Notify = Callable[[str], None]


def print_notice(text: str) -> None:
    """Print a notice on standard error, like the command line."""
    sys.stderr.write(f"{visible(text)}\n")
    sys.stderr.flush()


def logged(notify: Notify | None) -> Notify:
    """Return a function that logs each notice, and passes it on."""

    def log_notice(text: str) -> None:
        _log.info("%s", text)
        if notify is not None:
            notify(text)

    return log_notice
