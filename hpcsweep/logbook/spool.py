"""The spool: where a case writes if its run directory will be packed, or dropped on success.

Four unlinked files in the node's TMPDIR, created once per slot and truncated between cases: the
case's output (two), its log, and its files as tar members. The child writes and the worker reads,
so what a killed child wrote is kept. A directory is created only when user code asks for a path.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from hpcsweep.files import (
    PRIVATE_DIRECTORY,
    PRIVATE_FILE,
    open_regular,
    remove_tree,
    token,
    write_all,
)
from hpcsweep.logbook.json_values import json_document
from hpcsweep.logbook.packs import METADATA, Stream, file_members
from hpcsweep.logbook.run_directory import METRICS, Run, final_metadata
from hpcsweep.logbook.runfiles import files_below
from hpcsweep.logbook.storage import DirectoryStorage, checked_name, merged_json
from hpcsweep.logbook.tar import Member, header, member, members, padded
from hpcsweep.logbook.yamlwrite import params_yaml
from hpcsweep.older_python import dataclass
from hpcsweep.records import Outcome

# Files that the worker writes itself; the case's versions are merged or outdated.
_OURS = frozenset({"params.yaml", METADATA, METRICS})
# The file names in the run, by descriptor.
_STREAMS = {"log": "log.txt", "out": "stdout.txt", "err": "stderr.txt"}


@dataclass(frozen=True, slots=True)
class Spool:
    """The descriptors, which children inherit, and an optional directory."""

    # Standard output and error of a case.
    out: int
    err: int
    # The log of a case.
    log: int
    # The files of a case, as tar members.
    members: int
    # The directory of a case that asks for paths.
    directory: str

    @classmethod
    def make(cls, temporary: str) -> Spool:
        """Create a spool for this process in a node-local directory."""
        directory = f"{temporary}/hpcsweep-{token()}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND

        def nameless() -> int:
            descriptor = os.open(directory, flags, PRIVATE_FILE)
            os.unlink(directory)  # noqa: PTH108  # like the open above
            return descriptor

        return cls(nameless(), nameless(), nameless(), nameless(), directory)

    @property
    def descriptors(self) -> tuple[int, int, int, int]:
        """All four descriptors."""
        return self.out, self.err, self.log, self.members

    def to_json(self) -> dict[str, Any]:
        """The form in a request to a child."""
        return asdict(self)

    def ensure_directory(self) -> str:
        """Create the directory and return it: a command needs one."""
        Path(self.directory).mkdir(PRIVATE_DIRECTORY, exist_ok=True)
        return self.directory

    def clear(self) -> None:
        """Empty the spool for the next case."""
        for descriptor in self.descriptors:
            if os.fstat(descriptor).st_size:
                os.ftruncate(descriptor, 0)
        self._remove()

    def close(self) -> None:
        """Close the descriptors and remove the directory."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self._remove()

    def _remove(self) -> None:
        try:
            remove_tree(Path(self.directory))
        except FileNotFoundError:
            pass
        except OSError:
            # Such as one that is not ours to remove: it is not in the way of the next case.
            os.rename(self.directory, f"{self.directory}.{token()}")  # noqa: PTH104  # as above

    # --- what a case left ------------------------------------------------------------------------

    def metadata(self, run: Run, outcome: Outcome) -> dict[str, Any]:
        """The final metadata of the run, including what the target added by `log.meta`."""
        written = merged_json(self._storage_of(run).read(METADATA), {})
        return final_metadata(run, outcome, written)

    def is_whole(self) -> bool:
        """Whether the file holds only complete members, as a Logbook writes them."""
        end = 0
        for entry in whole_members(self.members):
            end = entry.content + padded(entry.size)
        return end == os.fstat(self.members).st_size

    def pieces(self, run: Run, outcome: Outcome) -> Iterator[bytes | Stream]:
        """The run as tar members; its metadata last, so that a truncated run has none."""
        prefix = f"log_{run.run_id}/"
        yield member(f"{prefix}params.yaml", params_yaml(run.case.params))
        for name, descriptor, size in self._streams():  # the output of a case may exceed the memory
            yield header(prefix + name, size)
            yield _Range(descriptor, 0, size)
            yield b"\0" * (padded(size) - size)
        for entry in self._last_members(prefix):
            yield _Range(self.members, entry.start, entry.end)
        directory = Path(self.directory)
        if directory.is_dir():
            yield from file_members(run.run_id, directory, _OURS)
        if outcome.metrics:
            yield member(prefix + METRICS, json_document(outcome.metrics))
        metadata = self.metadata(run, outcome)
        yield member(prefix + METADATA, json_document(metadata))

    def restore(self, run: Run, outcome: Outcome, path: Path) -> None:
        """Write the run as a plain directory. *Writes* `path`, its metadata last."""
        folder = DirectoryStorage(path)
        folder.write("params.yaml", params_yaml(run.case.params))
        for name, descriptor, size in self._streams():
            with folder.writing(name) as stream:
                _copy(_Range(descriptor, 0, size), stream)
        prefix = f"log_{run.run_id}/"
        for entry in self._last_members(prefix):
            with folder.writing(entry.name[len(prefix) :]) as stream:
                _copy(_Range(self.members, entry.content, entry.content + entry.size), stream)
        directory = Path(self.directory)
        for source in files_below(directory):
            name = source.relative_to(directory).as_posix()
            if name not in _OURS and source.is_file():
                with open_regular(source) as content, folder.writing(name) as stream:
                    _copy(content, stream)
        if outcome.metrics:
            folder.write(METRICS, json_document(outcome.metrics))
        folder.write(METADATA, json_document(self.metadata(run, outcome)))

    def _streams(self) -> Iterator[tuple[str, int, int]]:
        """Name, descriptor and size of each stream that is not empty."""
        for which, name in _STREAMS.items():
            descriptor = getattr(self, which)
            size = os.fstat(descriptor).st_size
            if size:
                yield name, descriptor, size

    def _last_members(self, prefix: str) -> list[Member]:
        """The case's files: the last write of each name; without truncated members."""
        last = {entry.name: entry for entry in whole_members(self.members)}
        return [entry for name, entry in last.items() if name[len(prefix) :] not in _OURS]

    def _storage_of(self, run: Run) -> SpoolStorage:
        return SpoolStorage(self, run.run_id, looks_only=True)


