"""Packs: one tar per task start; each run is appended whole and read with one seek."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from hpcsweep.errors import Damaged
from hpcsweep.files import (
    DOCUMENT_MAX,
    is_temporary,
    make_directory,
    names,
    open_file,
    open_regular,
    parse_json,
    read_regular,
    unreadable,
    unwritable,
    write_all,
)
from hpcsweep.journal import attempt_rank
from hpcsweep.logbook.runfiles import files_below, in_memory, no_file
from hpcsweep.logbook.tar import BLOCK, END, Member, first_member, header, members, padded
from hpcsweep.older_python import dataclass

# Bytes to copy, and to read from a pack, at once.
COPY_BYTES = 1 << 20
METADATA = "metadata.json"
_ONCE = frozenset({"params.yaml", METADATA})


class Stream(Protocol):
    """A source of bytes; empty at the end."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""


@dataclass(frozen=True, slots=True)
class PackLocation:
    """The location of a packed run, as `run_dir` in `end` records and in the index gives it."""

    pack: str
    # In bytes.
    offset: int
    length: int

    def __str__(self) -> str:
        return f"{self.pack}#{self.offset}+{self.length}"

    @classmethod
    def parse(cls, run_dir: str) -> PackLocation | None:
        """The location in a `run_dir`; None if it is a plain directory."""
        match = _PLACE.fullmatch(run_dir)
        return None if match is None else cls(match[1], int(match[2]), int(match[3]))


# At most 18 digits: a valid file offset never has more.
_PLACE = re.compile(r"(.+\.tar)#([0-9]{1,18})\+([0-9]{1,18})", re.ASCII | re.DOTALL)


# --- writing -------------------------------------------------------------------------------------


