"""The event log: append-only JSON lines, the only memory of an emulated cluster."""

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
        # A kill in the middle of a write leaves half a line: end it, so that the next one is whole.
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.write(self._descriptor, b"\n")

    def append(self, *events: dict[str, Any]) -> None:
        """Write events; they survive the death of the scheduler."""
        files.write_all(self._descriptor, b"".join(line(event) for event in events))

    def sync(self) -> None:
        """Make the events survive a power cut; called before anything is promised to a client."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def line(event: dict[str, Any]) -> bytes:
    """One event as a line of the log."""
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a log, oldest first; torn lines are skipped. *Raises* SweepError."""
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
