"""Capture the output of this process and of the programs that it starts in a run directory."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from pathlib import Path
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.files import PRIVATE_FILE, unwritable

_STREAMS = {1: "stdout", 2: "stderr"}
# The capturing runs of this process, the innermost last. Output goes to one of them at a time.
_open: list[Capture] = []


class Capture:
    """Captures standard output and error of the whole process, from `begin` to `end`.

    Redirects the file descriptors, so that the output of programs and libraries is captured, too.
    *Writes* `stdout.txt` and `stderr.txt`; removes an empty one at the end.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # The thread that redirected the streams.
        self.thread, self._pid = threading.get_ident(), os.getpid()
        # By descriptor: a duplicate of the original (None: it was closed), and Python's stream.
        self._before: dict[int, tuple[int | None, Any]] = {}
        # Python's streams that were block-buffered before.
        self._by_line: list[Any] = []

    def begin(self) -> None:
        """Redirect the streams. *Raises* InputError if another thread did, SweepError."""
        if self in _open:
            return
        self.thread, self._pid = threading.get_ident(), os.getpid()
        if any(other.thread != self.thread for other in _open):
            raise InputError(
                "another thread's run captures the output of this process",
                where=str(self._directory),
                next_step="capture=True is for one run at a time: runs side by side need processes "
                "of their own.",
            )
        _open.append(self)
        try:
            for number, name in _STREAMS.items():
                self._redirect(number, name, self._directory / f"{name}.txt")
        except OSError as error:
            self.end()
            raise unwritable(self._directory, error) from error

    def _redirect(self, number: int, name: str, path: Path) -> None:
        stream = getattr(sys, name)
        _flush(stream)
        try:
            before = os.dup(number)
        except OSError:  # a daemon has closed it
            before = None
        self._before[number] = before, stream
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, PRIVATE_FILE)
        if target == number:
            os.set_inheritable(target, True)
        else:
            os.dup2(target, number)
            os.close(target)
        if _writes_to(stream, number):
            self._write_by_line(stream)
        else:  # a stream that is not the descriptor, as in a notebook
            own = open(number, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, own)

    def _write_by_line(self, stream: Any) -> None:
        """Flush after each line: what was printed before a crash is kept."""
        if isinstance(stream, io.TextIOWrapper) and not stream.line_buffering:
            stream.reconfigure(line_buffering=True)
            self._by_line.append(stream)

    def end(self) -> None:
        """Restore the streams. *Safe to repeat.*"""
        if self not in _open:
            return
        _open.remove(self)
        for number, (before, stream) in self._before.items():
            name = _STREAMS[number]
            _flush(getattr(sys, name))
            if before is None:
                with contextlib.suppress(OSError):  # it was never opened
                    os.close(number)
            else:
                os.dup2(before, number)
                os.close(before)
            setattr(sys, name, stream)
            path = self._directory / f"{name}.txt"
            with contextlib.suppress(OSError):  # the program removed it
                if os.getpid() == self._pid and not path.stat().st_size:
                    path.unlink()
        self._before.clear()
        for stream in self._by_line:
            with contextlib.suppress(ValueError):  # closed meanwhile
                stream.reconfigure(line_buffering=False)
        self._by_line.clear()


def flush() -> None:
    """Flush Python's buffers: the process ends without running its exit handlers."""
    if _open:
        for name in _STREAMS.values():
            _flush(getattr(sys, name))


def _writes_to(stream: Any, number: int) -> bool:
    try:
        return bool(stream.fileno() == number)
    except (OSError, ValueError, AttributeError):  # None, closed, or not a file
        return False


def _flush(stream: Any) -> None:
    # RuntimeError: a signal interrupted a print.
    with contextlib.suppress(OSError, ValueError, AttributeError, RuntimeError):
        stream.flush()
