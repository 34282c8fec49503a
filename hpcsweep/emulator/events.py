"""The event log: append-only JSON lines, the only persistent state of an emulated cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpcsweep import files


class EventLog:
    """The scheduler's end of the log."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, files.PRIVATE_FILE
        )
        # A kill during a write leaves an incomplete line: terminate it before the next one.
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.write(self._descriptor, b"\n")

    def append(self, *events: dict[str, Any]) -> None:
        """Append events; they survive a kill of the scheduler."""
        files.write_all(self._descriptor, b"".join(line(event) for event in events))

    def sync(self) -> None:
        """Fsync the events against a power failure; before a client gets an answer."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def line(event: dict[str, Any]) -> bytes:
    """One event as a line of the log."""
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a log, oldest first; skips torn lines. *Raises* SweepError."""
    try:
        stream = files.open_regular(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise files.unreadable(path, error) from error
    with stream:
        for text in stream:
            try:
                event = files.parse_json(text)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event
