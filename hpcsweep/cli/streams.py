"""Standard output and error while a command runs.

Every message passes through `visible`, also in a file or a pipe. A *document* (csv, JSON, a file,
a script) is written to `document()`, which keeps its bytes in a file or a pipe.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from hpcsweep.terminal_text import visible

# The file name in the OSError of a failed write to standard output.
STANDARD_OUTPUT = "standard output"


class _Bare(io.TextIOWrapper):
    """A UTF-8 stream over the buffer of another stream, which stays open, in any locale."""

    def __init__(self, beneath: TextIO) -> None:
        # write_through: several streams over one buffer keep the order of their writes.
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
        """Flush the buffer. *Raises* OSError with the name of the stream."""
        try:
            super().flush()
        except OSError as error:
            raise _named(error) from error


class _Clean(_Bare):
    """A stream for messages; `bare` is a stream for documents over the same buffer."""

    def __init__(self, beneath: TextIO) -> None:
        super().__init__(beneath)
        self.bare = _Bare(beneath)

    def write(self, text: str) -> int:
        """Write a text with its control characters escaped."""
        super().write(visible(text))
        return len(text)


class _Lossy(_Clean):
    """Standard error: a message that cannot be written is dropped."""

    def write(self, text: str) -> int:
        """Write a text; drop it if that fails."""
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
    """Escape control characters in everything that is printed."""
    before = sys.stdout, sys.stderr
    out, err = _Clean(sys.stdout), _Lossy(sys.stderr)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in (out, out.bare, err, err.bare):
            with contextlib.suppress(OSError):
                stream.detach()  # closing it would close the stream beneath


def bare(stream: TextIO) -> TextIO:
    """The stream without escaping: rich writes escape sequences of its own."""
    return stream.bare if isinstance(stream, _Clean) else stream


def document() -> TextIO:
    """The stream for a document: unchanged to a file or a pipe, escaped to a terminal."""
    return sys.stdout if sys.stdout.isatty() else bare(sys.stdout)


def write_bytes(data: bytes) -> None:
    """Write a document that may be binary."""
    out = document()
    if out is sys.stdout:
        out.write(data.decode(errors="backslashreplace"))
    else:
        try:
            out.buffer.write(data)
        except OSError as error:
            raise _named(error) from error


def discard(stream: TextIO) -> None:
    """Redirect a stream to /dev/null, with what it still buffers.

    Otherwise Python flushes again at exit, prints an error of its own and exits with 120.
    """
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
