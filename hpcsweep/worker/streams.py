"""Standard output and error of a case: redirect them, and buffer at most a line."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

from hpcsweep.files import open_file, write_all

# The file of each stream in a run directory, by its descriptor.
_NAMES = {1: "stdout", 2: "stderr"}
# The stream objects of this process, by descriptor: modules may keep them from their import on.
_streams: dict[int, io.TextIOWrapper] = {}


class _UnbufferedWriter(io.FileIO):
    """Writes everything at once, without a buffer and without short writes."""

    def write(self, data: Any, /) -> int:
        """*Raises* OSError."""
        write_all(self.fileno(), data)
        return memoryview(data).nbytes


def capture(run_dir: str | None, otherwise: tuple[int, int]) -> None:
    """Redirect standard output and error into the run directory, or to `otherwise`."""
    for number, name in _NAMES.items():
        if run_dir is None:
            os.dup2(otherwise[number - 1], number)
            continue
        descriptor = open_file(f"{run_dir}/{name}.txt", os.O_WRONLY | os.O_APPEND)
        if descriptor == number:  # an earlier case closed it
            os.set_inheritable(number, True)
            continue
        os.dup2(descriptor, number)
        os.close(descriptor)


def reopen() -> None:
    """Install Python's streams, also after a case closed or replaced them.

    They write each line when it is complete, so that the output before a crash is kept.
    """
    for number, name in _NAMES.items():
        stream = _streams.get(number)
        if stream is None or not _is_open(stream):
            stream = _streams[number] = _line_buffered(number, getattr(sys, f"__{name}__"))
        setattr(sys, f"__{name}__", stream)
        setattr(sys, name, stream)


def _line_buffered(number: int, before: io.TextIOWrapper) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        _UnbufferedWriter(number, "w", closefd=False),  # raw, as with `python -u`
        encoding=before.encoding,
        errors=before.errors,
        line_buffering=True,
        write_through=before.write_through,  # with PYTHONUNBUFFERED, not even lines are buffered
    )


def _is_open(stream: io.TextIOWrapper) -> bool:
    try:
        return not stream.closed
    except ValueError:  # detached
        return False


def flush() -> None:
    """Flush an incomplete line."""
    for stream in (sys.stdout, sys.stderr):
        # A target may have closed it, or replaced it by anything.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
