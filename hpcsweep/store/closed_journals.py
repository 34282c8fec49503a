"""Which journals may grow, by directory: ten thousand need not be compared one by one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection
from functools import partial
from hashlib import blake2b

from sqlalchemy import Connection, and_, func, select

from hpcsweep.store import journal_offsets, schema, totals
from hpcsweep.store.engine import Database

# Journals of a directory that are compared as fast as its digest is made.
TOTAL_MIN = 50


class ClosedJournals:
    """The closed journals of a sweep, as directories are listed."""

    def __init__(self, database: Database, sweep: str) -> None:
        self._database, self._sweep = database, sweep
        # The digest of the names in each directory whose journals were all ingested at least once.
        self._kept = _of_text(totals.kept(database, sweep, "closed"))
        # How far the open ones were ingested. Read after `_kept`: one that the index has learned
        # since is closed, or among these.
        self.positions = database.read(partial(journal_offsets.open_positions, sweep=sweep))
        self._open: defaultdict[str, set[str]] = defaultdict(set)
        for path in self.positions:
            directory, _, name = path.rpartition("/")
            self._open[directory].add(name)
        # The count of names and their digest, of directories that are not in `_kept`.
        self._new: dict[str, tuple[int, str]] = {}

    def open_among(self, directory: str, names: Collection[str]) -> Collection[str]:
        """Those of the names in a directory of journals that may have new bytes."""
        digest = _digest(names)
        if self._kept.get(directory) == digest:
            return self._open[directory].intersection(names)
        closed = self._database.read(
            lambda connection: journal_offsets.closed(connection, self._sweep, directory)
        )
        still = [name for name in names if f"{directory}/{name}" not in closed]
        if len(names) >= TOTAL_MIN and self._open[directory].issuperset(still):
            self._new[directory] = len(names), digest
        return still

    def keep(self) -> None:
        """Keep what was found. *Raises* StoreError."""
        if self._new:
            self._database.write(self._keep)

    def _keep(self, connection: Connection) -> None:
        if not totals.lock(connection, self._sweep):
            return
        # The index may have been cleared since: of what was known before, nothing is written back.
        # What it has a position of now was ingested.
        kept = _of_text(totals.read(connection, self._sweep, "closed"))
        for directory, (count, digest) in self._new.items():
            table = schema.journals.c
            is_known = and_(table.sweep == self._sweep, journal_offsets.is_in(directory))
            if connection.scalar(select(func.count()).where(is_known)) == count:
                kept[directory] = digest
        totals.keep(connection, self._sweep, "closed", json.dumps(kept))


def _digest(names: Collection[str]) -> str:
    """The digest of the names in a directory.

    Versions before 2026-11-30 take a directory of a digest without `person` for one whose journals
    are all closed, and read none of it.
    """
    text = "/".join(sorted(names)).encode()
    return blake2b(text, digest_size=8, person=b"ingested").hexdigest()


def _of_text(total: str | None) -> dict[str, str]:
    """The digest by directory, from their text."""
    digests: dict[str, str] = json.loads(total or "{}")
    return digests
