"""The cases of a task: read from the source, or made by a child if that needs user code.

The worker never imports user code (DESIGN invariant 17): a crash in it costs one case.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpcsweep.errors import SweepError
from hpcsweep.files import names
from hpcsweep.indexset import IndexSet
from hpcsweep.records import ParamCase, Reason
from hpcsweep.sources.base import ParameterSource
from hpcsweep.sources.registry import needs_user_code
from hpcsweep.sweepdir.directory import SweepPaths
from hpcsweep.sweepdir.version import Version
from hpcsweep.worker import streams
from hpcsweep.worker.function import exception_answer
from hpcsweep.worker.messages import NOTHING, Answer, MakeCase, write_notice
from hpcsweep.worker.runner import Steps
from hpcsweep.worker.slot import CaseEnd, Slot

# Seconds between two reads of what a user cancelled.
READ_S = 1.0


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
