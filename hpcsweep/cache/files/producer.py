"""Making one result: under a claim, by the user's runner, published by renames.

It needs no database and no model, so it runs in a thread, another process or another host's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hpcsweep import claims
from hpcsweep.cache.files.dirty_marks import Marks, made_with
from hpcsweep.cache.files.result_directory import Case, Entry, Shelf
from hpcsweep.claims import Claim, ClaimLost
from hpcsweep.liveness import BEATS

LOG = logging.getLogger("hpcsweep")

Runner = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, slots=True)
class Maker:
    """What makes results. Pickles with its runner."""

    # Called with the params, `id` and `result_file`.
    runner: Runner
    shelf: Shelf
    # For a worker, which beats by itself.
    in_task: bool = False
    # Whether the table is left to others, as it is in a task.
    leaves_rows: bool = False

    def __call__(self, case: Case, custom_data: dict[str, Any], *, anew: bool = False) -> Entry:
        """The entry of a case, made if need be; waits for whoever is making it.

        `anew` makes it in any case. *Raises* whatever the runner raises, ResultMissing, SweepError.
        *Writes* the result and its entry.
        """
        for pause_s in claims.pauses():
            found = self.now(case, custom_data, anew=anew)
            if found is not None:
                return found
            time.sleep(pause_s)
        raise AssertionError  # pauses do not end

    def now(self, case: Case, custom_data: dict[str, Any], *, anew: bool = False) -> Entry | None:
        """As a call; None, and nothing done, while somebody else is making it."""
        claim = claims.take(self.shelf.claims, case.id)
        if claim is None:
            return None
        try:
            if not self.in_task:
                BEATS.look_after(claim)
            before = self.shelf.entry(case.id)
            if before and not anew and self.shelf.has(before.result_file):
                return before
            return self._made(case, custom_data, claim, before)
        except ClaimLost:
            LOG.warning("%s: taken for dead, another process made it", case.id)
            return None
        finally:
            claim.release()

    def found(self, case: Case) -> Entry | None:
        """The entry of a case whose result is there."""
        entry = self.shelf.entry(case.id)
        return entry if entry and self.shelf.has(entry.result_file) else None

    def _made(
        self, case: Case, custom_data: dict[str, Any], claim: Claim, before: Entry | None
    ) -> Entry:
        shelf = self.shelf
        asked = claim.path / f"{case.id}{shelf.suffix}"
        begun = time.monotonic()
        try:
            self.runner({**case.params, "id": case.id, "result_file": str(asked)})
        except OSError:  # because its directory is another's by now?
            claims.check_own(claim.path)
            raise
        elapsed = round(time.monotonic() - begun, 4)
        name = shelf.publish(claim, asked)
        entry = Entry(
            id=case.id,
            params=case.params,
            result_file=name,
            created_at=datetime.now(UTC),
            custom_data={"elapsed_seconds": elapsed} | custom_data,
        )
        old = before.result_file if before and before.result_file != name else ""
        marks = Marks(shelf)
        marks.add(entry.id, made_with(entry), result=old, mine=not self.leaves_rows)
        shelf.write(entry, claim)
        if old:
            shelf.remove_result(old)
        LOG.info("%s: made in %s s, %s", case.id, elapsed, name)
        return entry
