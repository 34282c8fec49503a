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

from hpcsweep.terminal_text import visible

# What an OSError has for a file when standard output took no more.
STANDARD_OUTPUT = "standard output"


class _Bare(io.TextIOWrapper):
    """A second stream over the buffer of another one, which stays open: the same in any locale."""

    def __init__(self, beneath: TextIO) -> None:
        # write_through: what is written to any of them keeps its place.
        super().__init__(
            beneath.buffer, encoding="utf-8", errors="backslashreplace", write_through=True
        )

    def write(self, text: str) -> int:
        """Write a text. *Raises* OSError with the name of the stream."""
        try:
            return super().write(text)
        except OSError as error:
            raise _named(error) from error

    def flush(self) -> None:
        """Write what is buffered. *Raises* OSError with the name of the stream."""
        try:
            super().flush()
        except OSError as error:
            raise _named(error) from error


class _Clean(_Bare):
    """A stream of messages. `bare` is another one over the same buffer, for what is none."""

    def __init__(self, beneath: TextIO) -> None:
        super().__init__(beneath)
        self.bare = _Bare(beneath)

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


def _named(error: OSError) -> OSError:
    return OSError(error.errno, error.strerror, STANDARD_OUTPUT)


@contextlib.contextmanager
def clean() -> Iterator[None]:
    """Let all that is printed be clean."""
    before = sys.stdout, sys.stderr
    out, err = _Clean(sys.stdout), _Heedless(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in (out, out.bare, err, err.bare):
            with contextlib.suppress(OSError):
                stream.detach()  # to be closed would close what lies beneath


def bare(stream: TextIO) -> TextIO:
    """The stream as it is: for rich, whose own escape sequences are wanted."""
    return stream.bare if isinstance(stream, _Clean) else stream


def document() -> TextIO:
    """Where a document is written: as it is to a file or a pipe, clean to a terminal."""
    return sys.stdout if sys.stdout.isatty() else bare(sys.stdout)


def write_bytes(data: bytes) -> None:
    """Write a document that may be no text."""
    out = document()
    if out is sys.stdout:
        out.write(data.decode(errors="backslashreplace"))
    else:
        try:
            out.buffer.write(data)
        except OSError as error:
            raise _named(error) from error


def discard(stream: TextIO) -> None:
    """Let what was written and could not go out, and all that follows, go nowhere.

    Python would try again when it ends, complain in its own words and exit with 120.
    """
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
