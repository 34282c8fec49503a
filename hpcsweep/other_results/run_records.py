"""Run records of metalab's file store: `<experiment>/runs/<id>.json`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpcsweep.errors import SweepError
from hpcsweep.files import names, read_json
from hpcsweep.other_results.run import OtherRun
from hpcsweep.records import Status

STATUSES = {
    "success": Status.COMPLETE,
    "failed": Status.FAILED,
    "cancelled": Status.INTERRUPTED,
    "running": Status.RUNNING,
}


def runs(path: Path) -> Iterator[OtherRun] | None:
    """The runs of an experiment, or of a store of experiments; None if it is none."""
    experiments = [one for one in (path, *_directories(path)) if any(_records(one))]
    if not experiments:
        return None
    return (_run(file) for one in experiments for file in _records(one))


def _directories(path: Path) -> list[Path]:
    return [path / name for name in names(path) if (path / name).is_dir()] if path.is_dir() else []


def _records(experiment: Path) -> Iterator[Path]:
    folder = experiment / "runs"
    if folder.is_dir():
        yield from (folder / name for name in names(folder) if name.endswith(".json"))


def _run(file: Path) -> OtherRun:
    try:
        return _of_record(read_json(file), file)
    except SweepError as problem:
        error = problem.what
    except (AttributeError, TypeError, ValueError):
        error = "is damaged: a value of its record has another type than metalab writes"
    return OtherRun(run_id=file.stem, status=Status.UNKNOWN, path=str(file), error=error)


def _of_record(record: dict[str, Any], file: Path) -> OtherRun:
    error = record.get("error") or {}
    return OtherRun(
        run_id=str(record.get("run_id", file.stem)),
        group=record.get("experiment_id"),
        status=STATUSES.get(record.get("status", ""), Status.UNKNOWN),
        params=dict(record.get("params_resolved") or {}),
        metrics=dict(record.get("metrics") or {}),
        started=record.get("started_at"),
        ended=record.get("finished_at"),
        path=str(file),
        error=error.get("message"),
    )
