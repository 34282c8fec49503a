"""`SweepIndex`: the index of one sweep's outcomes."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Select,
    and_,
    func,
    or_,
    select,
)

from hpcsweep.errors import StoreError
from hpcsweep.files import open_file
from hpcsweep.indexset import IndexSet
from hpcsweep.journal import RANKS_OF_TERMINATED
from hpcsweep.records import Reason, Status
from hpcsweep.store import (
    blocks,
    case_groups,
    column_kinds,
    journal_offsets,
    measured,
    migrations,
    number_columns,
    reordering,
    schema,
    task_groups,
    task_times,
    upsert,
)
from hpcsweep.store.case_groups import CaseGroup
from hpcsweep.store.case_reader import CaseReader, IndexRow, as_dicts
from hpcsweep.store.closed_journals import ClosedJournals
from hpcsweep.store.column_kinds import ColumnKinds
from hpcsweep.store.engine import Database
from hpcsweep.store.location import parse_url
from hpcsweep.store.measured import Measured
from hpcsweep.store.merge import merge
from hpcsweep.store.number_columns import NumberColumns
from hpcsweep.store.pages import ROWS_AT_ONCE
from hpcsweep.store.reordering import Placed
from hpcsweep.store.task_groups import TaskGroup
from hpcsweep.store.task_times import TaskTimes
from hpcsweep.store.upsert import RowBatch


class SweepIndex(CaseReader):
    """The index of one sweep, in a SQLite file or a PostgreSQL database. The contract:

    * Any number of processes use it concurrently (with SQLite, on one host). Sweeps that share a
      database do not see each other.
    * Every method is one transaction, on its own connection but within `kept_connection`. While
      PostgreSQL is unreachable, it is retried for `patience_s` seconds. `rows`, and the reads of
      `reorder`, use one transaction per page; of a row that changes meanwhile, `rows` returns the
      old or the new version, once.
    * `merge` is idempotent and commutative: batches may repeat, in any order, from several
      processes; the result is that of one batch with everything. Of two records about a case, the
      one with the higher rank is the row; its attempt number counts all known attempts.
    * The position of a journal advances only over bytes that were merged.
    * Params and metrics are returned as the exact text that was stored.
    * Only `clear` and `forget` remove rows of cases; merges and `reorder` move their indices.
    * Only `create` and `clear` create or change tables; a task calls neither.
    * The journals are the truth: a lost index is rebuilt from them.

    Every method *raises* StoreError, with cause and remedy and without a password.
    """

    def __init__(
        self,
        location: Path | URL | str,
        sweep: str,
        patience_s: float | None = None,
        *,
        is_read_only: bool = False,
    ):
        """`location` is a file, or the URL of a PostgreSQL database."""
        self._location = parse_url(location, "store") if isinstance(location, str) else location
        database = Database(self._location, patience_s, is_read_only=is_read_only)
        super().__init__(database, sweep)

    @property
    def where(self) -> str:
        """The file or the URL, without a password."""
        return self._database.where

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the database kind."""
        return self._database.dialect

    def exists(self) -> bool:
        """Whether the tables exist, have this version, and know the sweep.

        *Raises* StoreError for a newer version.
        """
        if isinstance(self._location, Path) and not self._location.exists():
            return False

        def knows(connection: Connection) -> bool:
            ready = migrations.is_ready(connection, self.where)
            return ready and connection.scalar(self._manifest_query()) is not None

        return self._database.read(knows)

    def create(self, name: str, manifest: str) -> None:
        """Create the tables and the sweep's row if they are missing. *Safe to repeat.*

        Tables of an older version are migrated.
        """

        def make(connection: Connection) -> None:
            migrations.prepare(connection, self.where)
            row = {"sweep": self._sweep, "name": name, "manifest": manifest}
            insert = upsert.insert_into(connection, schema.sweeps)
            connection.execute(insert.on_conflict_do_nothing(), row)

        if not self.exists():
            if isinstance(self._location, Path):  # SQLite would create it world-readable
                with contextlib.suppress(OSError):  # it exists; or SQLite will report the error
                    os.close(open_file(self._location, os.O_WRONLY | os.O_EXCL))
            self._database.write(make)

    def manifest(self) -> str | None:
        """The fingerprint of the manifest whose indices the index holds."""

        rows = self._all(self._manifest_query())
        return rows[0].manifest if rows else None

    def merge(self, batch: RowBatch) -> bool:
        """Merge a batch. *Safe to repeat.*

        Returns False, without merging, if the index holds another manifest's order by now.
        *Raises* StoreError also if a case id has other params than its row.
        """

        return self.merge_all([batch])

    def merge_all(self, batches: Iterable[RowBatch]) -> bool:
        """Like `merge`, of several batches. *Raises* StoreError, and what `batches` does.

        On PostgreSQL it may be iterated over several times.
        """
        order = self._manifest_query().with_for_update(read=True)

        def work(connection: Connection) -> bool:
            # A shared lock: merges may overlap, but not with a change of the order.
            manifest = connection.scalar(order)
            for batch in batches:
                if batch.manifest != manifest:
                    return False
                merge(connection, self._sweep, batch, self.where)
                del batch  # while the next one is made
            return True

        return self._database.merge(work)

    def kept_connection(self) -> contextlib.AbstractContextManager[None]:
        """Let the transactions within use one connection; see `Database`."""
        return self._database.kept_connection()

    def close_connection(self) -> None:
        """Close a kept connection; see `Database`."""
        self._database.close_connection()

    def clear(self) -> None:
        """Remove all rows of this sweep; the next ingest reads its journals from the start.

        Damaged or changed tables are dropped: `create` creates them again, and every other sweep in
        them is ingested again by its next command.
        """

        # A command that reads the index meanwhile knows which column has the numbers of which key.
        kept = schema.meta, schema.sweeps, schema.number_columns

        def forget(connection: Connection) -> None:
            connection.execute(self._manifest_query().with_for_update())
            for table in reversed(schema.metadata.sorted_tables):
                if table not in kept:
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
            # Remove the rollback journal first, or SQLite would apply it to the new file.
            for name in (f"{self._location.name}-journal", self._location.name):
                self._location.with_name(name).unlink(missing_ok=True)
        else:
            self._database.write(lambda connection: migrations.drop(connection, self.where))

    def rename(self, name: str) -> None:
        """Record another name of the sweep. *Safe to repeat.*"""
        table = schema.sweeps
        update = table.update().where(table.c.sweep == self._sweep).values(name=name)
        self._database.write(lambda connection: connection.execute(update))

    def forget(self) -> None:
        """Remove all rows of this sweep, and the sweep itself. *Safe to repeat.*"""

        def forget(connection: Connection) -> None:
            for table in reversed(schema.metadata.sorted_tables):
                if table is not schema.meta:
                    connection.execute(table.delete().where(table.c.sweep == self._sweep))

        self._database.write(forget)

    def note_submissions(self, rows: Sequence[IndexRow]) -> None:
        """Upsert submissions; rows have the columns of `submissions` without the sweep."""
        values = [row | {"sweep": self._sweep} for row in rows]

        def note(connection: Connection) -> None:
            insert = upsert.insert_into(connection, schema.submissions)
            connection.execute(insert.on_conflict_do_nothing(), values)

        if values:
            self._database.write(note)

    def submissions(self) -> list[int]:
        """The numbers of the known submissions, ascending."""
        table = schema.submissions.c
        query = select(table.submission).where(table.sweep == self._sweep)
        return [row.submission for row in self._all(query.order_by(table.submission))]

    def positions(self, paths: Iterable[str] | None = None) -> dict[str, int]:
        """The byte offsets up to which journals were ingested: all, or at least these."""
        return self._database.read(
            partial(journal_offsets.positions, sweep=self._sweep, paths=paths)
        )

    def closed(self) -> frozenset[str]:
        """The journals that grow no more, and were ingested to their end."""
        return self._database.read(partial(journal_offsets.closed, sweep=self._sweep))

    def closed_journals(self) -> ClosedJournals:
        """The same, for a walk through their directories."""
        return ClosedJournals(self._database, self._sweep)

    def has_journals(self) -> bool:
        """Whether any journal was ingested."""
        table = schema.journals.c
        return bool(self._all(select(table.path).where(table.sweep == self._sweep).limit(1)))

    def torn(self) -> dict[str, int]:
        """Count of skipped lines by journal; only journals that have some."""
        return self._database.read(partial(journal_offsets.torn, sweep=self._sweep))

    def counts(self) -> dict[tuple[str, str | None], int]:
        """Count of indices by (status, reason), of cases that any attempt began."""
        counts: Counter[tuple[str, str | None]] = Counter()
        for group in self.case_groups():
            counts[group.status, group.reason] += group.indices.count
        return dict(counts)

    def complete_by_host(self, since: str = "") -> dict[str, int]:
        """Count of complete cases by host; of those that ended after `since`, UTC in ISO 8601."""
        table = schema.cases.c
        complete = and_(table.sweep == self._sweep, table.status == Status.COMPLETE.value)
        query = select(table.host, func.count()).where(complete, table.host.is_not(None))
        if since:
            query = query.where(table.ended > since)
        return {row[0]: row[1] for row in self._all(query.group_by(table.host))}

    def case_groups(self) -> list[CaseGroup]:
        """What is known of the indices that any attempt began: each is in one set."""
        outcomes = blocks.read(self._database, self._sweep, case_groups.OUTCOMES)
        return case_groups.merged(outcomes)

    def unplaced_groups(self, place: Callable[[IndexRow], int | None]) -> list[CaseGroup]:
        """What is known of cases that the manifest lacks, at the indices that `place` returns.

        A row has case id, params and replicate; None leaves it out.
        """
        found = []
        for row in self._in_pages(reordering.unplaced(self._sweep)):
            index = place(row)
            if index is not None:
                found.append((index, *(row[name] for name in case_groups.OUTCOMES.names)))
        if not found:
            return []
        indices, *columns = zip(*sorted(found, key=itemgetter(0)), strict=True)
        return case_groups.merged([case_groups.OUTCOMES.make(indices, columns)])

    def with_status(self, *statuses: str) -> IndexSet:
        """The indices of cases that any attempt began, and whose status is one of these."""
        return IndexSet.union(
            group.indices for group in self.case_groups() if group.status in statuses
        )

    def kinds(self) -> ColumnKinds:
        """The kinds of values, by their keys, of cases that any attempt began."""
        kinds = blocks.read(self._database, self._sweep, column_kinds.KINDS)
        return column_kinds.merged(kinds)

    def number_columns(self) -> NumberColumns | None:
        """The columns of `cases` that repeat numbers of params and metrics; None on PostgreSQL."""
        if self.dialect != "sqlite":
            return None
        return self._database.read(partial(number_columns.known, sweep=self._sweep))

    def measured(self, without: Collection[int] = ()) -> Measured | None:
        """What complete cases took, but for those of some submissions; None without any."""
        return Measured.of_row(self._all(measured.query(self._sweep, without))[0])

    def max_generation(self) -> int:
        """The highest generation of any known attempt."""
        return self._database.read(partial(case_groups.max_generation, sweep=self._sweep))

    def silent(self, submission: int) -> list[IndexRow]:
        """The rows of attempts of a submission that began and have no definite end."""
        table = schema.cases.c
        unended = or_(
            table.status == Status.RUNNING.value,
            table.reason == Reason.TERMINATED.value,
            and_(table.reason == Reason.TIMEOUT.value, table.rank.like(RANKS_OF_TERMINATED)),
        )
        statuses = (Status.RUNNING.value, Status.INTERRUPTED.value)
        within = IndexSet.union(
            group.indices
            for group in self.case_groups()
            if group.submission == submission and group.status in statuses
        )
        where = and_(table.submission == submission, unended)
        return list(self.rows(where=where, within=within))

    def tasks(self) -> list[IndexRow]:
        """The known array tasks, by submission and chunk."""
        table = schema.tasks.c
        query = select(schema.tasks).where(table.sweep == self._sweep)
        return self._mappings(query.order_by(table.submission, table.chunk))

    def task_groups(self) -> list[TaskGroup]:
        """What is known of the array tasks; each is in one set."""
        return task_groups.read(self._database, self._sweep)

    def task_times(self) -> list[TaskTimes]:
        """How long each array task worked on cases, of attempts that ended."""
        return self._database.read(partial(task_times.read, sweep=self._sweep))

    def reorder(
        self,
        expected: str | None,
        manifest: str,
        place: Callable[[IndexRow], int | None] | None,
        carried: Callable[[int], str | None] = lambda _: None,
    ) -> bool:
        """Switch to the index order of another manifest in one transaction.

        `place` returns the new index of a row (case id, params, replicate, and idx, its current
        index); None means that the order is unchanged. `carried` returns what a new index carries,
        as JSON text. They may be slow: they block only merges of cases that arrive meanwhile.
        Returns False, without a change, if the manifest of the index is not `expected`.
        """

        def placed(row: IndexRow) -> Placed:
            index = None if place is None else place(row)
            return None if index is None else (index, carried(index))

        places: dict[str, Placed] = {}
        if place is not None:
            rows = self._in_pages(reordering.identities(self._sweep))
            places = {row["case_id"]: placed(row) for row in rows}

        def work(connection: Connection) -> bool:
            if connection.scalar(self._manifest_query().with_for_update()) != expected:
                return False
            if place is not None:
                reordering.replace_places(connection, self._sweep, places, placed)
            table = schema.sweeps
            update = table.update().where(table.c.sweep == self._sweep)
            connection.execute(update.values(manifest=manifest))
            return True

        return self._database.write(work)

    def has_unplaced(self) -> bool:
        """Whether any case has no index, since the manifest lacks it."""
        return bool(self._all(reordering.unplaced(self._sweep).limit(1)))

    def _in_pages(self, by_case_id: Select[Any]) -> Iterator[IndexRow]:
        """The rows of a query that orders by case id; one transaction per page."""
        page = self._mappings(by_case_id.limit(ROWS_AT_ONCE))
        while page:
            yield from page
            later = schema.cases.c.case_id > page[-1]["case_id"]
            page = self._mappings(by_case_id.where(later).limit(ROWS_AT_ONCE))

    def _manifest_query(self) -> Select[Any]:
        return select(schema.sweeps.c.manifest).where(schema.sweeps.c.sweep == self._sweep)

    def _mappings(self, query: Select[Any]) -> list[IndexRow]:
        return as_dicts(self._all(query))
