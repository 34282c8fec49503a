"""Begin a promoted trial of a search from the checkpoints of the trial that it continues."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hpcsweep import ids
from hpcsweep.files import (
    create_file,
    fsync_path,
    make_directory,
    mkdir,
    names,
    open_regular,
    remove_tree,
    token,
    write_plain,
)
from hpcsweep.logbook.run_directory import retired_checkpoints, try_rename
from hpcsweep.manifest.policies import Halving
from hpcsweep.records import ParamCase
from hpcsweep.sweepdir.plan import FROM_START
from hpcsweep.worker.messages import write_notice
from hpcsweep.worker.runner import Steps, Wait

# Bytes that are copied between two looks at signals, heartbeats and other slots.
SLICE = 2**24
# The time on the runner's clock at which it continues as soon as others had their turn.
AT_ONCE = 0.0


def copy_checkpoints(
    halving: Mapping[str, Any], case: ParamCase, checkpoints: Path, is_stopped: Callable[[], bool]
) -> Steps[bool]:
    """Give a promoted trial a copy of its predecessor's checkpoints, unless it has its own.

    It lets other steps go on after each slice, and gives up when `is_stopped`. Returns whether it
    has not. `halving` is that of the frozen manifest. *Raises* SweepError, OSError. *Writes* all of
    `checkpoints` at once; where there is nothing to copy, a mark beside it. *Safe to repeat*.
    """
    before = Halving(**halving).before(case.params)
    if before is None:
        return True
    there = names(checkpoints.parent)
    if checkpoints.name in there:
        return True
    predecessor = checkpoints.with_name(ids.case_id(before, case.replicate))
    mark = checkpoints.with_name(f".{checkpoints.name}{FROM_START}")
    # The second where a kill prevented that they were retired.
    for source in (retired_checkpoints(predecessor), predecessor):
        if source.name in there and names(source):
            # First: a kill in between leaves neither, and the next attempt copies.
            mark.unlink(missing_ok=True)
            return (yield from _publish_copy(source, checkpoints, is_stopped))
    make_directory(mark.parent)
    write_plain(mark, b"")
    write_notice(
        f"index {case.index}: the case {predecessor.name}, which it continues, left no checkpoint; "
        "it begins from the start"
    )
    return True


def _publish_copy(source: Path, target: Path, is_stopped: Callable[[], bool]) -> Steps[bool]:
    """Copy a directory, and rename the copy to `target`; another attempt may do so first.

    A copy, since programs may write into the files of a checkpoint: a link would change the
    predecessor's, too.
    """
    temporary = target.with_name(f".{target.name}.{token()}")
    try:
        for _ in _copy_tree(source, temporary):
            yield Wait(until=AT_ONCE)
            if is_stopped():
                return False
        try_rename(temporary, target)
        fsync_path(target.parent)
    finally:
        remove_tree(temporary)
    return True


def _copy_tree(source: Path, target: Path) -> Iterator[None]:
    """Copy a directory with its times of modification: a copy is no progress, see `requeue`.

    Yields after each slice.
    """
    mkdir(target)
    with os.scandir(source) as entries:
        for entry in entries:
            yield from _copy_entry(entry, target / entry.name)
    _copy_times(source, target)
    fsync_path(target)


def _copy_entry(entry: os.DirEntry[str], copy: Path) -> Iterator[None]:
    if entry.is_symlink():
        copy.symlink_to(Path(entry.path).readlink())
    elif entry.is_dir():
        yield from _copy_tree(Path(entry.path), copy)
    elif entry.is_file():
        with open_regular(entry.path) as stream, create_file(copy) as written:
            while piece := stream.read(SLICE):
                written.write(piece)
                # Durable by slices: a single fsync of gigabytes would take as long as the copy.
                written.flush()
                os.fsync(written.fileno())
                yield
        _copy_times(Path(entry.path), copy)


def _copy_times(source: Path, target: Path) -> None:
    times = source.stat()
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
