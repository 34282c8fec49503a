"""Archives: a sweep in one tar that begins with a head and ends with an index of its files.

    NAME/archive.json     the head, of fixed size: where the index is, and what `list` shows
    NAME/…                the sweep directory, with an index of its outcomes that lacks nothing
    NAME/archive.index    names, offsets and sizes of the files

`tar xf` makes the sweep directory of it. A command reads it as it is: it extracts what is small to
a temporary directory, and reads the files of cases where they are. A copy of a large index is kept
for the next command.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpcsweep import __version__
from hpcsweep.errors import Damaged, SweepError
from hpcsweep.files import (
    inside,
    json_bytes,
    make_directory,
    open_regular,
    parse_json,
    replacing,
    unreadable,
    write_all,
    write_plain,
)
from hpcsweep.older_python import dataclass
from hpcsweep.sweepdir.directory import INDEX_NAME, MARKER, SweepDirectory, SweepPaths
from hpcsweep.sweepdir.kept_copies import kept_copy

FORMAT = 1
HEAD, INDEX = "archive.json", "archive.index"
# Bytes of a tar's header, and of the head behind the first one.
BLOCK, HEAD_SIZE = 512, 4096
# What stays in the archive until it is needed: by the first part of a name.
LARGE = frozenset({"runs", "logs", "journal", "checkpoints", "code", "tables"})
# Bytes of an index that is extracted once, not by every command.
KEPT_INDEX = 32 << 20
# Bytes that are copied at once.
COPY_BYTES = 1 << 20

# Extracted sweeps; each is removed when this process ends.
_extracted: list[tempfile.TemporaryDirectory[str]] = []


@dataclass(frozen=True, slots=True)
class Archive:
    """The files of an archived sweep."""

    path: Path
    # Offset and size in bytes by name, relative to the sweep directory, in the order of names.
    files: Mapping[str, tuple[int, int]]
    # Journals with lines that were passed over.
    torn: tuple[str, ...]

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none. *Raises* Damaged, SweepError."""
        return b"".join(self.pieces(name)) if name in self.files else None

    def pieces(self, name: str) -> Iterator[bytes]:
        """The content of an existing file, in bounded pieces. *Raises* Damaged, SweepError."""
        offset, size = self.files[name]
        for at in range(0, size, COPY_BYTES):
            wanted = min(COPY_BYTES, size - at)
            data = _read(self.path, offset + at, wanted)
            if len(data) < wanted:
                raise Damaged("ends before its files do", where=str(self.path), next_step=_RESTORE)
            yield data

    def extract(self, names: Iterable[str], root: Path) -> None:
        """Write files below `root`. *Safe to repeat.* *Raises* SweepError for a name outside."""
        for name in names:
            path = inside(root, name)
            make_directory(path.parent)
            with replacing(path, durable=False) as descriptor:
                for data in self.pieces(name):
                    write_all(descriptor, data)


_RESTORE = "Restore the file, or make the archive again: `hpcsweep archive SWEEP`."


def is_archive(path: Path) -> bool:
    """Whether a file is an archive of a sweep."""
    try:
        block = _read(path, 0, BLOCK)
    except SweepError:
        return False
    name = block[:100].rstrip(b"\0")
    return block[257:262] == b"ustar" and name.endswith(b"/" + HEAD.encode())


def head_of(path: Path) -> dict[str, Any]:
    """The head of an archive. *Raises* Damaged; SweepError for a newer format."""
    try:
        head = parse_json(_read(path, BLOCK, HEAD_SIZE))
        if head["format"] == FORMAT:
            return {**head, "index": (int(head["index"][0]), int(head["index"][1]))}
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise Damaged(
            "is damaged, or was not written to its end", where=str(path), next_step=_RESTORE
        ) from error
    raise SweepError(
        f"has format {head['format']!r}, this program reads {FORMAT}",
        where=str(path),
        next_step="Use the hpcsweep that wrote it, or a newer one.",
    )


def open_archive(path: Path) -> Archive:
    """The archive in a file; its index is read once. *Raises* as `head_of`."""
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    return _open(path, status.st_ino, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _open(path: Path, *_identity: int) -> Archive:
    offset, size = head_of(path)["index"]
    try:
        index = parse_json(_read(path, offset, size))
        files = {str(name): (int(at), int(length)) for name, at, length in index["files"]}
        return Archive(path, files, tuple(map(str, index["torn"])))
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged("its index is damaged", where=str(path), next_step=_RESTORE) from error


def open_archived(path: Path) -> SweepDirectory:
    """The sweep in an archive, for commands that read. *Writes* a temporary directory.

    It and its reduce have what is small; their `archive` has the rest. *Raises* as `head_of`.
    """
    path = path.resolve()
    archive, head = open_archive(path), head_of(path)
    temporary = tempfile.TemporaryDirectory(prefix="hpcsweep-", ignore_cleanup_errors=True)
    _extracted.append(temporary)
    root = make_directory(inside(Path(temporary.name), str(head["name"])))
    small = set(filter(_is_small, archive.files))
    index = _kept_index(archive)
    if index is not None:
        small.remove(INDEX_NAME)
        # SQLite puts its journal beside the file that a link leads to.
        (root / INDEX_NAME).symlink_to(index)
    archive.extract(sorted(small), root)
    torn = (f"journal/{name}" for name in archive.torn)
    archive.extract((name for name in torn if name in archive.files), root)
    for directory in (SweepPaths(root).reduce_dir, root):
        marker = directory / MARKER
        if marker.is_file():
            write_plain(
                marker, json_bytes(parse_json(marker.read_bytes()) | {"archive": str(path)})
            )
    return SweepDirectory.open(root)


def _kept_index(archive: Archive) -> Path | None:
    """A copy of the index for all commands; None for a small one, and where none can be kept."""
    if archive.files.get(INDEX_NAME, (0, 0))[1] < KEPT_INDEX:
        return None
    status = archive.path.stat()
    # A newer version may migrate the copy.
    identity = (archive.path, status.st_ino, status.st_mtime_ns, status.st_size, __version__)
    key = hashlib.sha256(os.fsencode(repr(identity))).hexdigest()[:16]

    def write(path: Path) -> None:
        archive.extract([INDEX_NAME], path.parent)

    return kept_copy(key, INDEX_NAME, write)


def archived_name(sweep: SweepDirectory, name: str) -> str:
    """The name in its archive of a file of a sweep, or of its reduce."""
    _, slash, part = sweep.name.partition("/")
    return f"{part}/{name}" if slash else name


def extract_logs(sweep: SweepDirectory, submission: int) -> None:
    """Extract what Slurm printed in a submission. *Safe to repeat.*"""
    directory = sweep.log_dir(submission)
    if directory.exists():
        return
    archive = open_archive(Path(sweep.archive))
    prefix = archived_name(sweep, f"{directory.relative_to(sweep.path)}/")
    root = sweep.path.parent if "/" in sweep.name else sweep.path
    archive.extract((name for name in archive.files if name.startswith(prefix)), root)


def _is_small(name: str) -> bool:
    first, _, rest = name.partition("/")
    if first == "reduce" and rest:
        first = rest.partition("/")[0]
    return first not in LARGE


def _read(path: Path, offset: int, size: int) -> bytes:
    try:
        with open_regular(path) as stream:
            stream.seek(offset)
            return stream.read(min(size, max(0, os.fstat(stream.fileno()).st_size - offset)))
    except OSError as error:
        raise unreadable(path, error) from error
