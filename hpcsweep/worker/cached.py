"""A task's cases whose results a cache keeps: each made under its claim, or found there.

Results and entries are files; the table of a cache is no task's to write (invariant 25).
"""

from __future__ import annotations

import contextlib
import os
import sys
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
from hpcsweep.worker.messages import Request
from hpcsweep.worker.runner import NEVER, Runner, Steps, Wait
from hpcsweep.worker.slot import Ended, Slot, stopped_by

# What an entry notes of a case with metrics: whoever finds the result has them, too.
METRICS = "metrics"


class CachedCases:
    """Runs cases, and keeps their results."""

    def __init__(
        self,
        cache: Cache,
        root: Path,
        runner: Runner,
        beat_s: float,
        execute: Callable[[Slot, Request], Steps[Ended]],
    ) -> None:
        """`execute` runs a case that has to be. *Writes* the directory of results, below `root`."""
        self._cache = cache
        self._results = ResultDirectory(root / cache.results_dir, cache.file_suffix)
        self._results.make()
        self._runner, self._beat_s, self._execute = runner, beat_s, execute
        # When the file of each claim of this task was touched: others take that for a sign of life.
        self._touched: dict[Path, float] = {}

    def touch_claims_if_due(self) -> float:
        """Show that the owner of the claims is alive; the moment of the next time."""
        now = self._runner.clock()
        for path, touched in self._touched.items():
            if now >= touched + self._beat_s:
                self._touched[path] = now
                with contextlib.suppress(OSError):  # taken over, or the disk is away
                    os.utime(path)
        return min(self._touched.values(), default=NEVER) + self._beat_s

    def execute(self, slot: Slot, request: Request) -> Steps[Ended]:
        """The case's result: found, awaited from whoever makes it, or made by the target."""
        case = ResultKey.of(request.params)
        anew = not self._cache.use_cache
        for pause_s in claims.backoff_pauses():
            try:
                making = producer.begin(self._results, case, anew=anew, skips_table=True)
                if isinstance(making, Entry):
                    return self._found(request, making)
            except HpcsweepError as error:
                return _refused(Ended(), error)
            if making is not None:
                ended = yield from self._make(slot, request, making)
                if ended is not None:
                    return ended
                anew = False  # taken for dead meanwhile: the other's result is as good
            yield Wait(until=self._runner.clock() + pause_s)
            if self._runner.stop_signal:
                stopped = stopped_by(self._runner.stop_signal)
                return Ended(reason=Reason.TERMINATED, error=stopped)
        raise AssertionError  # pauses do not end

    def _make(self, slot: Slot, request: Request, making: Making) -> Steps[Ended | None]:
        """Run a case under its claim and publish its result; None where the claim was lost."""
        sign_of_life = making.claim.path / claims.OWNER
        self._touched[sign_of_life] = self._runner.clock()
        ended = Ended()
        try:
            request = replace(request, result_file=str(making.result_file))
            ended = yield from self._execute(slot, request)
            if ended.reason is Reason.ERROR:  # because its directory is another's?
                claims.check_own(making.claim.path)
            if ended.reason is None:
                metrics = {METRICS: ended.metrics} if ended.metrics else {}
                making.publish(self._cache.custom_data | metrics)
        except ClaimLost:
            sys.stderr.write(
                f"hpcsweep: index {request.index}: its claim was taken over, another process "
                "makes its result\n"
            )
            return None
        except HpcsweepError as error:
            return _refused(ended, error)
        finally:
            del self._touched[sign_of_life]
            making.claim.release()
        return ended

    def _found(self, request: Request, entry: Entry) -> Ended:
        where = self._results.resolve(entry.result_file)
        sys.stderr.write(f"hpcsweep: index {request.index} is in the cache: {where}\n")
        metrics = entry.custom_data.get(METRICS)
        return Ended(metrics=metrics if isinstance(metrics, dict) else {}, from_cache=True)


def _refused(ended: Ended, error: HpcsweepError) -> Ended:
    """A case whose result cannot be kept. *Raises* the error again when the disk is full."""
    if getattr(error, "errno", None) in FULL:
        raise error
    problem: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    return replace(ended, reason=Reason.ERROR, error=problem)
