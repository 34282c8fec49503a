"""Complete runs of earlier starts of a chunk that have no `end` record in any journal.

Damaged ones are reported, and their cases run again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from hpcsweep.errors import SweepError
from hpcsweep.files import names
from hpcsweep.journal import attempt_of, journals_of_chunk
from hpcsweep.logbook import run_directory as rundir
from hpcsweep.logbook.run_directory import Run
from hpcsweep.recordcheck import record_problem
from hpcsweep.records import Status
from hpcsweep.sweepdir.directory import SweepPaths
from hpcsweep.sweepdir.plan import PACKS, Layout
from hpcsweep.worker.messages import write_notice
from hpcsweep.worker.start import Assignment

if TYPE_CHECKING:
    from hpcsweep.logbook.packs import PackedFiles


class LeftoverRun(NamedTuple):
    """A run that an earlier start left."""

    metadata: dict[str, Any]
    metrics: dict[str, Any]
    # Its place, for messages.
    where: str


class Leftovers(Protocol):
    """Finds the complete runs of earlier starts."""

    def find(self, run: Run) -> LeftoverRun | None:
        """The complete run of this case and generation, by any attempt; None if there is none."""


class LeftoverDirectories:
    """Published run directories, and those of attempts that were killed before they published."""

    def __init__(self, sweep: Path, layout: Layout) -> None:
        self._sweep, self._layout = sweep, layout
        # Directories of attempts that were not published, by their case ids.
        self._attempts: dict[str, list[Path]] = {}
        root = SweepPaths(sweep).attempt_root
        for name in names(root):
            self._attempts.setdefault(name.partition(".")[0], []).append(root / name)

    def find(self, run: Run) -> LeftoverRun | None:
        """See `Leftovers`. *Writes*: publishes a run that was finished but not published."""
        final = self._sweep / self._layout.run_dir(run.case.case_id, run.run_id)
        for path in self._attempts.get(run.case.case_id, ()):
            leftover = _read_directory(path)
            if leftover is not None and _is_complete(leftover, run):
                earlier = run._replace(attempt=attempt_of(leftover.metadata["attempt"]))
                rundir.publish(self._sweep, path, final, earlier, Status.COMPLETE)
        leftover = _read_directory(final)
        return leftover if leftover is not None and _is_complete(leftover, run) else None


class LeftoverPacks:
    """The packs of the chunk's earlier starts."""

    def __init__(self, sweep: Path, chunk: int) -> None:
        """Read all of them."""
        # By run id.
        self._runs: dict[str, LeftoverRun] = {}
        root = sweep / PACKS
        runs: list[PackedFiles] = []
        for name in names(root):
            if name.startswith(f"{chunk}.") and name.endswith(".tar"):
                runs += _whole_runs(root / name)
        for run in sorted(runs, key=lambda run: run.rank):  # the highest rank overwrites the others
            try:
                self._runs[run.run_id] = _read_packed(run)
            except SweepError as error:
                what = f"{error.what} (the run at byte {run.offset} of {run.pack.name})"
                report_damage(error.where, what)

    def find(self, run: Run) -> LeftoverRun | None:
        """See `Leftovers`."""
        leftover = self._runs.get(run.run_id)
        return leftover if leftover is not None and _is_complete(leftover, run) else None


class NoLeftovers:
    """For a first start, or a layout that keeps no complete runs."""

    def find(self, run: Run) -> None:
        """See `Leftovers`."""


def leftovers_of(assignment: Assignment) -> Leftovers:
    """The leftovers of a chunk, by the layout of its submission."""
    sweep, layout = assignment.sweep.path, assignment.plan.layout
    if layout.runs == "all":
        return LeftoverDirectories(sweep, layout)
    if layout.runs == "packed" and journals_of_chunk(assignment.journals, assignment.chunk):
        return LeftoverPacks(sweep, assignment.chunk)
    return NoLeftovers()


def report_damage(where: Path | str, what: str) -> None:
    """Report damage in the task's output."""
    write_notice(f"{where}: {what}; cases that are only in it run again")


def _whole_runs(pack: Path) -> Iterator[PackedFiles]:
    from hpcsweep.logbook.packs import runs_of  # noqa: PLC0415  # for packed restarts only
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
    if rest not in (0, len(END)):  # a kill may have truncated it
        report_damage(pack, f"is damaged, or was cut, at byte {end}")


def _read_packed(run: PackedFiles) -> LeftoverRun:
    """A packed run; its outcome names its place. *Raises* SweepError."""
    from hpcsweep.logbook.packs import PackLocation  # noqa: PLC0415  # for packed restarts only
    from hpcsweep.logbook.reader import LogReader  # noqa: PLC0415

    reader = LogReader(run)
    metadata, place = reader.meta, PackLocation(f"{PACKS}/{run.pack.name}", run.offset, run.length)
    if isinstance(metadata.get("outcome"), dict):
        metadata["outcome"]["run_dir"] = str(place)
    return LeftoverRun(metadata, reader.metrics_json, str(place))


def _read_directory(path: Path) -> LeftoverRun | None:
    """The run in a directory; None if it is missing or damaged."""
    metadata, metrics = rundir.read_metadata_and_metrics(path)
    if metadata is not None and metrics is not None:
        return LeftoverRun(metadata, metrics, str(path))
    file = path / ("metadata.json" if metadata is None else rundir.METRICS)
    if os.path.lexists(file):
        report_damage(file, "is damaged, or no regular file")
    return None


def _is_complete(leftover: LeftoverRun, run: Run) -> bool:
    """Whether a run is complete, of this case and generation, and valid as an `end` record."""
    metadata = leftover.metadata
    complete = metadata.get("status") == Status.COMPLETE.value
    if not complete or metadata.get("generation") != run.attempt.generation:
        return False
    outcome = metadata.get("outcome")
    if not isinstance(outcome, dict):
        wrong = "it has no outcome"
    elif metadata.get("case_id") != run.case.case_id:
        wrong = "it is of another case"
    else:
        wrong = record_problem(rundir.end_fields(metadata, outcome, leftover.metrics))
    if wrong:
        report_damage(leftover.where, f"its metadata are damaged: {wrong}")
    return not wrong
