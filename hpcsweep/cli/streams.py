"""Standard output and error while a command runs: the one door to the terminal.

Whatever is printed goes through `visible`, wherever it goes. A *document* (csv, JSON, a file, a
script) keeps its bytes in a file or a pipe: it is written to `document()`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from hpcsweep.screen import visible


class _Clean(io.TextIOWrapper):
    """A stream of messages over the buffer of another one, which stays open."""

    def __init__(self, beneath: TextIO) -> None:
        super().__init__(
            beneath.buffer, encoding="utf-8", errors="backslashreplace", write_through=True
        )
        self.beneath = beneath

    def write(self, text: str) -> int:
        """Write what is visible of a text."""
        super().write(visible(text))
        return len(text)


class _Heedless(_Clean):
    """Standard error: a message that cannot be written stops nothing."""

    def write(self, text: str) -> int:
        """Write what can be written."""
        try:
            super().write(text)
            super().flush()
        except OSError:
            discard(self)
        return len(text)


@contextlib.contextmanager
def clean() -> Iterator[None]:
    """Let all that is printed be clean, and the same bytes in every locale."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper):
            # write_through: what is written to either of the two streams keeps its place.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", write_through=True)
    sys.stdout, sys.stderr = made = _Clean(sys.stdout), _Heedless(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in made:
            # Not closed, which would close what lies beneath.
            with contextlib.suppress(OSError):
                stream.detach()


def beneath(stream: TextIO) -> TextIO:
    """The stream itself: for rich, whose own escape sequences are wanted."""
    return stream.beneath if isinstance(stream, _Clean) else stream


def document() -> TextIO:
    """Where a document is written: as it is to a file or a pipe, clean to a terminal."""
    return sys.stdout if sys.stdout.isatty() else beneath(sys.stdout)


def write_bytes(data: bytes) -> None:
    """Write a document that may be no text."""
    out = document()
    if out is sys.stdout:
        out.write(data.decode(errors="backslashreplace"))
    else:
        out.flush()
        out.buffer.write(data)


def discard(stream: TextIO) -> None:
    """Let what was written and could not go out, and all that follows, go nowhere.

    Python would try again when it ends, complain in its own words and exit with 120.
    """
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
