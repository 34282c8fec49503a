"""Rename a sweep: its directory, its marker and its rows in a shared database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hpcsweep.errors import InputError, SweepError
from hpcsweep.files import fsync_path, json_bytes, read_json, replace_durably, unwritable
from hpcsweep.project.idle import Notify, idle_sweep
from hpcsweep.project.shared_rows import shared_index
from hpcsweep.settings import Settings
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory, local_runs_path


def rename(
    sweep: SweepDirectory, name: str, settings: Settings, notify: Notify = lambda _: None
) -> SweepDirectory:
    """Give a sweep another name, beside where it is. Returns it there. *Safe to repeat.*

    Its frozen manifests keep the old name: they are never rewritten. *Raises* InputError for what
    is no name, SweepError if something has it already, SweepBusy.
    """
    check_name(name)
    target = sweep.path.with_name(name)
    if target != sweep.path and os.path.lexists(target):
        raise SweepError("is there already", where=str(target), next_step="Choose another name.")
    with idle_sweep(sweep, settings, notify) as lock:
        sweep_index = shared_index(sweep)
        if sweep_index is not None:
            sweep_index.rename(name)
        # The markers first: the directory is still found by its old name if this is killed.
        for marker, new in _markers(sweep, name):
            replace_durably(marker, json_bytes(read_json(marker) | {"name": new}))
        try:
            local, new_local = local_runs_path(sweep.path), local_runs_path(target)
            if local.is_dir() and not os.path.lexists(new_local):
                local.rename(new_local)
            sweep.path.rename(target)
        except OSError as error:
            raise unwritable(target, error) from error
        lock.follow(target)
        fsync_path(target.parent)
    return SweepDirectory.open(target)


def check_name(name: str) -> None:
    """*Raises* InputError for what cannot be the name of a sweep."""
    # Below it is pydantic: 80 ms, which reading results need not wait for.
    from hpcsweep.manifest.key_values import NAME  # noqa: PLC0415

    if not NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a directory and jobs",
            next_step="Use up to 64 letters, digits, '.', '_' and '-', the first no '.' or '-'.",
        )


def _markers(sweep: SweepDirectory, name: str) -> Iterator[tuple[Path, str]]:
    """The markers of a sweep and its reduce, and the names in them."""
    yield sweep.path / MARKER, name
    if (sweep.reduce_dir / MARKER).is_file():
        yield sweep.reduce_dir / MARKER, f"{name}/{sweep.reduce_dir.name}"
