"""The worker's side of a child process: start it, read its replies, terminate it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Mapping
from dataclasses import field
from typing import Any, NamedTuple, NoReturn

from hpcsweep.older_python import dataclass
from hpcsweep.worker.cgroup import MemoryCgroup
from hpcsweep.worker.child import (
    anonymous_file,
    close_worker_descriptors,
    die_with_worker,
    exit_broken,
)
from hpcsweep.worker.messages import (
    ChildChannel,
    ChildProgram,
    GarbledReply,
    MakeCase,
    ReplyReader,
    Request,
)
from hpcsweep.worker.runner import reset_signals


class Share(NamedTuple):
    """What one slot has of its task."""

    # The CPUs that its processes are bound to; None for all of the task.
    cpus: frozenset[int] | None = None
    # Variables of its processes, over those of the worker; None removes one.
    environment: Mapping[str, str | None] = {}
    # The worker's descriptors that its cases write to; they get no others.
    descriptors: Collection[int] = ()
    # Bytes of memory that its cases may use; None if unknown.
    mem_bytes: int | None = None
    # The memory cgroup of the task, which all slots share.
    memory: MemoryCgroup = MemoryCgroup()

    def apply(self) -> None:
        """Set CPUs and variables in a child."""
        if self.cpus is not None:
            with contextlib.suppress(OSError):  # an unbound case has all CPUs of the job
                os.sched_setaffinity(0, self.cpus)
        for name, value in self.environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass(slots=True)
class ChildProcess:
    """A child of a slot: for all cases of a function, or for one case of a command."""

    pid: int
    # A file with the process id of the case that the child forked, the leader of its own process
    # group. Read only to terminate a case.
    pid_file: int
    # Descriptors: requests to the child, and replies from it (-1 once the child has closed them).
    requests: int
    replies: int
    reader: ReplyReader
    # Digest of the user's code, as the child reported it after the import.
    code_digest: str | None
    # The case's answer, and its exit status and usage.
    answer: bytes = b""
    # Of the cases that ended in the child itself.
    cpu_seconds_before: float = 0.0
    end: dict[str, Any] | None = None
    # The most that all processes of the case used together when they were measured.
    memory_bytes: int = 0
    is_garbled: bool = False
    # The signals that were sent to a case, each with the leader of its process group.
    _sent: set[tuple[int, int]] = field(default_factory=set)

    @property
    def groups(self) -> tuple[int, ...]:
        """The process groups of the case, if it has its own, and of the child, by their leaders."""
        noted = os.pread(self.pid_file, 20, 0).strip()
        return (int(noted), self.pid) if noted.isdigit() else (self.pid,)

    def expect_case(self) -> None:
        """Reset the state for another case."""
        self.answer, self.end, self.memory_bytes = b"", None, 0
        self._sent.clear()

    def signal_case(self, number: signal.Signals) -> None:
        """Send a signal to the case, KILL each time and others once; its parent gets none."""
        group = self.groups[0]
        if number == signal.SIGKILL or (group, number) not in self._sent:
            self._sent.add((group, number))
            kill_group(group, number)

    def kill(self) -> None:
        """Kill the child, its case, and all other processes in their groups."""
        for group in self.groups:
            kill_group(group)

    def read_replies(self) -> None:
        """Read and parse what the child has sent by now."""
        while self.replies >= 0 and not self.is_garbled:
            try:
                data = os.read(self.replies, 1 << 20)
            except BlockingIOError:
                return
            if not data:  # a target closed all descriptors: wait for its exit only
                os.close(self.replies)
                self.replies = -1
            self._parse_replies(data)

    def _parse_replies(self, data: bytes) -> None:
        self.reader.feed(data)
        try:
            while reply := self.reader.next():
                fields, answer = reply
                if "status" in fields:
                    self.end, self.answer = fields, answer
                    if fields["status"] is None:
                        self.cpu_seconds_before += fields["cpu_seconds"]
                else:
                    self.code_digest = fields.get("code_digest")
        except GarbledReply:
            self.is_garbled = True

    def close(self) -> None:
        """Close the worker's ends: the child's loop stops at the end of its requests."""
        for descriptor in (self.requests, self.replies, self.pid_file):
            with contextlib.suppress(OSError):  # it is closed all the same
                if descriptor >= 0:
                    os.close(descriptor)


def start(
    program: ChildProgram, request: Request | MakeCase, lifeline: int, share: Share
) -> ChildProcess:
    """Fork a child that runs a program, first for one request. *Raises* OSError."""
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
        channel = ChildChannel(
            requests, replies, lifeline, reader.token, os.dup(2), pid_file, share.descriptors
        )
        _run_child(program, request, channel, share)
    os.close(requests)
    os.close(replies)
    os.set_blocking(my_replies, False)
    return ChildProcess(
        pid, pid_file, my_requests, my_replies, reader, code_digest=program.code_digest
    )


def _run_child(
    program: ChildProgram,
    request: Request | MakeCase,
    channel: ChildChannel,
    share: Share,
) -> NoReturn:
    try:
        os.setpgid(0, 0)
        reset_signals()
        close_worker_descriptors({0, 1, 2, *channel.descriptors})
        die_with_worker(channel.lifeline)
        share.apply()
        program.run(channel, request)
    finally:
        exit_broken(channel.task_stderr)


def kill_group(leader: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process group, which may be gone already."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError):  # the child has not yet made its group
            os.kill(leader, number)
