"""The scheduler process: one per state directory, single-threaded, event-driven."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path

from hpcsweep import files
from hpcsweep.emulator import config, events, names, processes
from hpcsweep.emulator.daemon import recovery, requests
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.emulator.daemon.history import compact
from hpcsweep.emulator.logged_state import LoggedState

READY = b"ready\n"
# Seconds between two polls whether the state directory still exists.
_DIRECTORY_POLL_S = 30.0
# Seconds between two polls for the end of an injected outage of the controller.
_AWAY_POLL_S = 0.1
# Seconds that an exiting scheduler may take, and between two polls for its end.
_ENDING_S = 10.0
_ENDING_POLL_S = 0.02

# Exceptions of a verb for unexpected values.
_BAD_REQUEST = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class _Connection:
    """The connection of one program: one request, one answer."""

    def __init__(self, link: socket.socket) -> None:
        link.setblocking(False)
        self.link = link
        self.request = bytearray()
        self.answer = b""

    def receive(self) -> bool:
        """Receive data. Returns whether the request is complete (the program sent its end)."""
        with contextlib.suppress(BlockingIOError):
            while part := self.link.recv(1 << 20):
                self.request += part
            return True
        return False

    def send(self) -> bool:
        """Send data. Returns whether the answer is complete."""
        with contextlib.suppress(BlockingIOError):
            while self.answer:
                self.answer = self.answer[self.link.send(self.answer) :]
        return not self.answer


class Loop:
    """Waits for requests, ends of jobs, and timers."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._selector = selectors.DefaultSelector()
        self._last_request = time.monotonic()
        self._stopping = False
        self._children, wakeup = socket.socketpair()
        self._children.setblocking(False)
        wakeup.setblocking(False)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        self._wakeup = wakeup
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._stop)
        self._selector.register(self._children, selectors.EVENT_READ)
        self._listener = self._listen()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _listen(self) -> socket.socket:
        """Open the socket; the current directory is the state directory."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(names.SOCKET)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A relative name: an absolute one may exceed the 107 bytes of a socket address.
        listener.bind(names.SOCKET)
        listener.listen(128)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)
        return listener

    def run(self) -> None:
        """Run until a stop request, the idle timeout, or the removal of the directory."""
        controller = self._controller
        while not self._stopping and os.path.exists(names.SOCKET):
            if controller.faults.outage("controller_down", time.time()) is None:
                controller.reap()
                controller.timers.run()
                while controller.is_dirty:
                    controller.schedule()
            if self._is_idle() and not self._has_late_requests():
                return
            for key, _ in self._selector.select(self._timeout_s()):
                if key.fileobj is self._children:
                    with contextlib.suppress(BlockingIOError):
                        self._children.recv(4096)
                elif key.fileobj is self._listener:
                    self._accept()
                else:
                    self._serve(key.data)

    def _timeout_s(self) -> float:
        """Seconds until the next action without an event."""
        due = [_DIRECTORY_POLL_S]
        if self._controller.faults.outage("controller_down", time.time()):
            return _AWAY_POLL_S
        if (next_due := self._controller.timers.next_due()) is not None:
            due.append(next_due - time.time())
        if not self._is_needed():
            due.append(self._idle_deadline() - time.monotonic())
        return max(0.0, min(due))

    def _is_needed(self) -> bool:
        """Whether there is an active job, or a program that waits for an answer."""
        return bool(self._controller.table.live) or len(self._selector.get_map()) > 2

    def _idle_deadline(self) -> float:
        return self._last_request + self._controller.settings.idle_exit_s

    def _is_idle(self) -> bool:
        return not self._is_needed() and time.monotonic() >= self._idle_deadline()

    def _has_late_requests(self) -> bool:
        """Close the socket, unless a program connected meanwhile; every program gets an answer."""
        os.unlink(names.SOCKET)
        self._accept()
        self._selector.unregister(self._listener)
        self._listener.close()
        if len(self._selector.get_map()) == 1:
            return False
        self._listener = self._listen()
        return True

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                link, _ = self._listener.accept()
                connection = _Connection(link)
                self._selector.register(link, selectors.EVENT_READ, connection)

    def _serve(self, connection: _Connection) -> None:
        try:
            if not connection.answer:
                if not connection.receive():
                    return
                connection.answer = self._answer(connection.request)
                self._selector.modify(connection.link, selectors.EVENT_WRITE, connection)
            if not connection.send():
                return
        except (OSError, ValueError, KeyError) as error:
            print(f"a request could not be answered: {error!r}", file=sys.stderr, flush=True)
        self._selector.unregister(connection.link)
        connection.link.close()

    def _answer(self, request: bytes | bytearray) -> bytes:
        if not request:  # a probe of `is_running`, which does not reset the idle timeout
            return b"\n"
        self._last_request = time.monotonic()
        try:
            message = files.parse_json(bytes(request))
            self._stopping = self._stopping or message["do"] == "stop"
            answer = {} if self._stopping else requests.answer(self._controller, message)
        except _BAD_REQUEST as error:  # the program is of another version
            why = f"{type(error).__name__}: {error}"
            print(f"a request was not understood: {why}", file=sys.stderr, flush=True)
            text = "the scheduler does not understand the request"
            answer = {"error": text, "detail": why, "again": False}
        return json.dumps(answer).encode() + b"\n"

    def close(self) -> None:
        """Kill running jobs (NODE_FAIL for the next scheduler); remove the socket and pid files."""
        recovery.power_off(self._controller)
        for name in (names.SOCKET, names.PID):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)


def _lock(descriptor: int) -> bool:
    """Take the scheduler's lock; waits for an exiting scheduler. False if one listens."""
    deadline = time.monotonic() + _ENDING_S
    while time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if os.path.exists(names.SOCKET):
                return False
            time.sleep(_ENDING_POLL_S)
        else:
            return True
    return False


def main(state_dir: Path, arguments: list[str]) -> int:
    """Run the scheduler of a state directory; return at once if one runs already."""
    if os.fork():
        os._exit(0)  # detach from the program that started it
    os.chdir(state_dir)
    os.umask(0o077)
    lock = os.open(names.LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, files.PRIVATE_FILE)
    if not _lock(lock):
        return 0
    settings = config.load(state_dir)
    logged = LoggedState()
    for event in events.read(Path(names.EVENTS)):
        logged.apply(event)
    boot_id = processes.boot_id()
    compact(logged, settings)
    controller = Controller(state_dir, settings, logged)
    controller.log.append({"e": "start", "last_id": logged.last_id, "boot_id": boot_id})
    recovery.recover(controller, is_same_boot=boot_id == logged.boot_id)
    loop = Loop(controller)
    files.replace(Path(names.PID), f"{os.getpid()}\n".encode())
    if arguments:
        os.write(int(arguments[0]), READY)
        os.close(int(arguments[0]))
    try:
        loop.run()
    finally:
        loop.close()
    return 0
