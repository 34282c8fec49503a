"""Runs that earlier starts of a chunk left complete, but of which no journal says so.

What of it is damaged is reported, and its cases run again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hpcsweep.errors import SweepError
from hpcsweep.files import names
from hpcsweep.journal import VERSION, attempt_of, journals_of_chunk
from hpcsweep.logbook import run_directory as rundir
from hpcsweep.logbook.run_directory import Run
from hpcsweep.recordcheck import record_problem
from hpcsweep.records import Status
from hpcsweep.sweepdir.directory import SweepPaths
from hpcsweep.sweepdir.plan import PACKS, Layout
from hpcsweep.worker.start import Assignment

if TYPE_CHECKING:
    from hpcsweep.logbook.packs import PackedFiles

# What metadata have in common with an `end` record.
_COMMON = ("manifest", "attempt", "chunk", "index", "case_id", "host")


class Left(NamedTuple):
    """A run that an earlier start left."""

    metadata: dict[str, Any]
    metrics: dict[str, Any]
    # Where it is, for people.
    where: str


class Leftovers(Protocol):
    """Where a task looks for what earlier starts left."""

    def find(self, run: Run) -> Left | None:
        """A complete run of this case and generation, whichever attempt it is."""


class InDirectories:
    """Published run directories, and those of attempts that were killed before they published."""

    def __init__(self, sweep: Path, layout: Layout) -> None:
        self._sweep, self._layout = sweep, layout
        # Directories of attempts that were not published, by their case ids.
        self._attempts: dict[str, list[Path]] = {}
        root = SweepPaths(sweep).attempt_root
        for name in names(root):
            self._attempts.setdefault(name.partition(".")[0], []).append(root / name)

    def find(self, run: Run) -> Left | None:
        """As `Leftovers` says. *Writes* the place of a run that was finished, not published."""
        final = self._sweep / self._layout.run_dir(run.case.case_id, run.run_id)
        for path in self._attempts.get(run.case.case_id, ()):
            left = _in_directory(path)
            if left is not None and _is_complete(left, run):
                theirs = replace(run, attempt=attempt_of(left.metadata["attempt"]))
                rundir.publish(self._sweep, path, final, theirs, Status.COMPLETE)
        left = _in_directory(final)
        return left if left is not None and _is_complete(left, run) else None


class InPacks:
    """The packs of the chunk's earlier starts."""

    def __init__(self, sweep: Path, chunk: int) -> None:
        """Read all of them."""
        # By run ids.
        self._runs: dict[str, Left] = {}
        root = sweep / PACKS
        runs: list[PackedFiles] = []
        for name in names(root):
            if name.startswith(f"{chunk}.") and name.endswith(".tar"):
                runs += _whole_runs(root / name)
        for run in sorted(runs, key=lambda run: run.rank):  # the best attempt has the last word
            try:
                self._runs[run.run_id] = _in_pack(run)
            except SweepError as error:
                what = f"{error.what} (the run at byte {run.offset} of {run.pack.name})"
                report_damage(error.where, what)

    def find(self, run: Run) -> Left | None:
        """As `Leftovers` says."""
        left = self._runs.get(run.run_id)
        return left if left is not None and _is_complete(left, run) else None


class Nowhere:
    """Where no start keeps what is complete, or this is the first one."""

    def find(self, run: Run) -> None:
        """As `Leftovers` says."""


def leftovers_of(assignment: Assignment) -> Leftovers:
    """Where the layout of a submission has earlier starts leave complete runs."""
    sweep, layout = assignment.sweep.path, assignment.plan.layout
    if layout.runs == "all":
        return InDirectories(sweep, layout)
    if layout.runs == "packed" and journals_of_chunk(assignment.journals, assignment.chunk):
        return InPacks(sweep, assignment.chunk)
    return Nowhere()


def report_damage(where: Path | str, what: str) -> None:
    """Write one sentence into the task's log."""
    sys.stderr.write(f"hpcsweep: {where}: {what}; cases that it alone holds run again\n")


def _whole_runs(pack: Path) -> Iterator[PackedFiles]:
    from hpcsweep.logbook.packs import runs_of  # noqa: PLC0415  # few tasks want it
    from hpcsweep.logbook.tar import END  # noqa: PLC0415

    end = 0
    try:
        for run in runs_of(pack):
            yield run
            end = run.offset + run.length
        rest = pack.stat().st_size - end
    except SweepError as error:
        report_damage(pack, error.what)
        return
    except OSError as error:
        report_damage(pack, f"cannot be read: {error.strerror}")
        return
    if rest not in (0, len(END)):  # what a kill cut looks like damage
        report_damage(pack, f"is damaged, or was cut, at byte {end}")


def _in_pack(run: PackedFiles) -> Left:
    """A packed run; its outcome names its place. *Raises* SweepError."""
    from hpcsweep.logbook.packs import PackLocation  # noqa: PLC0415  # few tasks want it
    from hpcsweep.logbook.reader import LogReader  # noqa: PLC0415

    reader = LogReader(run)
    metadata, place = reader.meta, PackLocation(f"{PACKS}/{run.pack.name}", run.offset, run.length)
    if isinstance(metadata.get("outcome"), dict):
        metadata["outcome"]["run_dir"] = str(place)
    return Left(metadata, reader.metrics, str(place))


def _in_directory(path: Path) -> Left | None:
    """What is in a run directory; None where there is none, or a damaged one."""
    metadata, metrics = rundir.read_metadata_and_metrics(path)
    if metadata is not None and metrics is not None:
        return Left(metadata, metrics, str(path))
    file = path / ("metadata.json" if metadata is None else rundir.METRICS)
    if os.path.lexists(file):
        report_damage(file, "is damaged, or no regular file")
    return None


def _is_complete(left: Left, run: Run) -> bool:
    """Whether a run of a case is complete, of this generation, and says so as a record would."""
    metadata = left.metadata
    complete = metadata.get("status") == Status.COMPLETE.value
    if not complete or metadata.get("generation") != run.attempt.generation:
        return False
    outcome = metadata.get("outcome")
    if not isinstance(outcome, dict):
        wrong = "it has no outcome"
    elif metadata.get("case_id") != run.case.case_id:
        wrong = "it is of another case"
    else:
        common = {name: metadata.get(name) for name in _COMMON}
        wrong = record_problem(
            outcome | common | {"metrics": left.metrics, "kind": "end", "v": VERSION}
        )
    if wrong:
        report_damage(left.where, f"its metadata are damaged: {wrong}")
    return not wrong
