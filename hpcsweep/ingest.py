"""Journals into the store: only new bytes, as often as anyone likes, by any number at once.

Also a program, `python -m hpcsweep.ingest SWEEP --journal=PATH --deadline=S`: what a worker
starts on its own journal.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from hpcsweep import ids
from hpcsweep.directory import SweepDirectory
from hpcsweep.errors import HpcsweepError, JournalError, StoreError, SweepError
from hpcsweep.files import put_copy
from hpcsweep.journal import Record, all_journals, decode, is_known, read
from hpcsweep.manifest import frozen
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.records import ParamCase
from hpcsweep.rows import (
    CASE_COLUMNS,
    Line,
    attempt_row,
    case_line,
    start_row,
    submission_row,
    verdict_row,
)
from hpcsweep.sources import ParameterSource
from hpcsweep.sources.places import Places
from hpcsweep.store import SweepStore
from hpcsweep.store.bulk import no_garbage
from hpcsweep.store.filesystem import is_local
from hpcsweep.store.location import locate_store
from hpcsweep.store.merging import Batch, shared_id

STORE_NAME = "store.sqlite3"
# Records of several journals that are merged in one transaction.
BATCH_RECORDS = 25_000
RANK, PARAMS = map(CASE_COLUMNS.index, ("rank", "params"))
# Share of a task's deadline for which a database that is away is tried again.
PATIENT_SHARE = 0.8


@dataclass(kw_only=True, slots=True)
class Ingested:
    """What one ingest found."""

    # Count of records taken in, and of lines passed over: damaged, or not of this sweep.
    records: int = 0
    torn: int = 0


class Ingest:
    """Brings one store up to date with a sweep's journals."""

    def __init__(self, sweep: SweepDirectory, store: SweepStore) -> None:
        self._sweep = sweep
        self._store = store
        self._newest = _Manifest.open(sweep, sweep.newest_manifest())
        self._older: dict[str, _Manifest] = {}
        self._places = Places(self._newest.source)
        # Whether no journal had been read before.
        self._is_first = False
        # By submission and chunk.
        self._task_ids: dict[int, dict[int, int]] = {}

    def run(self, journals: Iterable[str] | None = None) -> Ingested:
        """Ingest the new bytes of these journals, or of all. *Safe to repeat.*

        *Raises* StoreError, JournalError.
        """
        self._take_over_order()
        names: Iterable[str] | None = None if journals is None else list(journals)
        positions = self._store.positions(names)
        self._is_first = names is None and not positions
        if names is None:
            names = all_journals(self._sweep.journal_root)
        with no_garbage():
            return self._read(names, positions)

    def _read(self, names: Iterable[str], positions: dict[str, int]) -> Ingested:
        total, batch, pending = Ingested(), self._batch(), 0
        for name in names:
            path = self._sweep.journal_root / name
            at = positions.get(name, 0)
            # A stat instead of an open: most journals of a long sweep are long finished.
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_size <= at:
                    continue
            start, torn = at, 0
            for reading in read(path, at, skim=True):
                misfits = self._add(batch, reading.records)
                at, torn = reading.offset, torn + reading.torn + misfits
                pending += len(reading.records)
                total.records += len(reading.records) + reading.superseded - misfits
                total.torn += reading.torn + misfits
                if pending >= BATCH_RECORDS:
                    batch.rows.journals.append((name, start, at, torn))
                    self._merge(batch)
                    start, torn, batch, pending = at, 0, self._batch(), 0
            if at > start:
                batch.rows.journals.append((name, start, at, torn))
        self._merge(batch)
        return total

    def _batch(self) -> _Gathered:
        return _Gathered(rows=Batch(manifest=self._newest.fingerprint, is_first=self._is_first))

    def _merge(self, gathered: _Gathered) -> None:
        rows = gathered.rows
        if not rows.journals:
            return
        rows.cases = [line for line, _ in gathered.best.values()]
        for manifest, seen in gathered.seen.items():
            if self._manifest(manifest).frozen.orders_like(self._newest.frozen):
                rows.places |= seen
                continue
            for index, case_id in seen.items():
                place = self._places.of_index(manifest, self._manifest(manifest).source, index)
                if place is not None:
                    rows.places[place] = case_id
        if not self._store.merge(rows):
            raise StoreError(
                "another submit changed the manifest meanwhile",
                where=self._store.where,
                next_step="Run the command again.",
            )

    def passed_over(self) -> Iterator[str]:
        """Where each line is that was passed over, and why. Reads the journals that have one."""
        for name in self._store.torn():
            path = self._sweep.journal_root / name
            with contextlib.suppress(FileNotFoundError), path.open("rb") as stream:
                for number, line in enumerate(stream, 1):
                    record = decode(line[:-1])
                    why = "it is damaged" if record is None else self._misfit(record)
                    if line.endswith(b"\n") and line != b"\n" and why:
                        yield f"{path}, line {number}: {why}"

    def _misfit(self, record: Record) -> str:
        """Why a record cannot be of this sweep; empty for one that can."""
        try:
            if is_known(record):
                self._add_record(self._batch(), record)
        except _MISFIT as error:
            if isinstance(error, JournalError):
                return str(error)
            return f"it is not as this program writes one: {error!r}"
        return ""

    def _add(self, gathered: _Gathered, records: list[Record]) -> int:
        """Take records in. Returns the count of those that cannot be of this sweep."""
        misfits = 0
        for record in records:
            try:
                self._add_record(gathered, record)
            except _MISFIT:
                misfits += 1
        return misfits

    def _add_record(self, gathered: _Gathered, record: Record) -> None:
        """*Raises* one of _MISFIT for a record that cannot be of this sweep."""
        if "index" in record:
            self._add_case(gathered, record)
        elif record["kind"] == "task":
            gathered.rows.starts.append(start_row(record))
        elif record["kind"] == "end":
            gathered.rows.verdicts.append(verdict_row(record))

    def _add_case(self, gathered: _Gathered, record: Record) -> None:
        manifest, index = self._manifest(record["manifest"]), record["index"]
        case = _case(manifest, index, record["case_id"])
        line = None
        if record["kind"] != "same":
            seed = ids.case_seed(manifest.frozen.seed, case.case_id, case.replicate)
            task_id = self._task_id(record["attempt"][1], record["chunk"])
            line = case_line(record, case, seed, task_id)
        # Several indices may have the same case: each of them gets its place.
        gathered.seen[manifest.fingerprint][index] = case.case_id
        if line is None:
            return
        best = gathered.best.get(case.case_id)
        if best is None:
            gathered.best[case.case_id] = line, record["attempt"]
            return
        known, attempt = best
        if line[PARAMS] != known[PARAMS]:
            self._refuse_collision(case.case_id, line[PARAMS], known[PARAMS])
        if attempt != record["attempt"]:
            gathered.rows.attempts += [
                attempt_row(case.case_id, each) for each in (attempt, record["attempt"])
            ]
        if line[RANK] > known[RANK]:
            gathered.best[case.case_id] = line, record["attempt"]

    def _refuse_collision(self, case_id: str, params: str, others: str) -> None:
        """Two indices with one case id must be the same case; their texts may differ (1, 1.0)."""
        if ids.canonical(json.loads(params)) != ids.canonical(json.loads(others)):
            raise shared_id(case_id, params, others, self._store.where)

    def _task_id(self, submission: int, chunk: int) -> int | None:
        """Slurm's SLURM_ARRAY_TASK_ID of a chunk; None for a submission whose plan is gone."""
        if submission not in self._task_ids:
            found = self._task_ids[submission] = {}
            with contextlib.suppress(SweepError):
                for part in self._sweep.plan(submission)[0].parts:
                    found |= {part.first_chunk + task: task for task in range(part.chunks)}
        return self._task_ids[submission].get(chunk)

    # --- the index order of the newest manifest ---------------------------------------------------

    def _manifest(self, fingerprint: str) -> _Manifest:
        if fingerprint == self._newest.fingerprint:
            return self._newest
        if fingerprint not in self._older:
            self._older[fingerprint] = _Manifest.open(self._sweep, fingerprint)
        return self._older[fingerprint]

    def _take_over_order(self) -> None:
        """Give the store the newest manifest's index order, if it has an older one's."""

        def place(row: dict[str, Any]) -> int | None:
            if known is not None and row["idx"] is not None:
                return self._places.of_index(known, self._manifest(known).source, row["idx"])
            params = json.loads(row["params"])
            return self._places.of_case(row["case_id"], params, row["replicate"])

        done = False
        while not done:
            known = self._store.manifest()
            # Looked up after what the store knows, so it is not older than that.
            newest = self._sweep.newest_manifest()
            if newest != self._newest.fingerprint:
                self._newest = self._manifest(newest)
                self._places = Places(self._newest.source)
            if known == newest:
                return
            mine = self._newest.frozen
            alike = known is not None and self._manifest(known).frozen.orders_like(mine)
            done = self._store.reorder(known, newest, None if alike else place)