class PackWriter:
    """The only writer of one pack. *Writes* `path` and `….idx` beside it, on first use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptors: tuple[int, int] | None = None
        self._end = 0

    def append(self, run_id: str, rank: str, pieces: Iterable[bytes | Stream]) -> PackLocation:
        """Append a run: members as bytes, and streams of whole members.

        *Raises* SweepError if it cannot be written; the pack is then unchanged.
        """
        try:
            pack, index = self._descriptors or self._open_files()
            try:
                length = 0
                for data in _join(pieces):
                    length += len(data)
                    if is_hole(data):
                        os.ftruncate(pack, self._end + length)
                    else:
                        write_all(pack, data)
            except BaseException:
                os.ftruncate(pack, self._end)
                raise
            location = PackLocation(self.path.name, self._end, length)
            self._end += length
            write_all(index, f"{location.offset} {length} {rank} {run_id}\n".encode())
        except OSError as error:
            raise unwritable(self.path, error) from error
        return location

    def _open_files(self) -> tuple[int, int]:
        make_directory(self.path.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        pack = open_file(self.path, flags)
        index = open_file(self.path.with_suffix(".idx"), flags)
        self._descriptors = pack, index
        return pack, index

    def sync(self) -> None:
        """Fsync all runs; call it before the journal records their locations."""
        if self._descriptors:
            try:
                os.fsync(self._descriptors[0])
            except OSError as error:
                raise unwritable(self.path, error) from error

    def close(self) -> None:
        """Write the end of the tar archive, and fsync."""
        if self._descriptors is None:
            return
        pack, index = self._descriptors
        self._descriptors = None
        try:
            write_all(pack, END)
            os.fsync(pack)
        except OSError as error:
            raise unwritable(self.path, error) from error
        finally:
            os.close(pack)
            os.close(index)


def is_hole(data: bytes) -> bool:
    """Whether these are zeros, and so many that a hole in a file takes their place.

    A sparse file, as those of HDF5 and of databases are, needs no more room in a pack. tar has a
    form of its own for them, in which a member cannot be read from its offset.
    """
    return len(data) == COPY_BYTES and not data[0] and data == bytes(COPY_BYTES)


def _join(pieces: Iterable[bytes | Stream]) -> Iterator[bytes]:
    """The bytes of all pieces: small ones joined for one write(2), large ones in bounded blocks."""
    waiting: list[bytes] = []
    for piece in pieces:
        if isinstance(piece, bytes):
            waiting.append(piece)
            continue
        while data := piece.read(COPY_BYTES):
            yield b"".join([*waiting, data])
            waiting = []
    if waiting:
        yield b"".join(waiting)


def rank_of(metadata: dict[str, Any]) -> str:
    """The merge rank: of two attempts of a case, the greater one holds the run (invariant 7)."""
    return attempt_rank(metadata["attempt"], metadata["status"] == "complete")


# --- reading -------------------------------------------------------------------------------------


@dataclass(slots=True)
class PackedFiles:
    """The files of a packed run."""

    run_id: str
    pack: Path
    offset: int
    length: int
    rank: str = ""
    # The bytes of the run, if they were read already.
    data: bytes | None = None
    _members: dict[str, Member] | None = None

    @property
    def label(self) -> str:
        """The location, for messages."""
        return f"{self.pack}#log_{self.run_id}"

    @property
    def home(self) -> Path:
        """The pack that holds the files."""
        return self.pack

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if it does not exist."""
        # Each run has these once. Readers of many runs need only them, so skip the other members.
        if self.data is not None and not self._members and name in _ONCE:
            data = first_member(self.data, f"log_{self.run_id}/{name}")
            if data is not None:
                return data
        packed = self._read_members().get(name)
        return None if packed is None else self._bytes(packed.content, packed.size)

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading. *Raises* RunMissing if it does not exist."""
        data = self.read(name)
        if data is None:
            raise no_file(name, self.label)
        return in_memory(data)

    def has(self, name: str) -> bool:
        """Whether a file exists."""
        return name in self._read_members()

    def names(self) -> list[str]:
        """The names of all files, sorted."""
        return sorted(self._read_members())

    def pieces(self, name: str) -> Iterator[bytes]:
        """The content of an existing file, in bounded blocks."""
        packed = self._read_members()[name]
        for at in range(0, packed.size, COPY_BYTES):
            yield self._bytes(packed.content + at, min(COPY_BYTES, packed.size - at))

    def path(self, name: str) -> Path | None:  # noqa: ARG002  # see `RunFiles`
        """None: a packed file has no path."""
        return None

    def _read_members(self) -> dict[str, Member]:
        """The members by name. *Raises* Damaged if the run is not complete."""
        if self._members is None:
            if self.data is None and self.length <= COPY_BYTES:
                self.data = self._read_up_to(0, self.length)
            prefix, last, by_name = f"log_{self.run_id}/", None, {}
            for member in members(self._read_up_to, 0, self.length):
                if not member.name.startswith(prefix):
                    break
                last = by_name[member.name[len(prefix) :]] = member
            end = last.end if last else 0
            if end != self.length:
                raise damaged(self.pack, self.offset + end)
            if last and last.size:  # the last member's padding may be missing
                self._bytes(last.content + last.size - 1, 1)
            self._members = by_name
        return self._members

    def _bytes(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes. *Raises* Damaged if the pack ends before them."""
        data = self._read_up_to(offset, size)
        if len(data) < size:
            raise damaged(self.pack, self.offset + offset + len(data))
        return data

    def _read_up_to(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes; fewer at the end of the pack."""
        if self.data is not None:
            return self.data[offset : offset + size]
        try:
            with open_regular(self.pack) as stream:
                stream.seek(self.offset + offset)
                return stream.read(size)
        except OSError as error:
            raise unreadable(self.pack, error) from error


def damaged(pack: Path, offset: int) -> Damaged:
    """The error for a damaged pack."""
    return Damaged(
        f"is damaged at byte {offset}",
        where=str(pack),
        next_step="Restore the pack from a backup; its other runs can be read.",
    )


class Packs:
    """All packs of a sweep."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def _runs(self) -> dict[str, tuple[str, _RunEntry]]:
        """Pack and location of the best attempt of each run, from the indexes beside the packs."""
        best: dict[str, tuple[str, _RunEntry]] = {}
        for name in names(self._root):
            if name.endswith(".tar"):
                for run in _runs_in(self._root / name):
                    before = best.get(run[0])
                    if before is None or before[1][3] < run[3]:
                        best[run[0]] = name, run
        return best

    def ids(self) -> Iterable[str]:
        """The ids of all packed runs."""
        return self._runs.keys()

    def find(self, run_id: str) -> PackedFiles | None:
        """The files of a run; None if there is no such run."""
        name, entry = self._runs.get(run_id, ("", None))
        return None if entry is None else _packed_files(self._root / name, entry)

    def one_pass(self) -> Iterator[PackedFiles]:
        """All runs, pack by pack; reads each pack once, sequentially."""
        by_pack: dict[str, list[_RunEntry]] = {}
        for name, run in self._runs.values():
            by_pack.setdefault(name, []).append(run)
        for name, runs in by_pack.items():
            pack = self._root / name
            runs.sort(key=itemgetter(1))
            try:
                with open_regular(pack) as stream:
                    at = 0
                    for run in runs:
                        run_id, offset, length, rank = run
                        if length > COPY_BYTES:
                            yield _packed_files(pack, run)
                            continue
                        if offset != at:
                            stream.seek(offset)
                        data, at = stream.read(length), offset + length
                        yield PackedFiles(run_id, pack, offset, length, rank, data)
            except OSError as error:
                raise unreadable(pack, error) from error


# A run in a pack: id, offset, length and rank. A tuple, since there may be millions.
_RunEntry = tuple[str, int, int, str]


def _packed_files(pack: Path, entry: _RunEntry) -> PackedFiles:
    run_id, offset, length, rank = entry
    return PackedFiles(run_id, pack, offset, length, rank)


def runs_of(pack: Path) -> Iterator[PackedFiles]:
    """The whole runs in a pack: those of its index, then those that only the pack itself has."""
    return (_packed_files(pack, entry) for entry in _runs_in(pack))


def _runs_in(pack: Path) -> Iterator[_RunEntry]:
    size, end = _size(pack), 0
    try:
        text = read_regular(pack.with_suffix(".idx"), DOCUMENT_MAX).decode("utf-8", "replace")
        lines = text.split("\n")[:-1]
    except FileNotFoundError:
        lines = []
    except OSError as error:
        raise unreadable(pack, error) from error
    for line in lines:
        match = _INDEX_LINE.fullmatch(line)
        if match is None:  # a full disk cut the line: scan the pack instead
            break
        offset, length = int(match[1]), int(match[2])
        if offset != end or not 0 < length <= size - offset:
            break
        end = offset + length
        yield match[4], offset, length, match[3]
    if size - end >= BLOCK and size - end != len(END):
        yield from _scan_runs(pack, end, size)


# Offset, length, rank and run id, as `PackWriter` writes them.
_INDEX_LINE = re.compile(r"([0-9]{1,18}) ([0-9]{1,18}) (\S*) (.+)", re.ASCII)


def _size(pack: Path) -> int:
    try:
        with open_regular(pack) as stream:
            return os.fstat(stream.fileno()).st_size
    except OSError as error:
        raise unreadable(pack, error) from error


def _scan_runs(pack: Path, start: int, size: int) -> Iterator[_RunEntry]:
    """Scan the members for runs. A run ends with its metadata; without them it is skipped."""
    with open_regular(pack) as stream:

        def read(offset: int, count: int) -> bytes:
            stream.seek(offset)
            return stream.read(count)

        begin = start
        for member in members(read, start, size):
            folder, _, name = member.name.partition("/")
            if name != METADATA:
                continue
            try:
                rank = rank_of(parse_json(read(member.content, min(member.size, DOCUMENT_MAX))))
            except (ValueError, KeyError, TypeError):
                rank = ""
            run_id = folder.removeprefix("log_")
            yield run_id, begin, member.end - begin, rank
            begin = member.end


def open_packed_run(root: Path, location: PackLocation) -> PackedFiles | None:
    """The run at a recorded location, below the sweep; None if the pack does not exist.

    *Raises* Damaged if the pack has no run there, SweepError if it cannot be read.
    """
    pack = root / location.pack
    data = None
    try:
        with open_regular(pack) as stream:

            def read(offset: int, size: int) -> bytes:
                stream.seek(location.offset + offset)
                return stream.read(size)

            first = next(members(read, 0, location.length), None)
            if location.length <= COPY_BYTES:
                data = read(0, location.length)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(pack, error) from error
    if first is None:
        raise damaged(pack, location.offset)
    run_id = first.name.partition("/")[0].removeprefix("log_")
    return PackedFiles(run_id, pack, location.offset, location.length, data=data)


# --- members -------------------------------------------------------------------------------------


def file_members(run_id: str, folder: Path, skip: frozenset[str]) -> Iterator[bytes | Stream]:
    """The files below a directory as members, without the names in `skip`."""
    for path in files_below(folder):
        name = path.relative_to(folder).as_posix()
        if name in skip or is_temporary(path.name) or not path.is_file():
            continue
        with open_regular(path) as stream:
            stat = os.fstat(stream.fileno())
            yield header(f"log_{run_id}/{name}", stat.st_size, stat.st_mtime)
            yield _Exactly(stream, stat.st_size)
            yield b"\0" * (padded(stat.st_size) - stat.st_size)


class _Exactly:
    """Exactly `size` bytes of a stream; pads with zeros if the file was truncated meanwhile."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, size: int) -> bytes:
        data = self._stream.read(min(size, self._left))
        if not data and self._left:
            data = b"\0" * min(size, self._left)
        self._left -= len(data)
        return data
