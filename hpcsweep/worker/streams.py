"""Standard output and error of a case: where they go, and that nothing printed is held back."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

from hpcsweep.files import open_file, write_all

# The file of each stream in a run directory, by its descriptor.
_NAMES = {1: "stdout", 2: "stderr"}
# This process's, by descriptor: what a module keeps of them at its import stays in use.
_ours: dict[int, io.TextIOWrapper] = {}


class _Through(io.FileIO):
    """Writes all that it is given, as a buffered file does, and at once."""

    def write(self, data: Any, /) -> int:
        """*Raises* OSError."""
        write_all(self.fileno(), data)
        return memoryview(data).nbytes


def capture(run_dir: str | None, otherwise: tuple[int, int]) -> None:
    """Send standard output and error into the run directory, or where `otherwise` says."""
    for number, name in _NAMES.items():
        if run_dir is None:
            os.dup2(otherwise[number - 1], number)
            continue
        descriptor = open_file(f"{run_dir}/{name}.txt", os.O_WRONLY | os.O_APPEND)
        os.dup2(descriptor, number)
        os.close(descriptor)


def reopen() -> None:
    """Give Python its streams, also where an earlier case closed them or put others there.

    A line goes out when it is complete: what a case printed before it crashed is kept.
    """
    for number, name in _NAMES.items():
        stream = _ours.get(number)
        if stream is None or not _is_open(stream):
            stream = _ours[number] = _line_by_line(number, getattr(sys, f"__{name}__"))
        setattr(sys, f"__{name}__", stream)
        setattr(sys, name, stream)


def _line_by_line(number: int, before: io.TextIOWrapper) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        _Through(number, "w", closefd=False),  # raw, as with `python -u`
        encoding=before.encoding,
        errors=before.errors,
        line_buffering=True,
        write_through=before.write_through,  # with PYTHONUNBUFFERED, not even a line is held back
    )


def _is_open(stream: io.TextIOWrapper) -> bool:
    try:
        return not stream.closed
    except ValueError:  # detached
        return False


def flush() -> None:
    """Write out the beginning of a line."""
    for stream in (sys.stdout, sys.stderr):
        # A target may have closed it, or put anything in its place.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
