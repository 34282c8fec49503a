"""Ingest journals into the index: incremental, idempotent, safe to run concurrently.

Also a program that a worker starts on its own journal:
`python -m hpcsweep.program hpcsweep.store.ingest SWEEP --journal=PATH --deadline=S`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from hpcsweep.errors import Damaged, StoreError
from hpcsweep.files import replace_with_copy
from hpcsweep.journal import all_journals
from hpcsweep.quantities import counted
from hpcsweep.recordcheck import Record
from hpcsweep.records import Word
from hpcsweep.sources.case_locator import CaseLocator
from hpcsweep.store import SweepIndex, decoding, sharing
from hpcsweep.store.filesystem import is_local
from hpcsweep.store.gc_control import gc_paused
from hpcsweep.store.journal_columns import read_columns
from hpcsweep.store.location import locate_database
from hpcsweep.store.pending_batch import PendingBatch
from hpcsweep.store.pieces import divide
from hpcsweep.store.record_mapper import RecordMapper
from hpcsweep.store.record_rows import json_text, submission_row
from hpcsweep.store.upsert import RowBatch
from hpcsweep.sweepdir.directory import INDEX_NAME, SweepDirectory
from hpcsweep.sweepdir.hand_copy import original
from hpcsweep.sweepdir.locate import argument_for

_log = logging.getLogger(__name__)

# Records, possibly of several journals, per batch, which is a transaction of PostgreSQL. Of two
# processes one waits for the other for as long as the first and the last batch take.
BATCH_RECORDS = 10_000
# Seconds of work in one transaction of SQLite, at most one batch longer: each transaction writes
# nearly all pages of the indexes, however few rows it has. Others wait for it up to a minute.
TRANSACTION_S = 20.0
# Share of a task's deadline for retries while the database is unreachable.
RETRY_SHARE = 0.8
# Seconds for which a command that shows many indexes waits for a database.
GLANCE_PATIENCE_S = 2.0


@dataclass(kw_only=True, slots=True)
class Ingested:
    """The result of one ingest."""

    # Records ingested, and lines skipped: damaged, or not of this sweep.
    records: int = 0
    torn: int = 0


class Ingest:
    """Brings the index up to date with a sweep's journals."""

    def __init__(self, sweep: SweepDirectory, sweep_index: SweepIndex) -> None:
        self._sweep = sweep
        self._sweep_index = sweep_index
        self._mapper = RecordMapper(sweep, sweep_index.where)
        self._newest = self._mapper.version(sweep.newest_manifest())
        self._locator = CaseLocator(self._newest.source)
        # Whether no journal was ingested before.
        self._is_first = False
        # The columns of numbers so far; None where they have none.
        self._numbers = sweep_index.number_columns()

    def run(self, journals: Iterable[str] | None = None) -> Ingested:
        """Ingest the new bytes of these journals, or of all. *Safe to repeat.*

        *Raises* StoreError, JournalError.
        """
        with self._sweep_index.kept_connection(), gc_paused():
            done = self._run(journals)
        counts = done.records, done.torn
        _log.debug("%s: took in %d records, passed over %d lines", self._sweep.name, *counts)
        return done

    def _run(self, journals: Iterable[str] | None) -> Ingested:
        self._take_over_order()
        if journals is None:
            closed = self._sweep_index.closed_journals()
            positions = closed.positions
            self._is_first = not positions and not self._sweep_index.has_journals()
            names = list(all_journals(self._sweep.journal_root, closed.open_among))
            with contextlib.suppress(StoreError):  # it saves time alone
                closed.keep()
        else:
            names = list(journals)
            positions = self._sweep_index.positions(names)
        total = Ingested()
        is_postgresql = self._sweep_index.dialect == "postgresql"
        if is_postgresql and self._is_first and decoding.pays(self._sweep.journal_root, names):
            names = self._share(names, total)
            positions = self._sweep_index.positions(names) if names else {}
        self._merge(self._all_batches(names, positions, total))
        return total

    def _share(self, names: Sequence[str], total: Ingested) -> list[str]:
        """Merge whole journals by several processes. Adds to `total`.

        Returns those that a process left because it failed.
        """
        pieces = divide(self._sweep.journal_root, names)

        def work(numbers: Iterator[int]) -> Iterator[sharing.Done]:
            for number in numbers:
                own = Ingested()
                self._merge(self._batches(pieces[number], {}, own))
                yield number, own.records, own.torn
            self._sweep_index.close_connection()  # a fork may wait for a free one

        self._sweep_index.close_connection()  # a fork cannot use it
        for number, records, torn in sharing.share(len(pieces), work):
            total.records += records
            total.torn += torn
            pieces[number] = []
        return list(chain.from_iterable(pieces))

    def _merge(self, batches: Iterator[RowBatch]) -> None:
        while ready := list(islice(batches, 1)):
            # PostgreSQL's transactions may be repeated, and `batches` cannot.
            is_sqlite = self._sweep_index.dialect == "sqlite"
            some = _for_a_while(ready, batches) if is_sqlite else ready
            if not self._sweep_index.merge_all(some):
                raise StoreError(
                    "another submit changed the manifest meanwhile",
                    where=self._sweep_index.where,
                    next_step="Run the command again.",
                )

    def _all_batches(
        self, names: Sequence[str], positions: dict[str, int], total: Ingested
    ) -> Iterator[RowBatch]:
        """The new rows of these journals, by children too if they are many. Adds to `total`."""
        if self._is_first and decoding.pays(self._sweep.journal_root, names):
            pieces = divide(self._sweep.journal_root, names)

            def decode(piece: int) -> Iterator[decoding.Counted]:
                own = Ingested()
                # From the start: nothing was ingested, or a process that failed is not trusted.
                for batch in self._batches(pieces[piece], {}, own):
                    yield batch, own.records, own.torn
                    own.records = own.torn = 0

            for batch, records, torn in decoding.with_children(len(pieces), decode):
                total.records += records
                total.torn += torn
                positions |= {path: end for path, _, end, _ in batch.journals}
                yield batch
                del batch
        # If children sent everything, nothing is left.
        yield from self._batches(names, positions, total)

    def _batches(
        self, names: Iterable[str], positions: dict[str, int], total: Ingested
    ) -> Iterator[RowBatch]:
        """The new rows of these journals. Adds to `total`."""
        batch, pending = self._batch(), 0
        for name in names:
            path = self._sweep.journal_root / name
            at = positions.get(name, 0)
            # stat is cheaper than open, and most journals of a long sweep have no new bytes.
            size = _size(path)
            if size <= at:
                continue
            start, torn = at, 0
            for reading in read_columns(path, at):
                misfits = self._mapper.add(batch, reading)
                at, torn = reading.offset, torn + reading.torn + misfits
                count = sum(group.count for group in reading.groups)
                pending += count
                total.records += count + reading.superseded - misfits
                total.torn += reading.torn + misfits
                if at >= size and _has_ended(reading.last):
                    batch.rows.closed[name] = at
                if pending >= BATCH_RECORDS:
                    batch.rows.journals.append((name, start, at, torn))
                    yield self._rows(batch)
                    start, torn, batch, pending = at, 0, self._batch(), 0
            if at > start:
                batch.rows.journals.append((name, start, at, torn))
        if batch.rows.journals:
            yield self._rows(batch)

    def _batch(self) -> PendingBatch:
        return PendingBatch(
            rows=RowBatch(
                manifest=self._newest.fingerprint,
                is_first=self._is_first,
                key=self._newest.source.key,
            ),
            destination=self._sweep_index.where,
            numbers=self._numbers,
        )

    def _rows(self, pending: PendingBatch) -> RowBatch:
        rows, are_alike = pending.rows, True
        for fingerprint, seen in pending.seen.items():
            version = self._mapper.version(fingerprint)
            if self._newest.manifest.extends(version.manifest):
                rows.places |= seen
                continue
            are_alike = False
            for index, case_id in seen.items():
                place = self._locator.locate_index(fingerprint, version.source, index)
                if place is not None:
                    rows.places[place] = case_id
        if self._newest.source.carried_names:
            carried = {index: self._carried(index) for index in rows.places}
            rows.carried = {index: text for index, text in carried.items() if text is not None}
        rows.cases = pending.columns
        if rows.is_first and are_alike:
            rows.digests = pending.digests()
        if pending.numbers is not None:
            self._numbers = rows.numbers = pending.numbers
        return rows

    def _carried(self, index: int) -> str | None:
        """What an index of the newest manifest carries, as JSON text; None for nothing."""
        carried = self._newest.source.carried(index)
        return json_text(carried) if carried else None

    # --- the index order of the newest manifest ---------------------------------------------------

    def _take_over_order(self) -> None:
        """Switch the index to the index order of the newest manifest."""

        def place(row: dict[str, Any]) -> int | None:
            if older is not None and row["idx"] is not None:
                return self._locator.locate_index(older.fingerprint, older.source, row["idx"])
            params = json.loads(row["params"])
            return self._locator.locate_case(row["case_id"], params, row["replicate"])

        done = False
        while not done:
            manifest = self._sweep_index.manifest()
            # Read after the index's manifest, so it is not older.
            newest = self._sweep.newest_manifest()
            if newest != self._newest.fingerprint:
                self._newest = self._mapper.version(newest)
                self._locator = CaseLocator(self._newest.source)
            if manifest == newest:
                return
            older = None
            if manifest is not None:
                with contextlib.suppress(Damaged):  # then the params decide the position
                    older = self._mapper.version(manifest)
            alike = older is not None and self._newest.manifest.extends(older.manifest)
            # A case that `older` lacks may be one of those that were added.
            alike = alike and not self._sweep_index.has_unplaced()
            to = None if alike else place
            done = self._sweep_index.reorder(manifest, newest, to, self._carried)


