"""A task's cases whose results a cache keeps: each made under its claim, or found there.

Results and entries are files; the table of a cache is no task's to write (invariant 25).
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpcsweep import claims
from hpcsweep.cache.files.producer import ResultProducer
from hpcsweep.cache.files.result_directory import Entry, ResultDirectory, ResultKey
from hpcsweep.errors import HpcsweepError
from hpcsweep.files import FULL
from hpcsweep.manifest.frozen import Cache, FrozenManifest
from hpcsweep.records import Reason
from hpcsweep.worker.command import execute
from hpcsweep.worker.messages import Request
from hpcsweep.worker.signals import Signals
from hpcsweep.worker.slot import Ended, Slot

# What an entry notes of a case that told metrics: whoever finds the result has them, too.
METRICS = "metrics"


class _NotMade(Exception):
    """The case did not complete: there is nothing to keep."""


class Keeping:
    """Runs cases as `command.execute` does, and keeps their results."""

    def __init__(
        self, cache: Cache, root: Path, signals: Signals, beat: Callable[[], None], beat_s: float
    ) -> None:
        """`beat` is called about once in `beat_s` while a case waits. *Writes* the directory."""
        self._cache = cache
        self._results = ResultDirectory(root / cache.results_dir, cache.file_suffix)
        self._results.make()
        self._signals = signals
        self._beat, self._beat_s = beat, beat_s
        # What says that the owner of the claim is alive.
        self._sign: Path | None = None
        # How the target ended, if it was run.
        self._ended: Ended | None = None

    def beat(self) -> None:
        """Give the sign of life of the claim that this task has."""
        if self._sign is not None:
            with contextlib.suppress(OSError):  # taken over, or the disk is away
                os.utime(self._sign)

    def execute(self, manifest: FrozenManifest, slot: Slot, request: Request) -> Ended:
        """The case's result: found, awaited from whoever makes it, or made by the target."""
        noted = dict(self._cache.custom_data)

        def run(params: dict[str, Any]) -> None:
            path = Path(params["result_file"])
            self._sign = path.with_name(claims.OWNER)
            self._ended = execute(manifest, slot, replace(request, result_file=str(path)))
            if self._ended.reason is not None:
                if self._ended.reason is Reason.ERROR:  # because its directory is another's?
                    claims.check_own(path.parent)
                raise _NotMade
            if self._ended.metrics:
                noted[METRICS] = self._ended.metrics

        self._ended = None
        produce = ResultProducer(run, self._results, in_task=True, skips_table=True)
        try:
            entry = self._awaited(produce, ResultKey.of(request.params), noted)
        except _NotMade:
            return self._ended or Ended()
        except HpcsweepError as error:
            if getattr(error, "errno", None) in FULL:
                raise
            return replace(self._ended or Ended(), **_problem(Reason.ERROR, error))
        finally:
            self._sign = None
        if entry is None:
            told = f"the worker was told to end by {self._signals.told}"
            return Ended(**_problem(Reason.TERMINATED, told))
        return self._ended or self._found(request, entry)

    def _awaited(
        self, produce: ResultProducer, case: ResultKey, noted: dict[str, Any]
    ) -> Entry | None:
        """The entry of a case; None when the worker was told to end before there was one."""
        anew = not self._cache.use_cache
        beaten = time.monotonic()
        for pause_s in claims.backoff_pauses():
            entry = produce.try_produce(case, noted, anew=anew)
            if entry is not None:
                return entry
            if self._ended is not None:  # taken for dead meanwhile: the other's result is as good
                anew, self._ended = False, None
            self._signals.wait((), pause_s)
            if self._signals.told:
                return None
            if time.monotonic() - beaten >= self._beat_s:
                self._beat()
                beaten = time.monotonic()
        raise AssertionError  # pauses do not end

    def _found(self, request: Request, entry: Entry) -> Ended:
        where = self._results.resolve(entry.result_file)
        sys.stderr.write(f"hpcsweep: index {request.index} is in the cache: {where}\n")
        metrics = entry.custom_data.get(METRICS)
        return Ended(metrics=metrics if isinstance(metrics, dict) else {}, from_cache=True)


def _problem(reason: Reason, why: object) -> dict[str, Any]:
    kind = type(why).__name__ if isinstance(why, Exception) else reason.value
    return {"reason": reason, "error": {"type": kind, "message": str(why)}}
