"""Produce one result: run the user's runner under a claim, publish by atomic rename.

Needs no database and no model, so it can run in a thread, another process or on another host.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from hpcsweep import claims
from hpcsweep.cache.files.dirty_marks import DirtyMarks, producer_mark
from hpcsweep.cache.files.result_directory import Entry, ResultDirectory, ResultKey
from hpcsweep.claims import Claim, ClaimLost
from hpcsweep.liveness import HEARTBEAT
from hpcsweep.older_python import dataclass

LOG = logging.getLogger("hpcsweep")

Runner = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Making:
    """A result in production under a claim, which the caller releases."""

    results: ResultDirectory
    case: ResultKey
    claim: Claim
    # The existing entry of the same case.
    before: Entry | None
    # True in a task: other processes update the table.
    skips_table: bool
    # Of `time.monotonic`.
    begun: float

    @property
    def result_file(self) -> Path:
        """Where the result has to be written."""
        return self.claim.path / f"{self.case.id}{self.results.suffix}"

    def publish(self, custom_data: dict[str, Any]) -> Entry:
        """Publish the result and record it. *Writes* the result and its entry.

        *Raises* ClaimLost, ResultMissing, SweepError.
        """
        results, before = self.results, self.before
        elapsed = round(time.monotonic() - self.begun, 4)
        name = results.publish(self.claim, self.result_file)
        entry = Entry(
            id=self.case.id,
            params=self.case.params,
            result_file=name,
            created_at=datetime.now(timezone.utc),
            custom_data={"elapsed_seconds": elapsed} | custom_data,
        )
        old = before.result_file if before and before.result_file != name else ""
        marks = DirtyMarks(results)
        marks.add(entry.id, producer_mark(entry), result=old, has_owner=not self.skips_table)
        results.write(entry, self.claim)
        if old:
            results.remove_result(old)
        LOG.info("%s: made in %s s, %s", self.case.id, elapsed, name)
        return entry


def begin(
    results: ResultDirectory, case: ResultKey, *, anew: bool = False, skips_table: bool = False
) -> Making | Entry | None:
    """Begin to produce a result, or return the existing entry; None while another produces it.

    `anew` produces it in any case. The claim is the caller's to keep alive, as `claims.try_acquire`
    says.
    """
    claim = claims.try_acquire(results.claims, case.id)
    if claim is None:
        return None
    making = None
    try:
        before = results.entry(case.id)
        if before and not anew and results.has(before.result_file):
            return before
        making = Making(results, case, claim, before, skips_table, time.monotonic())
        return making
    finally:
        if making is None:
            claim.release()


@dataclass(frozen=True, slots=True)
class ResultProducer:
    """Produces results. Can be pickled with its runner."""

    # Called with the params, `id` and `result_file`.
    runner: Runner
    results: ResultDirectory
    # True in a task: other processes update the table.
    skips_table: bool = False

    def __call__(
        self, case: ResultKey, custom_data: dict[str, Any], *, anew: bool = False
    ) -> Entry:
        """The entry of a case, produced if needed; waits while another process produces it.

        `anew` always produces it. *Raises* whatever the runner raises, ResultMissing, SweepError.
        *Writes* the result and its entry.
        """
        for pause_s in claims.backoff_pauses():
            entry = self.try_produce(case, custom_data, anew=anew)
            if entry is not None:
                return entry
            time.sleep(pause_s)
        raise AssertionError  # the pauses do not end

    def try_produce(
        self, case: ResultKey, custom_data: dict[str, Any], *, anew: bool = False
    ) -> Entry | None:
        """Like a call, but returns None at once while another process is producing it."""
        making = begin(self.results, case, anew=anew, skips_table=self.skips_table)
        if not isinstance(making, Making):
            return making
        try:
            HEARTBEAT.add(making.claim)
            self._run(making)
            return making.publish(custom_data)
        except ClaimLost:
            LOG.warning("%s: taken for dead, another process made it", case.id)
            return None
        finally:
            making.claim.release()

    def existing(self, case: ResultKey) -> Entry | None:
        """The entry of a case whose result exists."""
        entry = self.results.entry(case.id)
        return entry if entry and self.results.has(entry.result_file) else None

    def _run(self, making: Making) -> None:
        case = making.case
        try:
            self.runner({**case.params, "id": case.id, "result_file": str(making.result_file)})
        except OSError:  # perhaps the claim, and with it the directory, was lost
            claims.check_own(making.claim.path)
            raise
