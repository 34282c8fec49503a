"""Journals into the store: only new bytes, as often as anyone likes, by any number at once.

Also a program, `python -m hpcsweep.ingest SWEEP --journal=PATH --deadline=S`: what a worker
starts on its own journal.
"""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
import signal
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
from hpcsweep.files import token
from hpcsweep.journal import Reading, Record, all_journals, rank, read
from hpcsweep.manifest import frozen
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.records import Status
from hpcsweep.rows import attempt_row, json_tags, json_text, start_row, submission_row, verdict_row
from hpcsweep.sources import ParameterSource
from hpcsweep.store import SweepStore
from hpcsweep.store.filesystem import is_local
from hpcsweep.store.location import locate_store
from hpcsweep.store.merging import shared_id
from hpcsweep.store.store import Batch

STORE_NAME = "store.sqlite3"
# Records of several journals that are merged in one transaction.
BATCH_RECORDS = 10_000
# Share of a task's deadline for which a database that is away is tried again.
PATIENT_SHARE = 0.8


@dataclass(kw_only=True, slots=True)
class Ingested:
    """What one ingest found."""

    # Count of records taken in, and of damaged lines passed over.
    records: int = 0
    torn: int = 0


class Ingest:
    """Brings one store up to date with a sweep's journals."""

    def __init__(self, sweep: SweepDirectory, store: SweepStore) -> None:
        self._sweep = sweep
        self._store = store
        self._newest = _Manifest.open(sweep, sweep.newest_manifest())
        self._older: dict[str, _Manifest] = {}
        self._moved: dict[str, int] | None = None
        # By submission and chunk.
        self._task_ids: dict[int, dict[int, int]] = {}

    def run(self, journals: Iterable[str] | None = None) -> Ingested:
        """Ingest the new bytes of these journals, or of all. *Safe to repeat.*

        *Raises* StoreError, JournalError.
        """
        self._take_over_order()
        names: Iterable[str] | None = None if journals is None else list(journals)
        positions = self._store.positions(names)
        if names is None:
            names = all_journals(self._sweep.journal_root)
        with _no_garbage():
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
            for reading in read(path, at, skim=True):
                batch.rows.journals.append((name, at, reading.offset, reading.torn))
                self._add(batch, reading)
                at = reading.offset
                pending += len(reading.records)
                total.records += len(reading.records) + reading.superseded
                total.torn += reading.torn
                if pending >= BATCH_RECORDS:
                    self._merge(batch)
                    batch, pending = self._batch(), 0
        self._merge(batch)
        return total

    def _batch(self) -> _Gathered:
        return _Gathered(rows=Batch(manifest=self._newest.fingerprint))

    def _merge(self, gathered: _Gathered) -> None:
        rows = gathered.rows
        if not rows.journals:
            return
        rows.cases = [self._case_row(record) for record in gathered.best.values()]
        self._refuse_collisions(gathered)
        for manifest, seen in gathered.seen.items():
            if self._manifest(manifest).frozen.orders_like(self._newest.frozen):
                rows.places += [{"idx": index, "case_id": case} for index, case in seen.items()]
                continue
            for index, case_id in seen.items():
                place = self._place(manifest, index)
                if place is not None:
                    rows.places.append({"idx": place, "case_id": case_id})
        if not self._store.merge(rows):
            raise StoreError(
                "another submit changed the manifest meanwhile",
                where=self._store.where,
                next_step="Run the command again.",
            )

    def _add(self, gathered: _Gathered, reading: Reading) -> None:
        for record in reading.records:
            kind = record["kind"]
            if kind == "task":
                gathered.rows.starts.append(start_row(record))
            elif kind == "end" and "index" not in record:
                gathered.rows.verdicts.append(verdict_row(record))
            elif kind in ("same", "begin", "end"):
                # Several indices may have the same case: each of them gets its place.
                gathered.seen[record["manifest"]][record["index"]] = record["case_id"]
            if kind in ("begin", "end") and "index" in record:
                record["rank"] = rank(record)
                best = gathered.best.get(record["case_id"])
                if best is None or record["rank"] > best["rank"]:
                    gathered.best[record["case_id"]] = record
                if best is not None and best["attempt"] != record["attempt"]:
                    gathered.rows.attempts += map(attempt_row, (best, record))

    def _refuse_collisions(self, gathered: _Gathered) -> None:
        """Of two indices with one case id only one makes a row: both must be the same case."""
        for manifest, seen in gathered.seen.items():
            for index, case_id in seen.items():
                best = gathered.best.get(case_id)
                if best is None or (best["index"] == index and best["manifest"] == manifest):
                    continue
                one = self._manifest(manifest).source[index]
                other = self._manifest(best["manifest"]).source[best["index"]]
                if ids.canonical(one.params) != ids.canonical(other.params):
                    raise shared_id(
                        case_id, json_text(one.params), json_text(other.params), self._store.where
                    )

    def _case_row(self, record: Record) -> dict[str, Any]:
        manifest = self._manifest(record["manifest"])
        case = manifest.source[record["index"]]
        if case.case_id != record["case_id"]:
            raise JournalError(
                f"says that index {case.index} is case {record['case_id']}; the manifest "
                f"{manifest.fingerprint} makes it {case.case_id}",
                where=str(self._sweep.journal_root),
                next_step="The journal and the manifest were made by different versions.",
            )
        generation, submission, restart, token = record["attempt"]
        get = record.get
        return {
            "case_id": case.case_id,
            "rank": record["rank"],
            "status": record["status"] if record["kind"] == "end" else Status.RUNNING.value,
            "reason": get("reason"),
            "params": json_text(case.params),
            "tags": json_tags(case.tags),
            "metrics": json_text(get("metrics") or {}),
            "error": json_text(record["error"]) if get("error") else None,
            "seed": f"{ids.case_seed(manifest.frozen.seed, case.case_id, case.replicate):032x}",
            "replicate": case.replicate,
            "generation": generation,
            "submission": submission,
            "chunk": record["chunk"],
            "restart": restart,
            "token": token,
            "started": get("started"),
            "ended": get("ended"),
            "wall_seconds": get("wall_seconds"),
            "cpu_seconds": get("cpu_seconds"),
            "max_rss_bytes": get("max_rss_bytes"),
            "host": get("host"),
            "job_id": get("job_id"),
            "run_dir": get("run_dir"),
            "code_digest": get("code_digest"),
            "task_id": self._task_id(submission, record["chunk"]),
        }

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

    def _place(self, fingerprint: str, index: int) -> int | None:
        case = self._manifest(fingerprint).source[index]
        return self._find(case.case_id, case.params, case.replicate)

    def _find(self, case_id: str, params: dict[str, Any], replicate: int) -> int | None:
        source = self._newest.source
        if source.can_find:
            return source.find(params, replicate)
        if self._moved is None:  # a stream of ids, once
            self._moved = {case.case_id: case.index for case in source}
        return self._moved.get(case_id)

    def _take_over_order(self) -> None:
        """Give the store the newest manifest's index order, if it has an older one's."""

        def place(row: dict[str, Any]) -> int | None:
            return self._find(row["case_id"], json.loads(row["params"]), row["replicate"])

        done = False
        while not done:
            known = self._store.manifest()
            # Looked up after what the store knows, so it is not older than that.
            newest = self._sweep.newest_manifest()
            if newest != self._newest.fingerprint:
                self._newest, self._moved = self._manifest(newest), None
            if known == newest:
                return
            mine = self._newest.frozen
            alike = known is not None and self._manifest(known).frozen.orders_like(mine)
            done = self._store.reorder(known, newest, None if alike else place)


