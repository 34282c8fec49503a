"""Produce one result: run the user's runner under a claim, publish by atomic rename.

Needs no database and no model, so it can run in a thread, another process or on another host.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hpcsweep import claims
from hpcsweep.cache.files.dirty_marks import DirtyMarks, producer_mark
from hpcsweep.cache.files.result_directory import Entry, ResultDirectory, ResultKey
from hpcsweep.claims import Claim, ClaimLost
from hpcsweep.liveness import HEARTBEAT

LOG = logging.getLogger("hpcsweep")

Runner = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class ResultProducer:
    """Produces results. Can be pickled with its runner."""

    # Called with the params, `id` and `result_file`.
    runner: Runner
    results: ResultDirectory
    # True in a worker, which sends its own heartbeat.
    in_task: bool = False
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
            found = self.try_produce(case, custom_data, anew=anew)
            if found is not None:
                return found
            time.sleep(pause_s)
        raise AssertionError  # the pauses do not end

    def try_produce(
        self, case: ResultKey, custom_data: dict[str, Any], *, anew: bool = False
    ) -> Entry | None:
        """Like a call, but returns None at once while another process is producing it."""
        claim = claims.try_acquire(self.results.claims, case.id)
        if claim is None:
            return None
        try:
            if not self.in_task:
                HEARTBEAT.add(claim)
            before = self.results.entry(case.id)
            if before and not anew and self.results.has(before.result_file):
                return before
            return self._produce(case, custom_data, claim, before)
        except ClaimLost:
            LOG.warning("%s: taken for dead, another process made it", case.id)
            return None
        finally:
            claim.release()

    def existing(self, case: ResultKey) -> Entry | None:
        """The entry of a case whose result exists."""
        entry = self.results.entry(case.id)
        return entry if entry and self.results.has(entry.result_file) else None

    def _produce(
        self, case: ResultKey, custom_data: dict[str, Any], claim: Claim, before: Entry | None
    ) -> Entry:
        results = self.results
        asked = claim.path / f"{case.id}{results.suffix}"
        begun = time.monotonic()
        try:
            self.runner({**case.params, "id": case.id, "result_file": str(asked)})
        except OSError:  # perhaps the claim, and with it the directory, was lost
            claims.check_own(claim.path)
            raise
        elapsed = round(time.monotonic() - begun, 4)
        name = results.publish(claim, asked)
        entry = Entry(
            id=case.id,
            params=case.params,
            result_file=name,
            created_at=datetime.now(UTC),
            custom_data={"elapsed_seconds": elapsed} | custom_data,
        )
        old = before.result_file if before and before.result_file != name else ""
        marks = DirtyMarks(results)
        marks.add(entry.id, producer_mark(entry), result=old, mine=not self.skips_table)
        results.write(entry, claim)
        if old:
            results.remove_result(old)
        LOG.info("%s: made in %s s, %s", case.id, elapsed, name)
        return entry
