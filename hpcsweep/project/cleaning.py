"""Remove what a sweep no longer needs: superseded attempts, checkpoints, local runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from hpcsweep.cluster import registry
from hpcsweep.files import names
from hpcsweep.indexset import IndexSet
from hpcsweep.logbook.run_directory import read_metadata
from hpcsweep.project.idle import Notify
from hpcsweep.project.remove import discard
from hpcsweep.records import Status
from hpcsweep.search.halving import awaited_checkpoints
from hpcsweep.settings import Settings
from hpcsweep.state.outlook import State, outlook_of
from hpcsweep.state.scheduler import poll
from hpcsweep.store import SweepIndex
from hpcsweep.store.case_reader import IndexRow
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission.sweep_lock import locked_sweep
from hpcsweep.sweepdir.directory import SweepDirectory, local_runs_path
from hpcsweep.sweepdir.disk_usage import bytes_on_disk
from hpcsweep.sweepdir.plan import FROM_START
from hpcsweep.sweepdir.removed import unfinished_removals

# The states of a run in its metadata before it has ended; None before it is written.
_UNENDED = frozenset({None, "initialized", "running"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Removable:
    """Directories of one kind that nothing needs.

    Examples:
        >>> all(isinstance(found, hs.Removable) for found in sweep.clean(dry_run=True))
        True
    """

    what: str
    paths: tuple[Path, ...]
    size_bytes: int

    def to_json(self) -> dict[str, Any]:
        """What it is, its paths and its size.

        Examples:
            >>> from pathlib import Path
            >>> hs.Removable(what="logs", paths=(Path("a"),), size_bytes=10).to_json()["size_bytes"]
            10
        """
        paths = [str(path) for path in self.paths]
        return {"what": self.what, "paths": paths, "size_bytes": self.size_bytes}


def clean(
    sweep: SweepDirectory,
    settings: Settings,
    notify: Notify = lambda _: None,
    *,
    dry_run: bool = False,
) -> list[Removable]:
    """Remove what nothing needs, or with `dry_run` nothing. Returns it. *Safe to repeat.*

    Cases that run, or are in an array task, keep all they have. *Raises* SweepBusy, SweepError.
    """
    with locked_sweep(sweep, notify):
        found = list(_leftovers(sweep, settings))
        if not dry_run:
            for leftovers in found:
                for path in leftovers.paths:
                    discard(path)
    return found


def _leftovers(sweep: SweepDirectory, settings: Settings) -> Iterator[Removable]:
    attempts, checkpoints = names(sweep.attempt_root), names(sweep.checkpoint_root)
    rows: dict[str, IndexRow] = {}
    awaited = frozenset[str]()
    if sweep.submissions():
        case_ids = {name.partition(".")[0] for name in attempts} | set(map(_case_id, checkpoints))
        rows, awaited = _idle_rows(sweep, settings, sorted(case_ids))
    yield from _measured("earlier attempts", _superseded(sweep.attempt_root, attempts, rows))
    yield from _measured(
        "checkpoints of complete cases", _useless(sweep.checkpoint_root, checkpoints, rows, awaited)
    )
    yield from _measured("runs of `hpcsweep run`", _local_runs(sweep))
    roots = (sweep.attempt_root, sweep.checkpoint_root, local_runs_path(sweep.path))
    left = chain.from_iterable(map(unfinished_removals, roots))
    yield from _measured("removals that were interrupted", left)


def _measured(what: str, paths: Iterable[Path]) -> Iterator[Removable]:
    listed = tuple(paths)
    if listed:
        size = sum(map(bytes_on_disk, listed))
        yield Removable(what=what, paths=listed, size_bytes=size)


def _idle_rows(
    sweep: SweepDirectory, settings: Settings, case_ids: list[str]
) -> tuple[dict[str, IndexRow], frozenset[str]]:
    """The rows of those of these cases that no task has, by case id; and `awaited_checkpoints`."""
    cluster = registry.open_recorded(sweep, settings)
    with fresh_index(sweep) as sweep_index:
        outlook = outlook_of(sweep, sweep_index, poll(sweep, sweep_index, cluster, settings))
        busy = outlook.in_flight | outlook.indices(State.RUNNING, State.UNKNOWN)
        awaited = awaited_checkpoints(outlook.version, outlook.complete)
        return dict(_rows(sweep_index, case_ids, busy)), awaited


def _rows(
    sweep_index: SweepIndex, case_ids: list[str], busy: IndexSet
) -> Iterator[tuple[str, IndexRow]]:
    indices = sweep_index.of_ids(case_ids)
    idle = [at for ats in indices.values() if not any(index in busy for index in ats) for at in ats]
    for row in sweep_index.rows(within=IndexSet.of(sorted(idle))):
        yield row["case_id"], row


def _superseded(root: Path, attempts: list[str], rows: dict[str, IndexRow]) -> Iterator[Path]:
    """The directories of attempts that are not the one that counts, whose files are shown."""
    for name in attempts:
        case_id, _, token = name.partition(".")
        if case_id in rows and token != rows[case_id]["token"]:
            yield root / name


def _useless(
    root: Path, checkpoints: list[str], rows: dict[str, IndexRow], awaited: Collection[str]
) -> Iterator[Path]:
    for name in checkpoints:
        case_id = _case_id(name)
        row = rows.get(case_id)
        is_needed = case_id in awaited or name.endswith(FROM_START)
        if row is not None and row["status"] == Status.COMPLETE.value and not is_needed:
            yield root / name


def _case_id(checkpoints: str) -> str:
    """The case of a directory of checkpoints, which may be `retire_checkpoints`'."""
    return checkpoints.removeprefix(".").partition(".")[0]


def _local_runs(sweep: SweepDirectory) -> Iterator[Path]:
    """The directory of local runs; as long as one of them has not ended, only the others."""
    root = local_runs_path(sweep.path)
    runs = [root / name for name in names(root) if name.startswith("log_")]
    ended = [run for run in runs if (read_metadata(run) or {}).get("status") not in _UNENDED]
    if runs and len(ended) == len(runs):
        yield root
    else:
        yield from ended
