"""Cases whose results a cache keeps: retrieve a result, or compute it under a claim.

A task writes results and entries as files, never the cache's table (invariant 25).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpcsweep import claims
from hpcsweep.cache.files import producer
from hpcsweep.cache.files.producer import Making
from hpcsweep.cache.files.result_directory import Entry, ResultDirectory, ResultKey
from hpcsweep.claims import ClaimLost
from hpcsweep.errors import HpcsweepError
from hpcsweep.files import FULL
from hpcsweep.manifest.frozen import Cache
from hpcsweep.records import Reason
from hpcsweep.worker.messages import Request, write_notice
from hpcsweep.worker.runner import NEVER, Runner, Steps, Wait
from hpcsweep.worker.slot import CaseEnd, Slot, stop_error

# Key of the metrics in the custom data of an entry: a cache hit returns them.
METRICS = "metrics"


class CachedCases:
    """Runs cases through a cache."""

    def __init__(
        self,
        cache: Cache,
        root: Path,
        runner: Runner,
        beat_s: float,
        execute: Callable[[Slot, Request], Steps[CaseEnd]],
    ) -> None:
        """`execute` runs a case on a miss. *Writes* the directory of results, below `root`."""
        self._cache = cache
        self._results = ResultDirectory(root / cache.results_dir, cache.file_suffix)
        self._results.make()
        self._runner, self._beat_s, self._execute = runner, beat_s, execute
        # When each claim file of this task was last touched: the heartbeat that others check.
        self._touched: dict[Path, float] = {}

    def touch_claims_if_due(self) -> float:
        """Touch the claims that are due (their heartbeat). Returns the time of the next touch."""
        now = self._runner.clock()
        for path, touched in self._touched.items():
            if now >= touched + self._beat_s:
                self._touched[path] = now
                with contextlib.suppress(OSError):  # taken over, or the file system is unavailable
                    os.utime(path)
        return min(self._touched.values(), default=NEVER) + self._beat_s

    def execute(self, slot: Slot, request: Request) -> Steps[CaseEnd]:
        """The result of a case: a hit, another process's once it is published, or computed here."""
        case = ResultKey.of(request.params)
        anew = not self._cache.use_cache
        for pause_s in claims.backoff_pauses():
            try:
                making = producer.begin(self._results, case, anew=anew, skips_table=True)
                if isinstance(making, Entry):
                    return self._hit(request, making)
            except HpcsweepError as error:
                return _uncached(CaseEnd(), error)
            if making is not None:
                ended = yield from self._make(slot, request, making)
                if ended is not None:
                    return ended
                anew = False  # another process took over the claim: its result will do
            yield Wait(until=self._runner.clock() + pause_s)
            if self._runner.stop_signal:
                return CaseEnd(reason=self._runner.stop_reason, error=stop_error(self._runner))
        raise AssertionError  # pauses do not end

    def _make(self, slot: Slot, request: Request, making: Making) -> Steps[CaseEnd | None]:
        """Run a case under its claim and publish its result. None if the claim was lost."""
        heartbeat_file = making.claim.path / claims.OWNER
        self._touched[heartbeat_file] = self._runner.clock()
        ended = CaseEnd()
        try:
            request = replace(request, result_file=str(making.result_file))
            ended = yield from self._execute(slot, request)
            if ended.reason is Reason.ERROR:  # perhaps its directory went with the claim
                claims.check_own(making.claim.path)
            if ended.reason is None:
                metrics = {METRICS: ended.metrics} if ended.metrics else {}
                making.publish(self._cache.custom_data | metrics)
        except ClaimLost:
            write_notice(
                f"index {request.index}: its claim was taken over, another process makes its result"
            )
            return None
        except HpcsweepError as error:
            return _uncached(ended, error)
        finally:
            del self._touched[heartbeat_file]
            making.claim.release()
        return ended

    def _hit(self, request: Request, entry: Entry) -> CaseEnd:
        where = self._results.resolve(entry.result_file)
        write_notice(f"index {request.index} is in the cache: {where}")
        metrics = entry.custom_data.get(METRICS)
        return CaseEnd(metrics=metrics if isinstance(metrics, dict) else {}, from_cache=True)


def _uncached(ended: CaseEnd, error: HpcsweepError) -> CaseEnd:
    """The end of a case whose result cannot be kept. *Raises* the error if the disk is full."""
    if getattr(error, "errno", None) in FULL:
        raise error
    problem: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    return ended._replace(reason=Reason.ERROR, error=problem)
