"""Where the files of a case lie, and what became of those that were kept."""

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
from hpcsweep.logbook.experiment.index import METRICS
from hpcsweep.logbook.packs import METADATA, PackedFiles, PackLocation, packed
from hpcsweep.logbook.run_directory import read_metadata
from hpcsweep.logbook.runfiles import FolderFiles, RunFiles, no_file
from hpcsweep.records import Status
from hpcsweep.store import SweepIndex
from hpcsweep.store.sweep_index import Row
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import Layout, attempt_dir

# It may be published, or moved back, between a look at one place and one at the other.
LOOKS = 2
# Cases whose files are gone or damaged that are named.
NAMED = 10


def run_files(sweep: SweepDirectory, row: Row) -> RunFiles | None:
    """The files of the attempt that a row tells of; None where there are none.

    Packed, or unpacked since, or the published run directory if its token agrees, or else the
    attempt's own. *Raises* Damaged for those that are there and cannot be read.
    """
    run_dir = str(row["run_dir"] or "")
    place = PackLocation.parse(run_dir)
    if place is not None:
        found = packed(sweep.path, place)
        if found is not None:
            return _own(found, row)
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


def _own(found: PackedFiles, row: Row) -> PackedFiles:
    """*Raises* Damaged for the run of another case: then the place is not the run's."""
    if not found.run_id.endswith(row["case_id"]):
        raise Damaged(f"byte {found.offset} is not where its run begins", where=str(found.pack))
    return found


def _unpacked_dir(sweep: SweepDirectory, row: Row) -> str:
    """Where `unpack` puts a run."""
    canonical = ids.canonical(json.loads(row["params"]))
    return _layout(sweep, row["submission"]).run_dir(
        row["case_id"], ids.run_id(canonical, row["case_id"])
    )


@lru_cache(maxsize=16)
def _layout(sweep: SweepDirectory, submission: int) -> Layout:
    return sweep.plan(submission)[0].layout


def kept_files(sweep: SweepDirectory, row: Row) -> RunFiles | None:
    """As `run_files`. *Raises* RunMissing where those of a complete case should be, and are not."""
    found = run_files(sweep, row)
    if found is None and row["run_dir"] and row["status"] == Status.COMPLETE.value:
        raise RunMissing("there is no such run any more", where=str(sweep.path / row["run_dir"]))
    return found


def lost_files(sweep: SweepDirectory, index: SweepIndex) -> IndexSet:
    """The complete indices whose kept files are gone. Looks for each on disk: a walk over all."""
    return IndexSet.of(row["idx"] for row in index.rows() if _is_lost(sweep, row))


def _is_lost(sweep: SweepDirectory, row: Row) -> bool:
    try:
        kept_files(sweep, row)
    except RunMissing:
        return True
    except Damaged:
        return False
    return False


def has_file(files: RunFiles, row: Row, name: str) -> bool:
    """Whether a case has a file.

    *Raises* RunMissing for one that every complete case has, Damaged for a run that is.
    """
    found = files.has(name)
    always = name == METADATA or (name == METRICS and row["metrics"] != "{}")
    if not found and always and row["status"] == Status.COMPLETE.value:
        raise no_file(name, files.label)
    return found


def check_files(sweep: SweepDirectory, row: Row) -> None:
    """Look for the files of a case, and read those that hpcsweep itself wrote.

    *Raises* RunMissing, Damaged.
    """
    files = kept_files(sweep, row)
    for name in (METADATA, METRICS):
        if files and has_file(files, row, name) and not _is_object(files.read(name)):
            raise _damaged(files, name)


@dataclass(kw_only=True, slots=True)
class DamageReport:
    """The cases whose files are gone or damaged."""

    # Counts of them: "gone", "damaged".
    lost: Counter[str] = field(default_factory=Counter)
    # A line for each of the first NAMED.
    named: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def collecting(self, row: Row) -> Iterator[None]:
        """Note the case when the block finds its files gone or damaged, and go on."""
        try:
            yield
        except (RunMissing, Damaged) as error:
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
    return Damaged(f"{name} is damaged: it is no JSON object", where=files.label)