# What a record is told by that is whole, and was not written for this sweep.
_MISFIT = (JournalError, KeyError, TypeError)


def _case(manifest: _Manifest, index: int, case_id: str) -> ParamCase:
    """The case that a record speaks of."""
    count = manifest.source.n_cases
    if not 0 <= index < count:
        raise JournalError(f"it has index {index} of {count} of manifest {manifest.fingerprint}")
    case = manifest.source[index]
    if case.case_id != case_id:
        raise JournalError(
            f"it says that index {index} is case {case_id}; manifest {manifest.fingerprint} "
            f"makes it {case.case_id}"
        )
    return case


@dataclass(kw_only=True, slots=True)
class _Gathered:
    """One batch while it is read: of all records about a case only the best is kept."""

    rows: Batch
    # By case id: the values of CASE_COLUMNS, and the attempt.
    best: dict[str, tuple[Line, list[Any]]] = field(default_factory=dict)
    # Case id by fingerprint of the manifest and by index.
    seen: defaultdict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Manifest:
    fingerprint: str
    frozen: FrozenManifest
    source: ParameterSource

    @classmethod
    def open(cls, sweep: SweepDirectory, fingerprint: str) -> _Manifest:
        directory = sweep.manifest_dir(fingerprint)
        manifest = frozen.read(directory)
        return cls(
            fingerprint=fingerprint,
            frozen=manifest,
            source=frozen.open_source(directory, manifest),
        )


