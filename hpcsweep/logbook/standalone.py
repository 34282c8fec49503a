"""A standalone run: records its outcome, handles its signals and sends its heartbeat."""

from __future__ import annotations

import atexit
import contextlib
import os
import resource
import signal
import sys
import weakref
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import SweepError
from hpcsweep.files import DOCUMENT_MAX, parse_json, read_regular
from hpcsweep.journal import now
from hpcsweep.liveness import ENDS, HEARTBEAT
from hpcsweep.logbook.capture import Capture, flush
from hpcsweep.logbook.json_values import exception_fields
from hpcsweep.logbook.run_directory import retire_checkpoints
from hpcsweep.redact import redact
from hpcsweep.usage import cpu_seconds

if TYPE_CHECKING:
    from hpcsweep.logbook import Logbook

# Signals that end a run as interrupted: of scancel, of time limits, and of `sbatch --signal`.
END_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

# The previous handlers of the signals that are taken over.
_previous_handlers: dict[int, Any] = {}


class StandaloneRun:
    """Records the outcome of one run of this process."""

    def __init__(self, log: Logbook, capture: Capture | None) -> None:
        self._log = weakref.ref(log)
        self.path = log.path
        self._pid = os.getpid()
        self._ended = False
        self._capture = capture
        self._cpu = cpu_seconds()
        _install_handlers()
        HEARTBEAT.add(self)

    def set_status(self, status: str | None) -> None:
        """Note the status that the program itself wrote."""
        self._ended = status in ENDS

    def status(self) -> str:
        """The status in `metadata.json`."""
        return str(_read(self.path / "metadata.json").get("status", "unknown"))

    def end(
        self,
        status: str,
        line: str,
        reason: str | None = None,
        error: BaseException | None = None,
        *,
        lock: bool = True,
    ) -> None:
        """Record the outcome of the run. *Safe to repeat*: the last call counts."""
        log = self._log()
        if log is None:
            return
        if reason is not None:
            line, reason = redact(line), redact(reason)
        fields = {
            "status": status,
            "end_time": now(),
            "runtime_sec": round(log.elapsed, 6),
            "cpu_seconds": round(cpu_seconds() - self._cpu, 6),
            "max_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        if reason is not None:
            fields["failure_reason"] = reason
        if error is not None:
            fields["error"] = _error_fields(error)
        # Remove what an earlier call wrote.
        log.storage.merge("metadata.json", fields, drop=("failure_reason", "error"), lock=lock)
        self._ended = True
        if status == "complete":
            retire_checkpoints(log.checkpoint.directory)
        log.notes([line])
        self._stop_heartbeat()
        if log.callback is not None:
            log.callback(log)

    def enter(self) -> None:
        """Enter the `with` block."""
        if self._capture is not None:
            self._capture.begin()

    def exit(self, error: BaseException | None) -> None:
        """Leave the `with` block, normally or by an exception."""
        if self._capture is not None:
            self._capture.end()
        if os.getpid() != self._pid:  # a forked child that leaves the block is not the run
            return
        if error is None:
            if not self._ended:
                self.end("complete", "Marked complete")
            return
        try:
            self._end_with_error(error)
        except SweepError as problem:  # a full disk must not hide the original error
            note = f"The outcome of the run could not be recorded either: {problem}"
            if sys.version_info >= (3, 11):
                error.add_note(note)
            else:
                sys.stderr.write(f"{note}\n")

    def _end_with_error(self, error: BaseException) -> None:
        """Record the outcome of a `with` block that raised."""
        if isinstance(error, SystemExit) and error.code in (None, 0):
            if not self._ended:
                self.end("complete", "Marked complete")
        elif isinstance(error, KeyboardInterrupt):
            self.end("interrupted", "Interrupted by SIGINT", "SIGINT")
        else:
            if isinstance(error, SystemExit):
                reason = f"sys.exit({error.code!r})"
            else:
                reason = _error_fields(error)["message"] or f"{type(error).__name__}: "
            self.end("failed", f"Marked failed: {reason}", reason, error)

    def interrupt(self, name: str) -> None:
        """Record that a signal ends the process.

        It does not wait for the lock: the interrupted code may hold it.
        """
        if os.getpid() == self._pid:
            flush()
            self.end("interrupted", f"Interrupted by {name}", name, lock=False)

    def _stop_heartbeat(self) -> None:
        if HEARTBEAT.remove(self):
            _restore_handlers()


def _read(path: Path) -> dict[str, Any]:
    try:
        document = parse_json(read_regular(path, DOCUMENT_MAX))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _error_fields(error: BaseException) -> dict[str, str]:
    fields = exception_fields(error, error.__traceback__)
    return {name: redact(text) for name, text in fields.items()}


# --- signals -------------------------------------------------------------------------------------


def _install_handlers() -> None:
    """Handle the signals that would end this process silently; keep the user's own handlers."""
    if _previous_handlers:
        return
    try:
        for number in END_SIGNALS:
            before = signal.signal(number, _on_signal)
            if before is signal.SIG_DFL:
                _previous_handlers[number] = before
            else:
                signal.signal(number, before)
    except ValueError:  # only the main thread may set handlers
        _previous_handlers.clear()


def _restore_handlers() -> None:
    try:
        for number, before in _previous_handlers.items():
            current = signal.signal(number, before)
            if current is not _on_signal:  # a handler that the user installed later
                signal.signal(number, current)
    except ValueError:  # not the main thread: the next run that ends there restores them
        return
    _previous_handlers.clear()


def _on_signal(number: int, _frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    for run in HEARTBEAT.all():
        with contextlib.suppress(SweepError):  # a full disk: readers see a killed process
            if isinstance(run, StandaloneRun):
                run.interrupt(name)
    # Restore the default action, so that the parent process sees which signal ended this one.
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


os.register_at_fork(after_in_child=_restore_handlers)
atexit.register(HEARTBEAT.stop)
