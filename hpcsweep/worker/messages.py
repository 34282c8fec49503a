"""What the worker and its child send each other: requests, and replies that damage cannot spoil.

A reply of a child is a frame: the child's token, the length and the checksum of what follows, one
line of JSON, and the case's own answer, which the case wrote and nobody has parsed by then.
"""

from __future__ import annotations

import errno
import json
import os
from binascii import crc32
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hpcsweep.errors import HpcsweepError
from hpcsweep.files import FULL, write_all
from hpcsweep.records import Reason

if TYPE_CHECKING:
    from hpcsweep.sources.seedplan import SeededCase

Answer = dict[str, Any]
# What a case answers that did nothing.
NOTHING: Answer = {"reason": None, "error": None, "metrics": {}, "returned": False}
TOKEN_BYTES = 16
# Bytes of a length and of a checksum.
_LENGTH, _SUM = 8, 4
_HEAD = TOKEN_BYTES + _LENGTH + _SUM
# Bytes of one case's answer: every reader of the journal has to hold it, and its JSON, in memory.
ANSWER_MAX = 1 << 27


class Work(Protocol):
    """What a persistent child does for the worker."""

    # Below it is the user's code.
    root: Path

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Import the user's code, for a first request; what the worker is to know of it.

        Never raises: what the import raised is the answer of every case.
        """

    def run(self, request: dict[str, Any]) -> Answer:
        """Do what is requested, in the process that is the case's own."""


class Garbled(Exception):
    """What came is no reply of the child: something else wrote into its pipe."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One case to run, as the worker sends it to its child."""

    index: int
    params: dict[str, Any]
    case_id: str
    replicate: int
    tags: tuple[str, ...]
    # As in the case.
    written: dict[str, str]
    # 128 bits.
    seed: int
    run_id: str
    # The attempt's own directory; None with `runs: none`.
    run_dir: str | None
    # What the attempts of the case leave each other.
    checkpoints: str
    # A `Spool`, where the run will be packed.
    spool: dict[str, Any] | None = None
    # Where a case writes its result that is kept in a cache.
    result_file: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields by name. Not `asdict`, which copies all params, value by value."""
        return {name: getattr(self, name) for name in self.__slots__}

    @property
    def case(self) -> SeededCase:
        """The case as a target may ask for it."""
        from hpcsweep.sources.seedplan import SeededCase  # noqa: PLC0415  # for those who ask

        return SeededCase(
            index=self.index,
            params=self.params,
            case_id=self.case_id,
            tags=tuple(self.tags),
            written=self.written,
            replicate=self.replicate,
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class MakeCase:
    """The index of a case that the user's code has to make."""

    index: int

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {"index": self.index}


@dataclass(frozen=True, slots=True)
class Ends:
    """The child's ends of what it shares with its worker."""

    # Pipes.
    requests: int
    replies: int
    # Its hang-up says that the worker is gone.
    lifeline: int
    # What each message begins with.
    token: bytes
    # The task's own standard error.
    task_stderr: int
    # A file that holds the process of the case that runs, if it has one of its own.
    pid_file: int

    @property
    def descriptors(self) -> set[int]:
        """All of them."""
        return {self.requests, self.replies, self.lifeline, self.task_stderr, self.pid_file}


class ChildProgram(Protocol):
    """What a child of a slot does, in its own process."""

    @property
    def is_persistent(self) -> bool:
        """Whether one child runs all cases of the slot."""

    @property
    def code_digest(self) -> str | None:
        """Of the user's code, where the worker knows it."""

    def run(self, ends: Ends, request: Request | MakeCase) -> None:
        """Run cases, or the one of the request. Returns only when it cannot."""


def send_request(descriptor: int, request: Request | MakeCase) -> None:
    """Ask the child for a case. *Raises* OSError."""
    write_all(descriptor, json.dumps(request.to_json()).encode() + b"\n")


def send_reply(descriptor: int, token: bytes, fields: dict[str, Any], answer: bytes = b"") -> None:
    """Reply to the worker, with what the case answered. *Raises* OSError."""
    payload = json.dumps(fields).encode() + b"\n" + answer
    head = token + len(payload).to_bytes(_LENGTH) + crc32(payload).to_bytes(_SUM)
    write_all(descriptor, head + payload)


class ReplyReader:
    """Finds the replies in what comes from a child."""

    def __init__(self) -> None:
        self.token = os.urandom(TOKEN_BYTES)
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Take over what was read from the pipe."""
        self._data += data

    def next(self) -> tuple[dict[str, Any], bytes] | None:
        """The next reply's fields and the case's answer; None until all of it is here.

        *Raises* Garbled.
        """
        if self._data[:TOKEN_BYTES] != self.token[: len(self._data)]:
            raise Garbled
        length = int.from_bytes(self._data[TOKEN_BYTES : TOKEN_BYTES + _LENGTH])
        if length > 2 * ANSWER_MAX:
            raise Garbled
        if len(self._data) < _HEAD or len(self._data) < _HEAD + length:
            return None
        checksum = int.from_bytes(self._data[_HEAD - _SUM : _HEAD])
        payload = bytes(memoryview(self._data)[_HEAD : _HEAD + length])
        del self._data[: _HEAD + length]
        if crc32(payload) != checksum:
            raise Garbled
        line, _, answer = payload.partition(b"\n")
        return json.loads(line), answer


def parse_answer(answer: bytes) -> dict[str, Any] | None:
    """A case's own answer; None for an empty one: the case did not come to its end.

    *Raises* Garbled.
    """
    if not answer:
        return None
    try:
        found = json.loads(answer)
        reason, error = found["reason"], found["error"]
        found["reason"] = None if reason is None else Reason(reason)
        plain = type(found["metrics"]) is dict and (error is None or type(error) is dict)
        whole = len(found) == 4 and type(found["returned"]) is bool
    except (ValueError, TypeError, KeyError, RecursionError) as problem:
        raise Garbled from problem
    if not (plain and whole):
        raise Garbled
    return dict(found)


# --- what the system refuses ------------------------------------------------------------------


def refusal(error: OSError | HpcsweepError) -> dict[str, Any]:
    """Reason and error of a case, as an `Outcome` has them.

    A full disk or quota interrupts it; it burns no attempt.
    """
    number = getattr(error, "errno", None)
    reason = Reason.ERROR
    if number in FULL:
        reason = Reason.QUOTA
    elif number == errno.ENOMEM:
        reason = Reason.OUT_OF_MEMORY
    return {"reason": reason, "error": {"type": type(error).__name__, "message": one_line(error)}}


def one_line(error: OSError | HpcsweepError) -> str:
    """What was refused, and where, in one line."""
    if not isinstance(error, OSError) or isinstance(error, HpcsweepError):
        return str(error).partition("\n")[0]
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or type(error).__name__}"
