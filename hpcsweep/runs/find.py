"""Find the files of a case, and check that kept files are still there."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from hpcsweep import ids
from hpcsweep.errors import Damaged, RunMissing
from hpcsweep.files import parse_json
from hpcsweep.indexset import IndexSet
from hpcsweep.logbook.packs import METADATA, PackedFiles, PackLocation, open_packed_run
from hpcsweep.logbook.run_directory import METRICS, read_metadata
from hpcsweep.logbook.runfiles import FolderFiles, RunFiles, no_file
from hpcsweep.records import Status
from hpcsweep.runs.archived import archived_files
from hpcsweep.store import SweepIndex
from hpcsweep.store.case_reader import IndexRow
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import Layout, attempt_dir

# Lookups: a directory may be published or moved back between two of them.
LOOKS = 2
# Cases with missing or damaged files that are listed by name.
NAMED = 10


def run_files(sweep: SweepDirectory, row: IndexRow) -> RunFiles | None:
    """The files of the attempt in a row of the index; None if there are none.

    In this order: packed; unpacked since; the published run directory, if its token matches; the
    attempt's own directory. *Raises* Damaged for files that exist and cannot be read.
    """
    if sweep.archive:
        archived = archived_files(sweep, row)
        return _checked_owner(archived, row) if isinstance(archived, PackedFiles) else archived
    run_dir = str(row["run_dir"] or "")
    place = PackLocation.parse(run_dir)
    if place is not None:
        packed = open_packed_run(sweep.path, place)
        if packed is not None:
            return _checked_owner(packed, row)
        run_dir = _unpacked_dir(sweep, row)
    own = sweep.path / attempt_dir(row["case_id"], row["token"])
    for _ in range(LOOKS):
        if run_dir:
            published = sweep.path / run_dir
            metadata = read_metadata(published)
            if metadata is not None and metadata.get("token") == row["token"]:
                return FolderFiles(published)
        if own.is_dir():
            return FolderFiles(own)
    if run_dir and metadata is None and published.is_dir():
        raise _damaged(FolderFiles(published), METADATA)
    return None


def _checked_owner(packed: PackedFiles, row: IndexRow) -> PackedFiles:
    """*Raises* Damaged if the pack holds another case's run there."""
    if not packed.run_id.endswith(row["case_id"]):
        raise Damaged(f"byte {packed.offset} is not where its run begins", where=str(packed.pack))
    return packed


def _unpacked_dir(sweep: SweepDirectory, row: IndexRow) -> str:
    """The target directory of `unpack`."""
    canonical = ids.canonical(json.loads(row["params"]))
    return _layout(sweep, row["submission"]).run_dir(
        row["case_id"], ids.run_id(canonical, row["case_id"])
    )


@lru_cache(maxsize=16)
def _layout(sweep: SweepDirectory, submission: int) -> Layout:
    return sweep.plan(submission)[0].layout


def kept_files(sweep: SweepDirectory, row: IndexRow) -> RunFiles | None:
    """Like `run_files`. *Raises* RunMissing if the files of a complete case are missing."""
    files = run_files(sweep, row)
    if files is None and row["run_dir"] and row["status"] == Status.COMPLETE.value:
        raise RunMissing("the run no longer exists", where=str(sweep.path / row["run_dir"]))
    return files


def lost_files(
    sweep: SweepDirectory, sweep_index: SweepIndex, report: DamageReport | None = None
) -> IndexSet:
    """The complete indices whose kept files are gone. Looks for each on disk: a walk over all.

    With a `report` it also reads the files, and adds those that are gone or damaged.
    """
    complete = (row for row in sweep_index.rows() if row["status"] == Status.COMPLETE.value)
    return IndexSet.of(row["idx"] for row in complete if _is_lost(sweep, row, report))


def _is_lost(sweep: SweepDirectory, row: IndexRow, report: DamageReport | None) -> bool:
    if not row["run_dir"]:
        return False
    try:
        if report is None:
            kept_files(sweep, row)
        else:
            report.checked += 1
            check_files(sweep, row)
    except (RunMissing, Damaged) as error:
        if report is not None:
            report.add(row, error)
        return isinstance(error, RunMissing)
    return False


def has_file(files: RunFiles, row: IndexRow, name: str) -> bool:
    """Whether a case has a file.

    *Raises* RunMissing for a file that every complete case has, Damaged for a damaged run.
    """
    exists = files.has(name)
    always = name == METADATA or (name == METRICS and row["metrics"] != "{}")
    if not exists and always and row["status"] == Status.COMPLETE.value:
        raise no_file(name, files.label)
    return exists


def check_files(sweep: SweepDirectory, row: IndexRow) -> None:
    """Check that the files of a case exist, and read those that hpcsweep itself wrote.

    *Raises* RunMissing, Damaged.
    """
    files = kept_files(sweep, row)
    for name in (METADATA, METRICS):
        if files and has_file(files, row, name) and not _is_object(files.read(name)):
            raise _damaged(files, name)


@dataclass(kw_only=True, slots=True)
class DamageReport:
    """Collects the cases whose files are missing or damaged."""

    # Counts by kind: "gone", "damaged".
    lost: Counter[str] = field(default_factory=Counter)
    # One line for each of the first NAMED cases.
    named: list[str] = field(default_factory=list)
    # Count of the complete cases that `lost_files` checked.
    checked: int = 0
    # Count of the cases that do not have the file that was asked for, and need not have it.
    without: int = 0

    @contextlib.contextmanager
    def collecting(self, row: IndexRow) -> Iterator[None]:
        """Record the case if the block raises RunMissing or Damaged, and continue."""
        try:
            yield
        except (RunMissing, Damaged) as error:
            self.add(row, error)

    def add(self, row: IndexRow, error: RunMissing | Damaged) -> None:
        """Record a case whose files are missing or damaged."""
        kind = "gone" if isinstance(error, RunMissing) else "damaged"
        self.lost[kind] += 1
        if len(self.named) < NAMED:
            self.named.append(f"index {row['idx']}, {row['case_id']}: {kind}: {error}")

    def __str__(self) -> str:
        return ", ".join(f"{count} {kind}" for kind, count in sorted(self.lost.items()))


def _is_object(data: bytes | None) -> bool:
    try:
        return isinstance(parse_json(data or b""), dict)
    except ValueError:
        return False


def _damaged(files: RunFiles, name: str) -> Damaged:
    return Damaged(f"{name} is damaged: it is not a JSON object", where=files.label)