@contextlib.contextmanager
def _no_garbage() -> Iterator[None]:
    """Records hold no cycles, so nobody need look for any: that takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(kw_only=True, slots=True)
class _Gathered:
    """One batch while it is read: of all records about a case only the best is made a row."""

    rows: Batch
    best: dict[str, Record] = field(default_factory=dict)
    # Case id by fingerprint of the manifest and by index.
    seen: defaultdict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Manifest:
    frozen: FrozenManifest
    source: ParameterSource

    @classmethod
    def open(cls, sweep: SweepDirectory, fingerprint: str) -> _Manifest:
        directory = sweep.manifest_dir(fingerprint)
        manifest = frozen.read(directory)
        return cls(frozen=manifest, source=frozen.open_source(directory, manifest))

    @property
    def fingerprint(self) -> str:
        return self.frozen.fingerprint


# --- opening the store --------------------------------------------------------------------------


@contextlib.contextmanager
def fresh_store(sweep: SweepDirectory, *, rebuild: bool = False) -> Iterator[SweepStore]:
    """The sweep's store with all that the journals hold by now, for a command.

    On a file system that is not surely local nobody writes the shared file: a private copy is
    brought up to date, takes the file's place by a rename, and is the one that is read
    (DESIGN invariant 23). *Raises* StoreError, JournalError.
    """
    shared = sweep.path / STORE_NAME
    location = _location(sweep)
    if location != shared or is_local(sweep.path):
        store = SweepStore(location, sweep.key)
        if rebuild:
            store.clear()
        _ensure(sweep, store)
        Ingest(sweep, store).run()
        yield store
        return
    with tempfile.TemporaryDirectory(prefix="hpcsweep-") as temporary:
        private = Path(temporary) / STORE_NAME
        if shared.exists() and not rebuild:
            shutil.copyfile(shared, private)
        store = SweepStore(private, sweep.key)
        _ensure(sweep, store)
        if Ingest(sweep, store).run().records or not shared.exists():
            beside = shared.with_name(f".{STORE_NAME}.{token()}")
            shutil.copyfile(private, beside)
            beside.replace(shared)
        yield store


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
