"""Copy a sweep to another directory, here or on another host.

A copy is a sweep of its own: it has a key of its own, since the key names a sweep in a database and
in the names of jobs. Its marker comes last, so that a copy that was killed is no sweep.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from functools import partial
from pathlib import Path, PurePosixPath

from hpcsweep.errors import SweepError
from hpcsweep.far.host import split_remote
from hpcsweep.far.rsync import MISSING, rsync
from hpcsweep.files import (
    fsync_path,
    json_bytes,
    make_directory,
    mkdir,
    read_json,
    remove_tree,
    token,
)
from hpcsweep.project.idle import Notify, resting_sweep
from hpcsweep.settings import Settings
from hpcsweep.state.cluster_memory import FILE
from hpcsweep.sweepdir.directory import CLAIMS, INDEX_NAME, MARKER, SweepDirectory
from hpcsweep.sweepdir.removed import removed_path

# What a copy makes again: the lock, the index, what the cluster last said; and what it gets last.
# Python writes it with the umask of a task, so another user may not be able to read it.
COMPILED = "**/__pycache__"
LEFT_OUT = (CLAIMS, INDEX_NAME, f"{INDEX_NAME}-journal", FILE, ".cluster.lock", MARKER)


def copy(
    sweep: SweepDirectory, to: str, settings: Settings, notify: Notify = lambda _: None
) -> str:
    """Copy a sweep below the directory `to`, or `HOST:DIR`. Returns where the copy is.

    To another host by rsync over ssh, with the user's configuration of both; a copy that was
    interrupted goes on. *Raises* SweepError, also if something of its name is there.
    """
    with resting_sweep(sweep, settings, notify):
        remote = split_remote(to)
        if remote is not None:
            return _copy_to_host(sweep, *remote)
        return str(_copy_here(sweep, Path(to) / sweep.path.name))


def _copy_here(sweep: SweepDirectory, target: Path) -> Path:
    """Copy into a directory that is renamed at the end; a kill leaves what `rm` removes."""
    if os.path.lexists(target):
        raise _exists(str(target))
    temporary = removed_path(make_directory(target.parent) / target.name)
    try:
        mkdir(temporary)
        left_out = partial(_left_out, sweep)
        shutil.copytree(sweep.path, temporary, symlinks=True, ignore=left_out, dirs_exist_ok=True)
        for part in _parts(sweep):
            _write_marker(sweep.path / part, temporary / part)
        temporary.rename(target)
        fsync_path(target.parent)
    except (OSError, shutil.Error) as error:
        raise SweepError(
            f"cannot be copied: {error}",
            where=f"{sweep.path} -> {target}",
            next_step="Check permissions, disk and quota; nothing of the copy is left.",
        ) from error
    finally:
        with contextlib.suppress(OSError):  # it must not hide the error
            remove_tree(temporary)
    return target


def _copy_to_host(sweep: SweepDirectory, host: str, directory: str) -> str:
    target = f"{host}:{PurePosixPath(directory, sweep.path.name)}"
    by_hand = f"Try `ssh {host} rsync --version` first."
    look = ("--list-only", "--", f"{target}/{MARKER}")
    if rsync(*look, accepts=MISSING, next_step=by_hand) == 0:
        raise _exists(target)
    left_out = [f"--exclude=/{part / name}" for part in _parts(sweep) for name in LEFT_OUT]
    left_out.append(f"--exclude=/{sweep.code_root.name}/{COMPILED}")
    rsync("--archive", "--partial", *left_out, "--", f"{sweep.path}/", f"{target}/")
    with tempfile.TemporaryDirectory(prefix="hpcsweep-") as temporary:
        for part in _parts(sweep):
            made = Path(temporary) / part
            made.mkdir(exist_ok=True)
            marker = _write_marker(sweep.path / part, made)
            rsync("--archive", "--", str(marker), f"{target}/{part}/")
    return target


def _parts(sweep: SweepDirectory) -> list[Path]:
    """The directories that have a marker: its reduce, and itself, which comes last."""
    parts = [sweep.reduce_dir.relative_to(sweep.path), Path()]
    return [part for part in parts if (sweep.path / part / MARKER).is_file()]


def _left_out(sweep: SweepDirectory, directory: str, entries: list[str]) -> set[str]:
    if Path(directory).is_relative_to(sweep.code_root):
        return {Path(COMPILED).name}
    is_part = Path(directory) in [sweep.path / part for part in _parts(sweep)]
    return set(LEFT_OUT).intersection(entries) if is_part else set()


def _write_marker(original: Path, copy: Path) -> Path:
    """Write the marker of a copy, with a key of its own."""
    marker, made = original / MARKER, copy / MARKER
    made.write_bytes(json_bytes(read_json(marker) | {"key": token()}))
    made.chmod(stat.S_IMODE(marker.stat().st_mode))
    return made


def _exists(where: str) -> SweepError:
    return SweepError(
        "is there already", where=where, next_step="Remove or rename it, or name another directory."
    )