def _for_a_while(ready: list[RowBatch], batches: Iterator[RowBatch]) -> Iterator[RowBatch]:
    """The batches of one transaction; the first is in `ready`. Holds none that it has yielded."""
    end = time.monotonic() + TRANSACTION_S
    while ready:
        yield ready.pop()
        if time.monotonic() < end:
            ready += islice(batches, 1)


def _size(path: Path) -> int:
    """The size of a file; 0 if it is gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _has_ended(last: Record | None) -> bool:
    """Whether the last record is the worker's own on the end of its task.

    It closes the journal then; a requeued task has another one.
    """
    if last is None:
        return False
    return last["kind"] == "end" and "index" not in last and last.get("word") == Word.WORKER


# --- opening the index --------------------------------------------------------------------------


@contextlib.contextmanager
def fresh_index(sweep: SweepDirectory, *, rebuild: bool = False) -> Iterator[SweepIndex]:
    """The sweep's index with everything that the journals hold now, for a command.

    On a possibly shared file system, no process writes the shared file: the command updates a
    private copy, publishes it by an atomic rename, and reads it (DESIGN invariant 23). Without
    write permission the copy is not published. *Raises* StoreError, JournalError.
    """
    shared = sweep.path / INDEX_NAME
    if sweep.archive:  # its index has everything, and its journals stay there
        sweep_index = SweepIndex(shared, sweep.key)
        _prepare(sweep, sweep_index)
        yield sweep_index
        return
    if not sweep.is_writable:
        with _private_index(sweep, shared) as sweep_index:
            yield sweep_index
        return
    location = _location(sweep)
    if isinstance(location, URL) and original(sweep) is not None:
        with _private_index(sweep, shared) as sweep_index:  # the rows there are the original's
            yield sweep_index
        return
    if location != shared or is_local(sweep.path):
        sweep_index = SweepIndex(location, sweep.key)
        if rebuild:
            _clear(sweep, sweep_index)
        with sweep_index.kept_connection():
            _prepare(sweep, sweep_index)
            Ingest(sweep, sweep_index).run()
        yield sweep_index
        return
    with contextlib.ExitStack() as stack:
        private = _private_copy(stack, shared)
        sweep_index = SweepIndex(private, sweep.key)
        if rebuild:
            _clear(sweep, sweep_index)
        _prepare(sweep, sweep_index)
        if Ingest(sweep, sweep_index).run().records or rebuild or not shared.exists():
            sweep_index.case_groups()  # kept in the file, for the next command
            replace_with_copy(private, shared)
        yield sweep_index


def last_indexed_number(sweep: SweepDirectory, store: str) -> int:
    """The highest number of a submission in the index, whose files may be gone; 0 without one.

    `store` is that of a manifest. *Raises* StoreError.
    """
    location = locate_database(store, sweep.path / INDEX_NAME)
    with contextlib.ExitStack() as stack:
        if isinstance(location, Path) and not is_local(sweep.path):
            location = _private_copy(stack, location)
        sweep_index = SweepIndex(location, sweep.key)
        return max(sweep_index.submissions(), default=0) if sweep_index.exists() else 0


@contextlib.contextmanager
def index_of_journals(sweep: SweepDirectory) -> Iterator[SweepIndex]:
    """A private index of what the journals have now. *Raises* StoreError, JournalError."""
    with contextlib.ExitStack() as stack:
        sweep_index = SweepIndex(_private_copy(stack, None), sweep.key)
        _prepare(sweep, sweep_index)
        Ingest(sweep, sweep_index).run()
        yield sweep_index


def lost_journals(sweep: SweepDirectory, sweep_index: SweepIndex) -> list[str]:
    """The journals that the index has read further than they are now: gone, or shorter.

    A site that purges old files removes them, and a backup may have them as they were. Those of an
    archive stay inside it. *Raises* StoreError.
    """
    if sweep.archive:
        return []
    read_to = sweep_index.positions()
    return [name for name, end in read_to.items() if _size(sweep.journal_root / name) < end]


def _clear(sweep: SweepDirectory, sweep_index: SweepIndex) -> None:
    """Empty the index before a rebuild. *Raises* StoreError if it knows what no journal has."""
    lost: list[str] = []
    try:
        if sweep_index.exists():
            lost = lost_journals(sweep, sweep_index)
    except StoreError as error:
        if not error.damaged:
            raise
    if lost:
        # A file can be moved away; of a database another one takes the place.
        argument = argument_for(sweep.name, sweep.shown_path)
        aside = "move it away" if sweep_index.dialect == "sqlite" else "name another `store`"
        raise StoreError(
            f"{counted(len(lost), 'journal is', 'journals are')} gone or shorter than when the "
            f"index read them, such as {lost[0]}: a rebuild would lose outcomes",
            where=str(sweep.journal_root),
            next_step="Restore the journals from a backup. Without one keep the index: commands go "
            "on reading it, and `hpcsweep archive` saves it. For what the journals and the run "
            f"directories still have, {aside}, then run `hpcsweep ingest {argument} --salvage`: "
            f"the index is {sweep_index.where}",
        )
    sweep_index.clear()


def known_index(sweep: SweepDirectory) -> SweepIndex | None:
    """The sweep's index as it is, for a command that must be fast; None if there is none yet.

    Nothing is ingested. On a possibly shared file system it is only read. *Raises* StoreError.
    """
    location = _location(sweep)
    if isinstance(location, URL) and original(sweep) is not None:
        return None
    is_read_only = not sweep.is_writable or (
        isinstance(location, Path) and not is_local(sweep.path)
    )
    sweep_index = SweepIndex(
        location, sweep.key, patience_s=GLANCE_PATIENCE_S, is_read_only=is_read_only
    )
    return sweep_index if sweep_index.exists() else None


@contextlib.contextmanager
def _private_index(sweep: SweepDirectory, shared: Path) -> Iterator[SweepIndex]:
    """A private index for this command: an updated copy of the shared one, or a new one.

    Also used if the index is in PostgreSQL: a reader of the sweep may have no account there.
    """
    with contextlib.ExitStack() as stack:
        private = _private_copy(stack, None)
        # The copy may fail or be damaged while the owner writes: the journals have all of it.
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"{shared.as_uri()}?mode=ro", uri=True)) as original,
            contextlib.closing(sqlite3.connect(private)) as copy,
        ):
            original.backup(copy)
        sweep_index = SweepIndex(private, sweep.key)
        try:
            _prepare(sweep, sweep_index)
        except StoreError as error:
            if not error.damaged:
                raise
            sweep_index.clear()
            _prepare(sweep, sweep_index)
        Ingest(sweep, sweep_index).run()
        yield sweep_index


def _private_copy(stack: contextlib.ExitStack, shared: Path | None) -> Path:
    """The path of a private copy, with the shared file's content if it exists; removed at exit."""
    try:
        temporary = tempfile.TemporaryDirectory(prefix="hpcsweep-", ignore_cleanup_errors=True)
        private = Path(stack.enter_context(temporary)) / INDEX_NAME
        if shared is not None and shared.exists():
            shutil.copyfile(shared, private)
    except OSError as error:
        raise StoreError(
            f"the index cannot be copied to this host: {error.strerror}",
            where=f"{shared or INDEX_NAME} -> {tempfile.gettempdir()}",
            next_step="Make room there, or set TMPDIR to a directory that has some.",
        ) from error
    return private