def whole_members(descriptor: int) -> Iterator[Member]:
    """The complete members in an open tar file."""

    def read(offset: int, size: int) -> bytes:
        return os.pread(descriptor, size, offset)

    return members(read, 0, os.fstat(descriptor).st_size)


class SpoolStorage:
    """Storage of a case in its child, see `RunStorage`; a directory once a path is requested."""

    def __init__(self, spool: Spool, run_id: str, *, looks_only: bool = False) -> None:
        self._spool = spool
        self._prefix = f"log_{run_id}/"
        is_directory = looks_only and Path(spool.directory).is_dir()
        self._folder = DirectoryStorage(Path(spool.directory)) if is_directory else None

    def write(self, name: str, data: bytes) -> None:
        """See `RunStorage`."""
        if self._folder:
            self._folder.write(name, data)
        else:
            write_all(self._spool.members, member(self._prefix + checked_name(name), data))

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """See `RunStorage`."""
        checked_name(name)
        if self._folder:
            with self._folder.writing(name) as stream:
                yield stream
            return
        buffer = io.BytesIO()
        yield buffer
        self.write(name, buffer.getvalue())

    def append(self, name: str, data: bytes, *, head: bytes = b"") -> None:
        """See `RunStorage`."""
        if name == "log.txt" and not self._folder:
            write_all(self._spool.log, data)
        else:
            self._to_directory().append(name, data, head=head)

    def read(self, name: str) -> bytes | None:
        """See `RunStorage`."""
        if self._folder and (data := self._folder.read(name)) is not None:
            return data
        full_name, data = self._prefix + checked_name(name), None
        for entry in whole_members(self._spool.members):
            if entry.name == full_name:
                data = os.pread(self._spool.members, entry.size, entry.content)
        return data

    def merge(
        self,
        name: str,
        fields: Mapping[str, Any],
        *,
        drop: Collection[str] = (),
        lock: bool = True,
    ) -> dict[str, Any]:
        """See `RunStorage`."""
        if self._folder:
            return self._folder.merge(name, fields, drop=drop, lock=lock)
        merged = merged_json(self.read(name), fields, drop)
        self.write(name, json_document(merged))
        return merged

    def path(self, name: str) -> Path:
        """See `RunStorage`. Earlier files are copied into the new directory."""
        return self._to_directory().path(name)

    def _to_directory(self) -> DirectoryStorage:
        if self._folder is None:
            folder = DirectoryStorage(Path(self._spool.ensure_directory()))
            for entry in whole_members(self._spool.members):
                data = os.pread(self._spool.members, entry.size, entry.content)
                folder.write(entry.name[len(self._prefix) :], data)
            folder.append(
                "log.txt", os.pread(self._spool.log, os.fstat(self._spool.log).st_size, 0)
            )
            for descriptor in (self._spool.members, self._spool.log):
                os.ftruncate(descriptor, 0)
            self._folder = folder
        return self._folder


class _Range:
    """Reads a byte range of an open file."""

    def __init__(self, descriptor: int, start: int, end: int) -> None:
        self._descriptor, self._offset, self._end = descriptor, start, end

    def read(self, size: int, /) -> bytes:
        data = os.pread(self._descriptor, min(size, self._end - self._offset), self._offset)
        self._offset += len(data)
        return data


def _copy(source: Stream, target: BinaryIO) -> None:
    while data := source.read(1 << 20):
        target.write(data)
