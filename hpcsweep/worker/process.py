"""The worker's side of a child process: start it, read its replies, make it end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NoReturn

from hpcsweep.worker.child import (
    anonymous_file,
    close_workers_own,
    die_with_worker,
    exit_broken,
)
from hpcsweep.worker.messages import (
    ChildProgram,
    Ends,
    Garbled,
    MakeCase,
    ReplyReader,
    Request,
)
from hpcsweep.worker.runner import default_in_child


@dataclass(slots=True)
class ChildProcess:
    """A child of a slot: for all its cases if it runs a function, for one if it is a command."""

    pid: int
    # A file where the child notes the process that it has forked for its case, the head of its own
    # group: it is needed only where a case is made to end.
    pid_file: int
    # Descriptors: requests to the child, replies from it, which is -1 when the child has closed it.
    requests: int
    replies: int
    reader: ReplyReader
    # Of the user's code, as the child said when it had imported it.
    code_digest: str | None
    # What the case answered, and what the child knows of its end.
    answer: bytes = b""
    end: dict[str, Any] | None = None
    is_garbled: bool = False
    # The heads of groups that have got a TERM.
    _terminated: set[int] = field(default_factory=set)

    @property
    def groups(self) -> tuple[int, ...]:
        """The process groups of the child and of its case, by their heads."""
        noted = os.pread(self.pid_file, 20, 0).strip()
        return (int(noted), self.pid) if noted.isdigit() else (self.pid,)

    def expect_case(self) -> None:
        """Another case begins."""
        self.answer, self.end = b"", None
        self._terminated.clear()

    def end_case(self, *, kill: bool) -> None:
        """TERM the case once, or kill it; the child that has forked it stays."""
        group = self.groups[0]
        if kill:
            kill_group(group)
        elif group not in self._terminated:
            self._terminated.add(group)
            kill_group(group, signal.SIGTERM)

    def kill(self) -> None:
        """End the child, its case, and what they have left behind in their groups."""
        for group in self.groups:
            kill_group(group)

    def read_replies(self) -> None:
        """Take over what the child has sent by now."""
        while self.replies >= 0 and not self.is_garbled:
            try:
                data = os.read(self.replies, 1 << 20)
            except BlockingIOError:
                return
            if not data:  # a target closed all that it found: only its end is left to wait for
                os.close(self.replies)
                self.replies = -1
            self._take(data)

    def _take(self, data: bytes) -> None:
        self.reader.feed(data)
        try:
            while reply := self.reader.next():
                fields, answer = reply
                if "status" in fields:
                    self.end, self.answer = fields, answer
                else:
                    self.code_digest = fields.get("code_digest")
        except Garbled:
            self.is_garbled = True

    def close(self) -> None:
        """Close the worker's ends: the child's loop ends with its requests."""
        for descriptor in (self.requests, self.replies, self.pid_file):
            with contextlib.suppress(OSError):  # it is closed even so
                if descriptor >= 0:
                    os.close(descriptor)


def start(
    program: ChildProgram, request: Request | MakeCase, lifeline: int, shared: Collection[int]
) -> ChildProcess:
    """Fork a child that runs a program, at first for one request.

    `shared`: descriptors of the worker that a case writes to; it keeps no other. *Raises* OSError.
    """
    opened: list[int] = []
    reader = ReplyReader()
    try:
        opened.append(anonymous_file())
        opened += os.pipe()
        opened += os.pipe()
        pid = os.fork()
    except OSError:
        for descriptor in opened:
            os.close(descriptor)
        raise
    pid_file, requests, my_requests, my_replies, replies = opened
    if pid == 0:
        ends = Ends(requests, replies, lifeline, reader.token, os.dup(2), pid_file)
        _be_child(program, request, ends, shared)
    os.close(requests)
    os.close(replies)
    os.set_blocking(my_replies, False)
    return ChildProcess(
        pid, pid_file, my_requests, my_replies, reader, code_digest=program.code_digest
    )


def _be_child(
    program: ChildProgram, request: Request | MakeCase, ends: Ends, shared: Collection[int]
) -> NoReturn:
    try:
        os.setpgid(0, 0)
        default_in_child()
        close_workers_own({0, 1, 2, *ends.descriptors, *shared})
        die_with_worker(ends.lifeline)
        program.run(ends, request)
    finally:
        exit_broken(ends.task_stderr)


def kill_group(head: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal a whole process group, of which nothing may be left."""
    try:
        os.killpg(head, number)
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError):  # the child has not yet made its group
            os.kill(head, number)
