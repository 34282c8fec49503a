"""Write a sweep into one tar, with an index; see `sweepdir.archive`."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hpcsweep.errors import SweepError
from hpcsweep.files import (
    atomic_output,
    fsync_path,
    is_temporary,
    names,
    open_regular,
    unreadable,
)
from hpcsweep.project.copying import COMPILED, LEFT_OUT
from hpcsweep.project.idle import Notify, resting_sweep
from hpcsweep.settings import Settings
from hpcsweep.state.overview import overview_of
from hpcsweep.state.reduced import reduce_of
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.archive import BLOCK, FORMAT, HEAD, HEAD_SIZE, INDEX
from hpcsweep.sweepdir.directory import INDEX_NAME, MARKER, SweepDirectory
from hpcsweep.sweepdir.removed import removed_name


def archive(
    sweep: SweepDirectory, output: Path, settings: Settings, notify: Notify = lambda _: None
) -> Path:
    """Write a sweep into a tar that commands read as they read a sweep directory.

    The sweep stays. *Raises* SweepError, also if `output` exists; SweepBusy. *Writes* `output`,
    which appears whole.
    """
    if os.path.lexists(output):
        raise SweepError(
            "is there already", where=str(output), next_step="Remove it, or name another file."
        )
    with resting_sweep(sweep, settings, notify), atomic_output(output) as temporary:
        _write(sweep, temporary, settings)
    fsync_path(output.parent)
    return output


def _write(sweep: SweepDirectory, path: Path, settings: Settings) -> None:
    overview = overview_of(sweep.path, settings).to_json()
    shown = {key: overview[key] for key in ("cases", "counts", "submitted")}
    with path.open("wb") as stream:
        path.chmod(0o600)
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
            writer = _Writer(tar, stream, sweep.name)
            writer.add_bytes(HEAD, b" " * HEAD_SIZE)
            torn = writer.add_sweep(sweep)
            index = {"torn": torn, "files": writer.files}
            place = writer.add_bytes(INDEX, json.dumps(index).encode())
        document = {"format": FORMAT, "name": sweep.name, "index": place, "overview": shown}
        stream.seek(BLOCK)
        stream.write(json.dumps(document).encode().ljust(HEAD_SIZE))
        stream.flush()
        os.fsync(stream.fileno())


class _Writer:
    """Adds files to a tar, and notes where they are."""

    def __init__(self, tar: tarfile.TarFile, stream: BinaryIO, name: str) -> None:
        self._tar, self._stream, self._name = tar, stream, name
        # Name, offset and size of each.
        self.files: list[tuple[str, int, int]] = []

    def add_sweep(self, sweep: SweepDirectory) -> list[str]:
        """Add a sweep and its reduce. Returns the journals with lines that were passed over."""
        reduce = reduce_of(sweep)
        parts = [sweep, *([] if reduce is None else [reduce])]
        left_out = {part.path / name for part in parts for name in LEFT_OUT}
        left_out |= set(sweep.code_root.glob(COMPILED))
        for path in _below(sweep.path, left_out):
            self._add(path.relative_to(sweep.path), path)
        torn = [self._add_index(sweep, part) for part in parts]
        for part in parts:
            self._add((part.path / MARKER).relative_to(sweep.path), part.path / MARKER)
        return torn[0]

    def _add_index(self, sweep: SweepDirectory, part: SweepDirectory) -> list[str]:
        """Add an index with all that the journals hold, whatever database the sweep uses."""
        if not part.submissions():
            return []
        name = part.path.relative_to(sweep.path) / INDEX_NAME
        with fresh_index(part.read_only()) as sweep_index:
            sweep_index.case_groups()  # kept in the file, for every reader
            sweep_index.kinds()
            self._add(name, Path(sweep_index.where), mode=0o600)
            return list(sweep_index.torn())

    def add_bytes(self, name: str, data: bytes) -> tuple[int, int]:
        """Add a file of this content. Returns its offset and size."""
        info = tarfile.TarInfo(f"{self._name}/{name}")
        info.size, info.mode = len(data), 0o600
        self._tar.addfile(info, io.BytesIO(data))
        return self._place(info)

    def _add(self, name: Path, path: Path, mode: int | None = None) -> None:
        """Add a file, a directory or a link under a name in the sweep directory."""
        info = self._tar.gettarinfo(path, f"{self._name}/{name.as_posix()}")
        info.mode = info.mode if mode is None else mode
        info.mtime = int(info.mtime)  # a fraction would take a header of its own
        if not info.isreg():
            self._tar.addfile(info)
            return
        try:
            stream = open_regular(path)
        except OSError as error:  # of `share: group`, what a program wrote with another umask
            raise unreadable(path, error) from error
        with stream:
            self._tar.addfile(info, stream)
        self.files.append((name.as_posix(), *self._place(info)))

    def _place(self, info: tarfile.TarInfo) -> tuple[int, int]:
        """Offset and size of the file that was added last."""
        return self._stream.tell() - -(-info.size // BLOCK) * BLOCK, info.size


def _below(directory: Path, left_out: set[Path]) -> Iterator[Path]:
    """What is in a directory, in the order of names, each directory before what is in it."""
    for name in names(directory):
        path = directory / name
        if path in left_out or is_temporary(name) or removed_name(name):
            continue
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _below(path, left_out)
