"""Messages between the worker and its child: requests, and replies with a checksum.

A reply is a frame: the child's token, the length and the checksum of the rest, one line of JSON,
and the case's own answer, which the case wrote and which is not parsed yet.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
from binascii import crc32
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hpcsweep.errors import HpcsweepError
from hpcsweep.files import FULL, write_all
from hpcsweep.older_python import dataclass
from hpcsweep.records import Reason

if TYPE_CHECKING:
    from hpcsweep.sources.seedplan import SeededCase

Answer = dict[str, Any]
# The answer of a case that did nothing.
NOTHING: Answer = {"reason": None, "error": None, "metrics": {}, "returned": False}
# The variable of a command's environment that names its case.
CASE_ID = "HPCSWEEP_CASE_ID"
TOKEN_BYTES = 16
# Bytes of a length and of a checksum.
_LENGTH, _SUM = 8, 4
_HEAD = TOKEN_BYTES + _LENGTH + _SUM
# Size limit of one case's answer: a reader of the journal holds it and its JSON in memory.
ANSWER_MAX = 1 << 27


class Work(Protocol):
    """The work of a persistent child."""

    # The directory of the user's code.
    root: Path

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Import the user's code, for a first request. Returns facts about it for the worker.

        Never raises: an error of the import is the answer of every case.
        """

    def run(self, request: dict[str, Any]) -> Answer:
        """Do the requested work, in the case's own process."""


class GarbledReply(Exception):
    """The data is not a reply of the child: something else wrote into its pipe."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One case to run, as the worker sends it to its child."""

    index: int
    params: dict[str, Any]
    case_id: str
    replicate: int
    tags: tuple[str, ...]
    # See `ParamCase`.
    written: dict[str, str]
    # 128 bits.
    seed: int
    run_id: str
    # The attempt's own directory; None with `runs: none`.
    run_dir: str | None
    # The checkpoint directory that all attempts of the case share.
    checkpoints: str
    # A `Spool`, if the run may be packed.
    spool: dict[str, Any] | None = None
    # The file of the case's result in a cache.
    result_file: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields by name. `asdict` would copy all params, value by value."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def case(self) -> SeededCase:
        """The case, for a target that requests it."""
        from hpcsweep.sources.seedplan import SeededCase  # noqa: PLC0415  # only if requested

        return SeededCase(
            index=self.index,
            params=self.params,
            case_id=self.case_id,
            tags=tuple(self.tags),
            written=self.written,
            replicate=self.replicate,
            seed=self.seed,
        )


class MakeCase:
    """The index of a case that user code makes."""

    def __init__(self, *, index: int) -> None:
        self.index = index

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {"index": self.index}


class ChildChannel(NamedTuple):
    """The descriptors by which a child talks to its worker."""

    # Pipes.
    requests: int
    replies: int
    # Its hang-up means that the worker is gone.
    lifeline: int
    # The first bytes of each reply.
    token: bytes
    # The task's own standard error.
    task_stderr: int
    # A file with the process id of the running case, if the case has its own process.
    pid_file: int
    # The worker's files to which cases write; all open for appending.
    outputs: Collection[int] = ()

    @property
    def descriptors(self) -> set[int]:
        """All of them."""
        talk = self.requests, self.replies, self.lifeline, self.task_stderr, self.pid_file
        return {*talk, *self.outputs}


class ChildProgram(Protocol):
    """The program of a slot's child."""

    @property
    def is_persistent(self) -> bool:
        """Whether one child runs all cases of the slot."""

    @property
    def code_digest(self) -> str | None:
        """The digest of the user's code, if the worker knows it."""

    @property
    def checkpoint_signal(self) -> signal.Signals | None:
        """What a case gets before TERM, to save its state; None if TERM is what it gets first."""

    def run(self, channel: ChildChannel, request: Request | MakeCase) -> None:
        """Run cases, or the one of the request. Returns only if it cannot."""


def send_request(descriptor: int, request: Request | MakeCase) -> None:
    """Send a request to the child. *Raises* OSError."""
    write_all(descriptor, json.dumps(request.to_json()).encode() + b"\n")


def send_reply(descriptor: int, token: bytes, fields: dict[str, Any], answer: bytes = b"") -> None:
    """Send a reply to the worker, with the case's answer. *Raises* OSError."""
    payload = json.dumps(fields).encode() + b"\n" + answer
    head = token + len(payload).to_bytes(_LENGTH, "big") + crc32(payload).to_bytes(_SUM, "big")
    write_all(descriptor, head + payload)


class ReplyReader:
    """Parses the replies in a child's byte stream."""

    def __init__(self) -> None:
        self.token = os.urandom(TOKEN_BYTES)
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Append data that was read from the pipe."""
        self._data += data

    def next(self) -> tuple[dict[str, Any], bytes] | None:
        """The next reply's fields and the case's answer; None while it is incomplete.

        *Raises* GarbledReply.
        """
        if self._data[:TOKEN_BYTES] != self.token[: len(self._data)]:
            raise GarbledReply
        length = int.from_bytes(self._data[TOKEN_BYTES : TOKEN_BYTES + _LENGTH], "big")
        if length > 2 * ANSWER_MAX:
            raise GarbledReply
        if len(self._data) < _HEAD or len(self._data) < _HEAD + length:
            return None
        checksum = int.from_bytes(self._data[_HEAD - _SUM : _HEAD], "big")
        payload = bytes(memoryview(self._data)[_HEAD : _HEAD + length])
        del self._data[: _HEAD + length]
        if crc32(payload) != checksum:
            raise GarbledReply
        line, _, answer = payload.partition(b"\n")
        return json.loads(line), answer


def parse_answer(answer: bytes) -> dict[str, Any] | None:
    """A case's own answer; None for an empty one, of a case that did not finish.

    *Raises* GarbledReply.
    """
    if not answer:
        return None
    try:
        fields = json.loads(answer)
        reason, error = fields["reason"], fields["error"]
        fields["reason"] = None if reason is None else Reason(reason)
        plain = type(fields["metrics"]) is dict and (error is None or type(error) is dict)
        whole = len(fields) == 4 and type(fields["returned"]) is bool
    except (ValueError, TypeError, KeyError, RecursionError) as problem:
        raise GarbledReply from problem
    if not (plain and whole):
        raise GarbledReply
    return dict(fields)


def write_notice(text: str) -> None:
    """Write a line into the task's log; a full disk may lose it, not the outcome of a case."""
    with contextlib.suppress(OSError):
        # Unbuffered: Python would fail at its exit with what a buffer could not write.
        os.write(2, f"hpcsweep: {text}\n".encode(errors="backslashreplace"))


# --- errors of the operating system -----------------------------------------------------------


def refusal(error: OSError | HpcsweepError) -> dict[str, Any]:
    """The `reason` and `error` of an `Outcome`, for an error of the system.

    A full disk or quota interrupts a case and counts as no attempt.
    """
    number = getattr(error, "errno", None)
    reason = Reason.ERROR
    if number in FULL:
        reason = Reason.QUOTA
    elif number == errno.ENOMEM:
        reason = Reason.OUT_OF_MEMORY
    return {"reason": reason, "error": {"type": type(error).__name__, "message": one_line(error)}}


def one_line(error: OSError | HpcsweepError) -> str:
    """The error and its file in one line."""
    if not isinstance(error, OSError) or isinstance(error, HpcsweepError):
        return str(error).partition("\n")[0]
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or type(error).__name__}"
