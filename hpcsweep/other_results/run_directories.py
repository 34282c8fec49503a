"""Run directories of Logbook, Experiment and notata: `log_<run id>/` with `metadata.json`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hpcsweep.errors import SweepError
from hpcsweep.files import names
from hpcsweep.logbook.experiment.index import mapping_or_empty
from hpcsweep.logbook.experiment.reader import ExperimentReader
from hpcsweep.logbook.reader import LogReader
from hpcsweep.other_results.run import OtherRun
from hpcsweep.records import Status

METADATA = "metadata.json"


def runs(path: Path) -> Iterator[OtherRun] | None:
    """The runs of a run directory, of an experiment, or of a directory of runs; None if it is none.

    *Raises* SweepError for one that cannot be read.
    """
    if (path / METADATA).is_file():
        return map(_run, [LogReader(path)])
    if (path / "runs").is_dir() and any(_run_names(path / "runs")):
        return map(_run, ExperimentReader(path))
    found = list(_run_names(path)) if path.is_dir() else []
    return (_run(LogReader(path / name)) for name in found) if found else None


def _run_names(path: Path) -> Iterator[str]:
    return (name for name in names(path) if (path / name / METADATA).is_file())


def _run(run: LogReader) -> OtherRun:
    try:
        meta, status = run.meta, _status(run.status)
        error = meta.get("failure_reason")
    except SweepError as problem:  # it says nothing of how the run ended
        meta, status, error = {}, Status.UNKNOWN, str(problem)
    try:
        metrics = run.metrics
    except SweepError as problem:
        metrics, error = {}, error or str(problem)
    return OtherRun(
        run_id=run.run_id,
        status=status,
        params=mapping_or_empty(run, "params"),
        metrics=metrics,
        started=meta.get("start_time"),
        ended=meta.get("end_time"),
        path=run.files.label,
        error=error,
    )


def _status(text: str) -> Status:
    """The status of a run; notata knows no end of a run that was killed."""
    if text == "initialized":
        return Status.RUNNING
    return Status(text) if text in set(Status) else Status.UNKNOWN
