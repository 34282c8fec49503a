"""Remove a sweep with its results: its directory, and its rows in a shared database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from hpcsweep.errors import Damaged, StoreError, SweepError
from hpcsweep.files import fsync_path, remove_tree, unwritable
from hpcsweep.project.idle import Notify, idle_sweep
from hpcsweep.project.shared_rows import shared_index
from hpcsweep.settings import Settings
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory, SweepPaths
from hpcsweep.sweepdir.removed import removed_name, removed_path, unfinished_removals


def remove(
    sweep: SweepDirectory,
    settings: Settings,
    notify: Notify = lambda _: None,
    *,
    force: bool = False,
) -> None:
    """Remove a sweep with its results, and its rows in a shared database.

    `force` removes one of which it is not known whether anything runs; that may fail on the cluster
    then. *Raises* SweepBusy, StoreError; what is left after an error `finish_removals` removes.
    """
    trash = removed_path(sweep.path)
    with _naming_force(), idle_sweep(sweep, settings, notify, force=force) as lock:
        try:
            sweep.path.rename(trash)
        except OSError as error:
            raise unwritable(sweep.path, error) from error
        lock.follow(trash)
        fsync_path(trash.parent)
    _finish(trash, force=force)


@contextlib.contextmanager
def _naming_force() -> Iterator[None]:
    """Let the error of a damaged sweep say how it is removed all the same."""
    try:
        yield
    except Damaged as error:
        error.next_step = f"{error.next_step} To remove the sweep all the same: --force.".lstrip()
        raise


def finish_removals(directory: Path, name: str, *, force: bool = False) -> int:
    """Finish removals of `name` that were killed. Returns their count. *Raises* as `remove`."""
    left = unfinished_removals(directory, name)
    for trash in left:
        _finish(trash, force=force)
    return len(left)


def discard(path: Path) -> None:
    """Remove a directory in two steps, see `removed`. *Safe to repeat.* *Raises* SweepError."""
    try:
        if removed_name(path.name) is None:
            trash = removed_path(path)
            path.rename(trash)
            path = trash
        remove_tree(path)
    except OSError as error:
        raise unwritable(path, error) from error


def _finish(trash: Path, *, force: bool) -> None:
    """Remove the rows of a sweep and of its reduce, then their files.

    The marker goes first: without it there are no more rows to look for.
    """
    try:
        for path in (SweepPaths(trash).reduce_dir, trash):
            if (path / MARKER).is_file():
                _forget_rows(path, force=force)
                (path / MARKER).unlink()
        remove_tree(trash)
    except OSError as error:
        raise unwritable(trash, error) from error


def _forget_rows(path: Path, *, force: bool) -> None:
    try:
        sweep_index = shared_index(SweepDirectory.open(path))
        if sweep_index is not None:
            sweep_index.forget()
    except (SweepError, StoreError):  # where its rows are is not known, or not reached
        if not force:
            raise
