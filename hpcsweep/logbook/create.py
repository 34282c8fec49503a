"""Create the directory of a standalone run: build it aside, then publish it with one rename.

    <base_dir>/.aside/<token>/      a run under construction, or an overwritten run being removed

A kill at any moment leaves either the previous state or a run that has begun.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcsweep.errors import InputError, RunExists, SweepError
from hpcsweep.files import make_directory, mkdir, names, remove_tree, token, unwritable
from hpcsweep.journal import now
from hpcsweep.liveness import run_status, this_process
from hpcsweep.logbook.checkpoint import standalone_checkpoints
from hpcsweep.logbook.json_values import json_document, json_value, log_line, null_warnings
from hpcsweep.logbook.parameters import write_params
from hpcsweep.logbook.run_directory import read_metadata, retire_checkpoints
from hpcsweep.logbook.runfiles import FolderFiles
from hpcsweep.logbook.storage import DirectoryStorage, checked_name
from hpcsweep.provenance import of_this_process, save_provenance

_ASIDE = ".aside"
# Attempts to publish a run while other processes create or remove the same one.
TRIES_MAX = 100
_MADE_BY_RUNS = frozenset({"metadata.json", "params.yaml", "params.json", "log.txt"})
# errno of rename(2) onto an existing target; which one depends on the system.
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})


def run_path(base: Path, run_id: str) -> Path:
    """The directory of a run. *Raises* InputError for an id that is not a valid name."""
    checked_name(run_id)
    return base / checked_name(f"log_{run_id}")


def json_params(params: Mapping[str, Any] | None, lost: dict[str, str]) -> dict[str, Any] | None:
    """The params as JSON values, checked before anything is created; see `json_value`."""
    if params is None:
        return None
    if not isinstance(params, Mapping):
        raise InputError(
            f"a {type(params).__name__} is not a set of params",
            where="params",
            next_step='Give a dict of values by name: params={"omega": 1.0}.',
        )
    plain: dict[str, Any] = json_value(params, "params", lost)
    return plain


def make_run(
    base: Path,
    run_id: str,
    params: Mapping[str, Any] | None,
    *,
    overwrite: bool,
    preallocate: bool,
) -> Path:
    """Create the directory of a run of this process, whole. Of several concurrent calls, one wins.

    *Raises* RunExists, SweepError; the directory is then unchanged. With `overwrite` an earlier
    run is removed after the new one was built. *Writes* params, metadata and the log.
    """
    lost: dict[str, str] = {}
    plain = json_params(params, lost)
    path = run_path(base, run_id)
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    of_this_process()  # first, because git may be slow: `_clean` removes what looks dead
    make_directory(path.parent)
    aside = base / _ASIDE
    _clean(aside)
    made = aside / token()
    try:
        _fill(base, made, run_id, plain, lost)
        for name in ("data", "plots", "artifacts") if preallocate else ():
            make_directory(made / name)
        _install(made, path, run_id, aside, overwrite=overwrite)
    except BaseException:
        with contextlib.suppress(OSError):  # a failed cleanup must not hide the error
            remove_tree(made)
        raise
    finally:
        with contextlib.suppress(OSError):  # not empty while other processes use it
            aside.rmdir()
    return path


def _fill(
    base: Path, made: Path, run_id: str, params: Mapping[str, Any] | None, lost: dict[str, str]
) -> None:
    _make_aside(made)
    storage = DirectoryStorage(made)
    metadata = this_process() | {
        "run_id": run_id,
        "status": "initialized",
        "start_time": now(),
        "provenance": save_provenance(base),
    }
    # First: it names the owner of the directory.
    storage.write("metadata.json", json_document(metadata))
    lines = ["Logbook initialized"]
    if params is not None:
        write_params(storage, params, "yaml")
        if params:
            lines.insert(0, "Saved params (yaml) in params.yaml")
    log = [log_line(line, "INFO") for line in lines]
    log += [log_line(line, "WARNING") for line in null_warnings(lost)]
    storage.append("log.txt", "".join(log).encode())


def _make_aside(made: Path) -> None:
    for _ in range(TRIES_MAX):
        try:
            mkdir(made)
        except FileNotFoundError:  # not created yet, or just removed by another process
            make_directory(made.parent)
        except OSError as error:
            raise unwritable(made, error) from error
        else:
            return
    raise SweepError("other processes keep removing it", where=str(made.parent))


def _install(made: Path, path: Path, run_id: str, aside: Path, *, overwrite: bool) -> None:
    """Publish a run: rename it to its final path, and remove an overwritten one."""
    for _ in range(TRIES_MAX):
        try:
            made.rename(path)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise unwritable(path, error) from error
            if not overwrite:
                raise _exists(path) from error
            _remove(path, run_id, aside)
        else:
            return
    raise RunExists("other processes keep creating this run", where=str(path))


def _exists(path: Path) -> RunExists:
    return RunExists(
        "this run exists already",
        where=str(path),
        next_step="Choose another run id, or overwrite=True, which removes it.",
    )


def _remove(path: Path, run_id: str, aside: Path) -> None:
    # A directory without any file, as a kill of an older version left it, holds nothing to lose.
    is_run = path.is_dir() and (
        _MADE_BY_RUNS.intersection(names(path)) or not FolderFiles(path).names()
    )
    if not is_run:
        raise SweepError(
            "is not a run directory, so it is not overwritten",
            where=str(path),
            next_step="Move it away, or choose another run id.",
        )
    if (read_metadata(path) or {}).get("status") == "complete":
        retire_checkpoints(standalone_checkpoints(path, run_id))  # a kill may have prevented it
    gone = aside / token()
    try:
        path.rename(gone)
    except FileNotFoundError:  # another process removed it
        return
    except OSError as error:
        raise unwritable(path, error) from error
    with contextlib.suppress(OSError):  # the next process removes it
        remove_tree(gone)


def _clean(aside: Path) -> None:
    """Remove what dead processes left under construction or half removed."""
    for name in names(aside):
        left = aside / name
        if run_status(read_metadata(left), left) != "running":
            with contextlib.suppress(OSError):  # another process is removing it
                remove_tree(left)