def _location(sweep: SweepDirectory) -> Path | URL:
    """The location that the newest manifest gives; an archive has a file."""
    if sweep.archive:
        return sweep.path / INDEX_NAME
    manifest = sweep.newest().manifest
    return locate_database(manifest.store, sweep.path / INDEX_NAME)


def _prepare(sweep: SweepDirectory, sweep_index: SweepIndex) -> None:
    sweep_index.create(sweep.name, sweep.newest_manifest())
    recorded = set(sweep_index.submissions())
    new = [number for number in sweep.submissions() if number not in recorded]
    sweep_index.note_submissions([submission_row(*sweep.plan(number)) for number in new])


def main(arguments: list[str]) -> int:
    """Ingest one journal for a worker, or all of them. Returns the exit code."""
    sweep_path, journal, deadline = arguments
    deadline_s = float(deadline.removeprefix("--deadline="))
    # SIGALRM's default action ends the process: the database rolls back, the journal stays.
    signal.setitimer(signal.ITIMER_REAL, deadline_s)
    sweep = SweepDirectory.open(Path(sweep_path))
    location = _location(sweep)
    if isinstance(location, Path) and not is_local(sweep.path):
        return 0
    # Shorter than the deadline, so that the error can still be reported.
    sweep_index = SweepIndex(location, sweep.key, patience_s=RETRY_SHARE * deadline_s)
    # Tasks create no schema (invariant 25): only a command recreates a missing index.
    with sweep_index.kept_connection():
        if sweep_index.exists():
            name = journal.removeprefix("--journal=")
            Ingest(sweep, sweep_index).run([name] if name else None)
    return 0
