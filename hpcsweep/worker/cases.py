"""The cases of a task: read from the source, or made by a child if that needs user code.

The worker never imports user code (DESIGN invariant 17): a crash in it costs one case.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import SweepError
from hpcsweep.files import names
from hpcsweep.indexset import IndexSet
from hpcsweep.records import Outcome, ParamCase, Reason
from hpcsweep.sources.base import ParameterSource
from hpcsweep.sources.registry import needs_user_code
from hpcsweep.sweepdir.directory import SweepPaths
from hpcsweep.sweepdir.plan import WorkerRules
from hpcsweep.sweepdir.version import Version
from hpcsweep.worker import streams
from hpcsweep.worker.function import exception_answer
from hpcsweep.worker.messages import NOTHING, Answer, MakeCase, refusal, write_notice
from hpcsweep.worker.runner import Runner, Steps, Timer
from hpcsweep.worker.slot import CaseEnd, Slot
from hpcsweep.worker.timelimit import TimeLeft, TimeLimit

if TYPE_CHECKING:
    from hpcsweep.worker.breaker import TaskBreaker
    from hpcsweep.worker.limit_query import LimitQuery
    from hpcsweep.worker.shared_limit import ChunkLimitQuery

# Makes what asks for the time limit of the job, and hands it to the function that it gets.
MakeQuery = Callable[[Callable[[float], None]], "LimitQuery | ChunkLimitQuery | None"]

# Seconds between two reads of what a user cancelled.
READ_S = 1.0
# Why cases have not begun: the sweep's circuit breaker has stopped it, or the time limit is near.
STOPPED = {
    "reason": Reason.CANCELLED,
    "error": {"type": "Stopped", "message": "stop_after: too many cases of the sweep failed"},
}
OUT_OF_TIME: dict[str, Any] = {
    "reason": Reason.TIMEOUT,
    "error": {
        "type": "TimeLeft",
        "message": "the time left of the job was too short for another case",
    },
}


class Cases:
    """The cases of a frozen manifest, by index."""

    def __init__(self, version: Version) -> None:
        manifest = version.manifest
        self.count: int = manifest.source["total_cases"] * manifest.replicates
        # Work of the child that makes cases; None if the source can be read here.
        self.work: MakeCases | None = None
        # The end of the first case that could not be made.
        self.first_failure: CaseEnd | None = None
        self._source: ParameterSource | None = None
        if needs_user_code(manifest.source):
            self.work = MakeCases(version)
        else:
            self._source = version.source

    def get(self, index: int, maker: Slot | None) -> Steps[ParamCase | None]:
        """The case of an index; None if it cannot be made, which is reported on standard error.

        `maker`: the slot that runs `work`, if there is any.
        """
        if self._source is not None:
            return self._source[index]
        if maker is None:
            return None
        ended = yield from maker.run(MakeCase(index=index))
        if ended.reason is None:
            return ParamCase(**ended.metrics | {"tags": tuple(ended.metrics["tags"])})
        if ended.reason not in (Reason.TERMINATED, Reason.TIMEOUT):
            self.first_failure = self.first_failure or ended
            message = (ended.error or {}).get("message", ended.reason.value)
            write_notice(f"index {index} cannot be made: {message}")
        return None


class Queue:
    """The cases of a chunk that have not begun; every slot takes the next one.

    Equal cases never run at once: they would write to one directory, and a later one need not run
    if the first one completes.
    """

    def __init__(
        self,
        cases: Cases,
        indices: Iterator[int],
        may_begin: Callable[[], Steps[bool]],
        is_cancelled: Callable[[int], bool] = lambda _: False,
    ) -> None:
        """`may_begin` is asked before each case; False ends the slot that asks.

        `is_cancelled` is asked for an index that would begin now; True passes over it.
        """
        self._cases, self._indices = cases, indices
        self._may_begin, self._is_cancelled = may_begin, is_cancelled
        self._index = next(indices, None)
        self._running: set[str] = set()
        # Cases that wait for the end of an equal one.
        self._held: list[ParamCase] = []

    def next(self, maker: Slot | None) -> Steps[ParamCase | None]:
        """The next case, which begins now; None if there is none for this slot.

        A case that is held begins in the slot that has run its equal.
        """
        while (held := self._released()) or self._index is not None:
            if not (yield from self._may_begin()):
                return None
            case = held or (yield from self._make_next(maker))
            if case is None:  # it cannot be made, or was cancelled
                continue
            if case.case_id not in self._running:
                self._running.add(case.case_id)
                return case
            self._held.append(case)
        return None

    def _make_next(self, maker: Slot | None) -> Steps[ParamCase | None]:
        index, self._index = self._index, next(self._indices, None)
        if index is None or self._is_cancelled(index):
            return None
        return (yield from self._cases.get(index, maker))

    def end(self, case: ParamCase) -> None:
        """Let an equal case begin."""
        self._running.discard(case.case_id)

    def _released(self) -> ParamCase | None:
        for position, case in enumerate(self._held):
            if case.case_id not in self._running:
                return self._held.pop(position)
        return None


class Gate:
    """Whether another case of the task may begin; once it may not, none does."""

    def __init__(
        self,
        runner: Runner,
        rules: WorkerRules,
        time_left: TimeLeft,
        breaker: TaskBreaker | None,
        make_query: MakeQuery,
    ) -> None:
        """`make_query` makes what asks for the time limit, and hands it on."""
        self.breaker = breaker
        # Why cases of the chunk have not begun: the fields of its end.
        self.obstacle: dict[str, Any] = {}
        # The error of a full disk or quota, which ends the task.
        self.full: SweepError | None = None
        self._runner, self._make_query, self._time_left = runner, make_query, time_left
        self._warning_s = rules.get("warning_s", 0.0)
        self._limit_query = None if runner.limit else make_query(self._use_limit)

    @property
    def timers(self) -> list[Timer]:
        """What the runner has to call for it."""
        return [] if self._limit_query is None else [self._limit_query.ask_if_due]

    @property
    def is_out_of_time(self) -> bool:
        """Whether the time limit of the job is near."""
        return self.obstacle == OUT_OF_TIME

    def close(self, full: SweepError) -> None:
        """Let no further case begin: the disk or quota is full."""
        self.full, self.obstacle = full, refusal(full)

    def note_end(self, case: ParamCase, outcome: Outcome) -> None:
        """Note how long a case took, and whether it failed."""
        if outcome.wall_seconds is not None and not outcome.from_cache:
            self._time_left.note(outcome.wall_seconds)
        if self.breaker is not None:
            self.breaker.note(case, outcome)

    def may_begin(self) -> Steps[bool]:
        """Whether a further case may begin."""
        if not self.obstacle and not self._time_left.suffices():
            yield from self._ask_limit_again()
        if self.obstacle:
            return False
        if self.breaker is not None and self.breaker.is_stopped:
            self.obstacle = STOPPED
        elif self._runner.is_warned or not self._time_left.suffices():
            self.obstacle = OUT_OF_TIME
        return not self.obstacle

    def _ask_limit_again(self) -> Steps[None]:
        """Ask for the limit, which an administrator may have extended, until a stop signal."""
        with contextlib.suppress(ImportError, OSError):  # the file system refuses the module
            self._limit_query = self._limit_query or self._make_query(self._use_limit)
        if self._limit_query is not None:
            for wait in self._limit_query.ask_again():
                if self._runner.is_warned:
                    return
                yield wait

    def _use_limit(self, limit_s: float) -> None:
        limit = TimeLimit(limit_s=limit_s, warning_s=self._warning_s)
        self._runner.limit = self._time_left.limit = limit


class CancelledIndices:
    """The indices of a submission that a user cancelled while its tasks were in the queue."""

    def __init__(self, sweep: SweepPaths, submission: int, clock: Callable[[], float]) -> None:
        self._sweep, self._submission, self._clock = sweep, submission, clock
        # When to look for new facts, and the names of those that were read.
        self._next_read = clock()
        self._read: set[str] = set()
        self._indices: list[IndexSet] = []
        # Whether it kept a case from beginning.
        self.has_met = False

    def has(self, index: int) -> bool:
        """Whether this case must not begin. Looks for new facts at most once in `READ_S`."""
        now = self._clock()
        if now >= self._next_read:
            self._next_read = now + READ_S
            with contextlib.suppress(SweepError):  # unreadable now: the next look may read it
                self._read_facts()
        is_cancelled = any(index in indices for indices in self._indices)
        self.has_met = self.has_met or is_cancelled
        return is_cancelled

    def _read_facts(self) -> None:
        if not names(self._sweep.cancel_root):
            return
        from hpcsweep.sweepdir import cancelled  # noqa: PLC0415  # for sweeps with a cancel only

        for name in cancelled.fact_names(self._sweep):
            if name not in self._read:
                fact = cancelled.read_fact(self._sweep, name)
                self._indices.append(cancelled.cancelled_in(fact, self._submission))
                self._read.add(name)


class MakeCases:
    """Work of a child that makes cases; an answer has the case's fields as its metrics."""

    def __init__(self, version: Version) -> None:
        self.root = Path(version.manifest.root)
        self._version = version
        self._source: ParameterSource | None = None
        self._broken: Answer = {}

    def load(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Open the source, which imports the user's code. See `Work`."""
        streams.reopen()
        try:
            os.chdir(self.root)
            self._source = self._version.source
        # Catch everything, like `FunctionCalls.load`.
        except BaseException as error:  # noqa: BLE001
            self._broken = exception_answer(error)
        return {}

    def run(self, request: dict[str, Any]) -> Answer:
        """Make a case. See `Work`."""
        if self._source is None:
            return NOTHING | self._broken
        os.chdir(self.root)
        try:
            return NOTHING | {"metrics": asdict(self._source[request["index"]]), "returned": True}
        except BaseException as error:  # noqa: BLE001
            return NOTHING | exception_answer(error)
