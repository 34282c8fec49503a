"""`SweepIndex`: the index of one sweep's outcomes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Select, and_, func, or_, select

from hpcsweep.errors import StoreError
from hpcsweep.files import open_file
from hpcsweep.indexset import IndexSet
from hpcsweep.records import Reason, Status
from hpcsweep.store import migrations, schema, upsert
from hpcsweep.store.engine import Database
from hpcsweep.store.location import parse_url
from hpcsweep.store.upsert import Batch

Row = dict[str, Any]

CASE_ID_DIGITS = 16
# Rows that are read in one transaction, and held in memory.
ROWS_AT_ONCE = 5000
# Variables of one query; older builds of SQLite allow 999.
NAMES_AT_ONCE = 500


# What the indices of one `Known` have in common, and of what it has the largest.
_KNOWN_KEY = ("status", "reason", "generation", "submission", "attempt", "code_digest")
_KNOWN_USED = ("wall_seconds", "max_rss_bytes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """Indices whose cases have the same in these columns."""

    indices: IndexSet
    # Values of `Status` and `Reason`.
    status: str
    reason: str | None
    generation: int
    # Of the last attempt.
    submission: int
    # Count of attempts.
    attempt: int
    code_digest: str | None
    # The largest of them; None where none is known.
    wall_seconds: float | None
    max_rss_bytes: int | None


class SweepIndex:
    """The index of one sweep, in a SQLite file or a PostgreSQL database. The contract:

    * Any number of processes, on SQLite of one host, use it at once; sweeps that share a database
      do not see each other.
    * Every method is one transaction, all of it or nothing, on a connection of its own; while a
      PostgreSQL is away it is tried again for `patience_s` seconds. `rows`, and what `reorder`
      reads first, take one for each page: of a row that is changed meanwhile `rows` gives the old
      or the new form, once.
    * `merge` is idempotent and commutative: batches may come twice, in any order, from several
      processes, and the rows are those of one batch with everything. Of two records about a case
      the one with the higher rank is its row; its attempt number counts all that are known.
    * A journal's position grows over bytes that were merged, and over no others.
    * Params and metrics come back as the text that they were.
    * Rows are removed by `reorder` (places alone) and `clear`, and by nothing else.
    * Tables are made and changed by `create` and `clear` alone, never by a task's methods.
    * Nothing here is the truth: a store that is lost is made again from the journals.

    Every method *raises* StoreError: the cause, the remedy, and no password.
    """

    def __init__(self, location: Path | URL | str, sweep: str, patience_s: float | None = None):
        """`location` is a file, or the URL of a PostgreSQL database."""
        self._location = parse_url(location, "store") if isinstance(location, str) else location
        self._database = Database(self._location, patience_s)
        # The sweep's key: several sweeps may share a database.
        self._sweep = sweep

    @property
    def where(self) -> str:
        """The file or the URL, without a password."""
        return self._database.where

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the kind of database."""
        return self._database.dialect

    def exists(self) -> bool:
        """Whether the tables are there, of this version, and know the sweep.

        *Raises* StoreError for those of a newer version.
        """
        if isinstance(self._location, Path) and not self._location.exists():
            return False

        def knows(connection: Connection) -> bool:
            ready = migrations.is_ready(connection, self.where)
            return ready and connection.scalar(self._manifest_query()) is not None

        return self._database.read(knows)

    def create(self, name: str, manifest: str) -> None:
        """Make the tables and the sweep's row where they are missing. *Safe to repeat.*

        Tables of an older version are brought up to date.
        """

        def make(connection: Connection) -> None:
            migrations.prepare(connection, self.where)
            row = {"sweep": self._sweep, "name": name, "manifest": manifest}
            insert = upsert.insert_into(connection, schema.sweeps)
            connection.execute(insert.on_conflict_do_nothing(), row)

        if not self.exists():
            if isinstance(self._location, Path):  # SQLite's own would be for all to read
                with contextlib.suppress(OSError):  # what is there, or what it will tell
                    os.close(open_file(self._location, os.O_WRONLY | os.O_EXCL))
            self._database.write(make)

    def manifest(self) -> str | None:
        """The fingerprint of the manifest whose indices the store holds."""

        found = self._all(self._manifest_query())
        return found[0].manifest if found else None

    def merge(self, batch: Batch) -> bool:
        """Merge a batch. *Safe to repeat.*

        False, and nothing done, when the store holds another manifest's index order by now.
        *Raises* StoreError also when a case id has other params than the row that has it.
        """

        def work(connection: Connection) -> bool:
            # Shared, so that merges run at once, but none while the order changes.
            order = self._manifest_query().with_for_update(read=True)
            if connection.scalar(order) != batch.manifest:
                return False
            upsert.merge_cases(connection, self._sweep, batch, self.where)
            upsert.merge_places(connection, self._sweep, batch)
            started, judged = ("host", "job_id", "time"), ("status", "reason")
            upsert.merge_tasks(connection, self._sweep, batch.starts, "start_rank", started)
            upsert.merge_tasks(connection, self._sweep, batch.verdicts, "verdict_rank", judged)
            upsert.advance(connection, self._sweep, batch.journals)
            return True

        return self._database.write(work)

    def clear(self) -> None:
        """Forget all of this sweep; the next ingest reads its journals from the start.

        Tables that were damaged or changed are removed whole: `create` makes them again, and
        every other sweep among them is ingested again by its next command.
        """

        def forget(connection: Connection) -> None:
            connection.execute(self._manifest_query().with_for_update())
            for table in reversed(schema.metadata.sorted_tables):
                if table is not schema.meta and table is not schema.sweeps:
                    connection.execute(table.delete().where(table.c.sweep == self._sweep))

        try:
            if self.exists():
                self._database.write(forget)
        except StoreError as error:
            if not error.damaged:
                raise
            self._remove()

    def _remove(self) -> None:
        if isinstance(self._location, Path):
            # The rollback journal goes first, or SQLite would apply it to the new file.
            for name in (f"{self._location.name}-journal", self._location.name):
                self._location.with_name(name).unlink(missing_ok=True)
        else:
            self._database.write(lambda connection: migrations.drop(connection, self.where))

    def note_submissions(self, rows: Sequence[Row]) -> None:
        """Keep what is known of submissions: the columns of `submissions` but the sweep."""
        values = [row | {"sweep": self._sweep} for row in rows]

        def note(connection: Connection) -> None:
            insert = upsert.insert_into(connection, schema.submissions)
            connection.execute(insert.on_conflict_do_nothing(), values)

        if values:
            self._database.write(note)

    def submissions(self) -> list[int]:
        """The numbers of the submissions that are known, oldest first."""
        table = schema.submissions.c
        query = select(table.submission).where(table.sweep == self._sweep)
        return [row.submission for row in self._all(query.order_by(table.submission))]

    def positions(self, paths: Iterable[str] | None = None) -> dict[str, int]:
        """The byte offset up to which journals were ingested: all of them, or at least these."""
        table = schema.journals.c
        query = select(table.path, table.position).where(table.sweep == self._sweep)
        some = None if paths is None else list(paths)
        if some is not None and len(some) <= NAMES_AT_ONCE:
            query = query.where(table.path.in_(some))
        return {row.path: row.position for row in self._all(query)}

    def torn(self) -> dict[str, int]:
        """Count of lines that were passed over, by journal, of those that have some."""
        table = schema.journals.c
        query = select(table.path, table.torn).where(table.sweep == self._sweep, table.torn > 0)
        return {row.path: row.torn for row in self._all(query.order_by(table.path))}

    def counts(self) -> dict[tuple[str, str | None], int]:
        """Count of indices by (status, reason), of those that any attempt began."""
        kind = (schema.cases.c.status, schema.cases.c.reason)
        query = self._joined().with_only_columns(*kind, func.count()).group_by(*kind)
        return {(row[0], row[1]): row[2] for row in self._all(query)}

    def known(self) -> list[Known]:
        """What is known of the indices that any attempt began: each is in one set. One query."""
        cases, places = schema.cases.c, schema.places.c
        key = [cases[name] for name in _KNOWN_KEY]
        rank = func.row_number().over(partition_by=key, order_by=places.idx)
        used = [cases[name] for name in _KNOWN_USED]
        # Successive indices of one key keep their distance from their rank.
        runs = self._joined().with_only_columns(
            places.idx, *key, *used, (places.idx - rank).label("run")
        )
        table = runs.subquery().c
        columns = [table[name] for name in _KNOWN_KEY]
        query = select(
            *columns,
            func.min(table.idx),
            func.max(table.idx),
            *(func.max(table[name]) for name in _KNOWN_USED),
        ).group_by(*columns, table.run)
        ranges: dict[tuple[Any, ...], list[tuple[int, int]]] = {}
        most: dict[tuple[Any, ...], list[Any]] = {}
        for row in self._all(query):
            of, (first, last, *largest) = tuple(row[: len(key)]), row[len(key) :]
            ranges.setdefault(of, []).append((first, last + 1))
            known = most.setdefault(of, largest)
            most[of] = [
                max((value for value in pair if value is not None), default=None)
                for pair in zip(known, largest, strict=True)
            ]
        return [
            Known(
                indices=IndexSet(found),
                **dict(zip((*_KNOWN_KEY, *_KNOWN_USED), (*of, *most[of]), strict=True)),
            )
            for of, found in ranges.items()
        ]

    def rows(self, *, where: Any = None, batch: int = ROWS_AT_ONCE) -> Iterator[Row]:
        """The rows of all cases that any attempt began, in index order, with their `idx`.

        A transaction for each `batch` of them: whoever takes them slowly keeps no writer waiting.
        """
        query = self._joined().order_by(schema.places.c.idx).limit(batch)
        if where is not None:
            query = query.where(where)
        last = -1
        while True:
            found = self._mappings(query.where(schema.places.c.idx > last))
            yield from found
            if len(found) < batch:
                return
            last = found[-1]["idx"]

    def max_generation(self) -> int:
        """The highest generation of any attempt that is known."""
        table = schema.cases.c
        query = select(func.max(table.generation)).where(table.sweep == self._sweep)
        return int(self._all(query)[0][0] or 0)

    def silent(self, submission: int) -> list[Row]:
        """The rows of a submission's attempts that began and did not end by their own word."""
        table = schema.cases.c
        mine = table.submission == submission
        unended = or_(
            table.status == Status.RUNNING.value,
            and_(table.status == Status.INTERRUPTED.value, table.reason == Reason.TERMINATED.value),
        )
        return list(self.rows(where=and_(mine, unended)))

    def find(self, case: str) -> list[Row]:
        """The rows of a case by its index, or by the start of its case id."""
        table = schema.cases.c
        rows = []
        if case.isdigit() and len(case) < CASE_ID_DIGITS:
            rows = list(self.rows(where=schema.places.c.idx == int(case)))
        return rows or list(self.rows(where=table.case_id.startswith(case, autoescape=True)))

    def tasks(self) -> list[Row]:
        """What is known of each array task, in the order of submissions and chunks."""
        table = schema.tasks.c
        query = select(schema.tasks).where(table.sweep == self._sweep)
        return self._mappings(query.order_by(table.submission, table.chunk))

    def reorder(
        self, known: str | None, manifest: str, place: Callable[[Row], int | None] | None
    ) -> bool:
        """Take over the index order of another manifest, all at once.

        `place` gives the index of a row of case id, params, replicate and idx, its index so far;
        None says that the order is the same. It may take its time: nobody is kept waiting but
        for cases that are merged meanwhile. False, and nothing done, when the store's manifest is
        not `known`.
        """
        places: dict[str, int | None] = {}
        if place is not None:
            places = {row["case_id"]: place(row) for row in self._identities()}

        def work(connection: Connection) -> bool:
            if connection.scalar(self._manifest_query().with_for_update()) != known:
                return False
            if place is not None:
                self._replace_places(connection, places, place)
            table = schema.sweeps
            mine = table.update().where(table.c.sweep == self._sweep)
            connection.execute(mine.values(manifest=manifest))
            return True

        return self._database.write(work)

    def _identity(self) -> Select[Any]:
        cases = schema.cases.c
        places = schema.places.c
        mine = and_(places.sweep == self._sweep, places.case_id == cases.case_id)
        index = select(func.min(places.idx)).where(mine).scalar_subquery().label("idx")
        columns = (cases.case_id, cases.params, cases.replicate, index)
        return select(*columns).where(cases.sweep == self._sweep).order_by(cases.case_id)

    def _identities(self) -> Iterator[Row]:
        """What names each case; a transaction for each page."""
        found = self._mappings(self._identity().limit(ROWS_AT_ONCE))
        while found:
            yield from found
            later = schema.cases.c.case_id > found[-1]["case_id"]
            found = self._mappings(self._identity().where(later).limit(ROWS_AT_ONCE))

    def _replace_places(
        self,
        connection: Connection,
        places: dict[str, int | None],
        place: Callable[[Row], int | None],
    ) -> None:
        cases, table = schema.cases.c, schema.places
        known = connection.scalars(select(cases.case_id).where(cases.sweep == self._sweep))
        new = [case_id for case_id in known if case_id not in places]
        for start in range(0, len(new), NAMES_AT_ONCE):
            some = cases.case_id.in_(new[start : start + NAMES_AT_ONCE])
            for row in connection.execute(self._identity().where(some)).mappings():
                places[row["case_id"]] = place(dict(row))
        connection.execute(table.delete().where(table.c.sweep == self._sweep))
        rows = [(index, case) for case, index in places.items() if index is not None]
        upsert.insert_missing(connection, self._sweep, table, ["idx", "case_id"], rows)

    def _manifest_query(self) -> Select[Any]:
        return select(schema.sweeps.c.manifest).where(schema.sweeps.c.sweep == self._sweep)

    def _joined(self) -> Select[Any]:
        cases, places = schema.cases, schema.places
        matches = and_(cases.c.sweep == places.c.sweep, cases.c.case_id == places.c.case_id)
        return (
            select(places.c.idx, cases)
            .join_from(places, cases, matches)
            .where(places.c.sweep == self._sweep)
        )

    def _all(self, query: Select[Any]) -> Sequence[Any]:
        return self._database.read(lambda connection: connection.execute(query).all())

    def _mappings(self, query: Select[Any]) -> list[Row]:
        return [dict(row._mapping) for row in self._all(query)]  # noqa: SLF001  # its public name