# --- opening the store --------------------------------------------------------------------------


@contextlib.contextmanager
def fresh_store(sweep: SweepDirectory, *, rebuild: bool = False) -> Iterator[SweepStore]:
    """The sweep's store with all that the journals hold by now, for a command.

    On a file system that is not surely local nobody writes the shared file: a private copy is
    brought up to date, takes the file's place by a rename, and is the one that is read
    (DESIGN invariant 23). Where this user may not write at all, that copy is for this command
    alone. *Raises* StoreError, JournalError.
    """
    shared = sweep.path / STORE_NAME
    if not sweep.is_writable:
        with _own_store(sweep, shared) as store:
            yield store
        return
    location = _location(sweep)
    if location != shared or is_local(sweep.path):
        store = SweepStore(location, sweep.key)
        if rebuild:
            store.clear()
        _ensure(sweep, store)
        Ingest(sweep, store).run()
        yield store
        return
    with contextlib.ExitStack() as stack:
        private = _private_copy(stack, None if rebuild else shared)
        store = SweepStore(private, sweep.key)
        _ensure(sweep, store)
        if Ingest(sweep, store).run().records or rebuild or not shared.exists():
            put_copy(private, shared)
        yield store


@contextlib.contextmanager
def _own_store(sweep: SweepDirectory, shared: Path) -> Iterator[SweepStore]:
    """A store of this command's own: the shared one as it is, brought up to date; or a new one.

    Also of a sweep whose store is in PostgreSQL, where a reader of its files may have no account.
    """
    with contextlib.ExitStack() as stack:
        private = _private_copy(stack, None)
        # Its owner may write it just now, or have died at it: the journals have all of it anyway.
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"{shared.as_uri()}?mode=ro", uri=True)) as theirs,
            contextlib.closing(sqlite3.connect(private)) as mine,
        ):
            theirs.backup(mine)
        store = SweepStore(private, sweep.key)
        try:
            _ensure(sweep, store)
        except StoreError as error:
            if not error.damaged:
                raise
            store.clear()
            _ensure(sweep, store)
        Ingest(sweep, store).run()
        yield store


def _private_copy(stack: contextlib.ExitStack, shared: Path | None) -> Path:
    """Where this host's own copy of a store is, if there is one yet, until the stack is closed."""
    try:
        temporary = tempfile.TemporaryDirectory(prefix="hpcsweep-", ignore_cleanup_errors=True)
        private = Path(stack.enter_context(temporary)) / STORE_NAME
        if shared is not None and shared.exists():
            shutil.copyfile(shared, private)
    except OSError as error:
        raise StoreError(
            f"the store cannot be copied to this host: {error.strerror}",
            where=f"{shared or STORE_NAME} -> {tempfile.gettempdir()}",
            next_step="Make room there, or set TMPDIR to a directory that has some.",
        ) from error
    return private


def _location(sweep: SweepDirectory) -> Path | URL:
    """Where the newest manifest says that the store is."""
    manifest = frozen.read(sweep.manifest_dir(sweep.newest_manifest()))
    return locate_store(manifest.store, sweep.path / STORE_NAME)


def _ensure(sweep: SweepDirectory, store: SweepStore) -> None:
    store.create(sweep.name, sweep.newest_manifest())
    known = set(store.submissions())
    new = [number for number in sweep.submissions() if number not in known]
    store.note_submissions([submission_row(*sweep.plan(number)) for number in new])


def main(arguments: list[str]) -> int:
    """Ingest one journal for a worker. Returns the exit code."""
    sweep_path, journal, deadline = arguments
    deadline_s = float(deadline.removeprefix("--deadline="))
    # The default action of SIGALRM ends the process: the database rolls back, the journal stays.
    signal.setitimer(signal.ITIMER_REAL, deadline_s)
    sweep = SweepDirectory.open(Path(sweep_path))
    location = _location(sweep)
    if isinstance(location, Path) and not is_local(sweep.path):
        return 0
    # So that it can say why, too.
    store = SweepStore(location, sweep.key, patience_s=PATIENT_SHARE * deadline_s)
    # Tasks make no schema (invariant 25): a store that is gone is a command's to make again.
    if store.exists():
        Ingest(sweep, store).run([journal.removeprefix("--journal=")])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HpcsweepError as problem:
        print(f"hpcsweep: {problem}", file=sys.stderr)
        sys.exit(problem.exit_code)
