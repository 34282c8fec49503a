"""What the worker and its child say to each other: requests, and answers that damage cannot spoil.

An answer of a child is a frame: the child's token, the length and the checksum of what follows,
one line of JSON, and the case's own answer, which the case wrote and nobody has read.
"""

from __future__ import annotations

import errno
import json
import os
from binascii import crc32
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import HpcsweepError
from hpcsweep.files import FULL, write_all
from hpcsweep.records import Reason

if TYPE_CHECKING:
    from hpcsweep.sources.seedplan import SeededCase

TOKEN_BYTES = 16
# Bytes of a length and of a checksum.
_LENGTH, _SUM = 8, 4
_HEAD = TOKEN_BYTES + _LENGTH + _SUM
# Bytes of one case's answer: every reader of the journal has to hold it, and its JSON, in memory.
ANSWER_MAX = 1 << 27


class Garbled(Exception):
    """What came is no answer of the child: something else wrote into its pipe."""


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
class Wanted:
    """The index of a case that the user's code has to make."""

    index: int


def send(descriptor: int, request: Request | Wanted) -> None:
    """Ask the child for a case. *Raises* OSError."""
    write_all(descriptor, json.dumps(asdict(request)).encode() + b"\n")


def tell(descriptor: int, token: bytes, said: dict[str, Any], answer: bytes = b"") -> None:
    """Tell the worker something, with what the case answered. *Raises* OSError."""
    payload = json.dumps(said).encode() + b"\n" + answer
    head = token + len(payload).to_bytes(_LENGTH) + crc32(payload).to_bytes(_SUM)
    write_all(descriptor, head + payload)


class Listener:
    """The worker's end of a child's answers."""

    def __init__(self) -> None:
        self.token = os.urandom(TOKEN_BYTES)
        self._heard = bytearray()

    def hear(self, data: bytes) -> None:
        """Take over what was read from the pipe."""
        self._heard += data

    def next(self) -> tuple[dict[str, Any], bytes] | None:
        """What the child said next, and the case's answer; None until all of it is here.

        *Raises* Garbled.
        """
        if self._heard[:TOKEN_BYTES] != self.token[: len(self._heard)]:
            raise Garbled
        length = int.from_bytes(self._heard[TOKEN_BYTES : TOKEN_BYTES + _LENGTH])
        if length > 2 * ANSWER_MAX:
            raise Garbled
        if len(self._heard) < _HEAD or len(self._heard) < _HEAD + length:
            return None
        checksum = int.from_bytes(self._heard[_HEAD - _SUM : _HEAD])
        payload = bytes(memoryview(self._heard)[_HEAD : _HEAD + length])
        del self._heard[: _HEAD + length]
        if crc32(payload) != checksum:
            raise Garbled
        line, _, answer = payload.partition(b"\n")
        return json.loads(line), answer


def understood(answer: bytes) -> dict[str, Any] | None:
    """A case's own answer; None where it is none: the case did not come to its end.

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
    return {"reason": reason, "error": {"type": type(error).__name__, "message": sentence(error)}}


def sentence(error: OSError | HpcsweepError) -> str:
    """What was refused, and where, in one line."""
    if not isinstance(error, OSError) or isinstance(error, HpcsweepError):
        return str(error).partition("\n")[0]
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or type(error).__name__}"
