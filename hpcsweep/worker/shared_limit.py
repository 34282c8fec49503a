"""The time limit of a node's job: its worker asks Slurm, and the processes of all chunks know."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable

from hpcsweep.worker.child import anonymous_file
from hpcsweep.worker.limit_query import TIMEOUT_S
from hpcsweep.worker.runner import NEVER, Steps, Wait
from hpcsweep.worker.slurm_program import POLL_S

# The limit in seconds from the start of the job, NEVER if it is not known, and the time of the
# answer on the clock that all processes of a host share.
_ANSWER = struct.Struct("dd")


class SharedLimit:
    """What the worker of a node tells its forks of the limit, and whether one of them asks."""

    def __init__(self) -> None:
        self._file = anonymous_file()
        # Readable when a chunk asks.
        self.questions, self._ask = os.pipe()
        for end in (self.questions, self._ask):
            os.set_blocking(end, False)

    def is_asked(self) -> bool:
        """Whether a chunk has asked since the last call."""
        try:
            return bool(os.read(self.questions, 1 << 16))
        except BlockingIOError:
            return False

    def answer(self, limit_s: float, at: float) -> None:
        """Answer the questions from before `at`."""
        os.pwrite(self._file, _ANSWER.pack(limit_s, at), 0)

    def ask(self) -> None:
        """Ask, in the process of a chunk."""
        with contextlib.suppress(BlockingIOError):  # so many questions are there already
            os.write(self._ask, b"?")

    def read(self) -> tuple[float, float]:
        """The limit, and when it was answered."""
        data = os.pread(self._file, _ANSWER.size, 0)
        limit_s, at = _ANSWER.unpack(data) if data else (NEVER, 0.0)
        return limit_s, at


class ChunkLimitQuery:
    """Asks the worker of the node, as `LimitQuery` asks Slurm."""

    def __init__(
        self, limit: SharedLimit, clock: Callable[[], float], use: Callable[[float], None]
    ) -> None:
        """`use` gets the limit."""
        self._limit, self._clock, self._use = limit, clock, use

    def ask_if_due(self) -> float:
        """Never due: the limit that the worker knew came with the chunk."""
        return NEVER

    def ask_again(self) -> Steps[None]:
        """Ask, and wait for the answer."""
        asked = self._clock()
        self._limit.ask()
        limit_s, at = self._limit.read()
        while at <= asked and self._clock() < asked + TIMEOUT_S:
            yield Wait(until=self._clock() + POLL_S)
            limit_s, at = self._limit.read()
        if limit_s != NEVER:
            self._use(limit_s)
