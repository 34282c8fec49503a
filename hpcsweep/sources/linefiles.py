"""The two files of explicit cases of one version of a manifest: lines, and where each begins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hpcsweep import ids
from hpcsweep.errors import Damaged, SweepError
from hpcsweep.files import open_regular
from hpcsweep.sources.caselines import (
    CASES_FILE,
    OFFSET_BYTES,
    OFFSETS_FILE,
    ONLY_HERE,
    REWRITE,
)

# Offsets per read, 32 KiB: on a network file system an open costs more than this read.
PAGE_OFFSETS = 4096


class LineFiles:
    """The lines of the cases from index `start` to before `stop`; a line costs two short reads.

    They begin with line `first` of the files; `is_grown` says that they were appended. *Raises*
    SweepError, Damaged where a line is read, if the files are missing or have another size than
    was written.
    """

    def __init__(
        self, directory: Path, first: int, start: int, stop: int, *, is_grown: bool = False
    ) -> None:
        self.path = directory / CASES_FILE
        self.start, self.stop = start, stop
        self._offsets_path = directory / OFFSETS_FILE
        self._first = first
        self._next_step = ONLY_HERE if is_grown else REWRITE
        # Cache of one page of offsets, the one read last, by its number.
        self._page: dict[int, bytes] = {}
        # Where the last line ends; None before the sizes are checked.
        self._end: int | None = None
        self._offsets_size = 0

    def line(self, index: int) -> bytes:
        """The line of the case of an index."""
        end = self.check_sizes()
        start, stop = (self._offset(self._line_of(index) + more) for more in range(2))
        if not start < stop <= end:
            raise self.damaged(self._offsets_path, f"case {index} is from byte {start} to {stop}")
        return self._read(self.path, start, stop - start)

    def lines(self) -> Iterator[bytes]:
        """All lines in order; the file is read once."""
        end = self.check_sizes()
        start = self._offset(self._line_of(self.start))
        try:
            with open_regular(self.path) as lines:
                lines.seek(min(start, end))
                for _ in range(self.start, self.stop):
                    yield lines.readline()
        except OSError as error:
            raise self._unreadable(self.path, error) from error

    def check_sizes(self) -> int:
        """Check once that all offsets are there, and that the last is the size of the lines.

        Returns that size.
        """
        if self._end is not None:
            return self._end
        size = self._size(self._offsets_path)
        expected = (self._line_of(self.stop) + 1) * OFFSET_BYTES
        if size < expected or size % OFFSET_BYTES:
            raise self.damaged(
                self._offsets_path,
                f"it has {size} bytes: fewer than {expected}, or a partial offset",
            )
        self._offsets_size = size
        end = self._offset(size // OFFSET_BYTES - 1)
        if (actual := self._size(self.path)) != end:
            raise self.damaged(self.path, f"it has {actual} bytes, but {end} were written")
        self._end = end
        return end

    def check_digest(self, expected: str) -> None:
        """Compare the digest of the lines with its first hex digits; reads all of them."""
        try:
            with open_regular(self.path) as lines:
                digest = ids.sha256_of(lines).hex()
        except OSError as error:
            raise self._unreadable(self.path, error) from error
        if not digest.startswith(expected):
            raise self.damaged(self.path, "was changed")

    def _line_of(self, index: int) -> int:
        return self._first + index - self.start

    def _offset(self, line: int) -> int:
        """The offset of a line. Reads a whole page of offsets and caches it for the next call."""
        number, place = divmod(line, PAGE_OFFSETS)
        if number not in self._page:
            start = number * PAGE_OFFSETS * OFFSET_BYTES
            count = min(PAGE_OFFSETS * OFFSET_BYTES, self._offsets_size - start)
            self._page = {number: self._read(self._offsets_path, start, count)}
        at = place * OFFSET_BYTES
        return int.from_bytes(self._page[number][at : at + OFFSET_BYTES], "little")

    def damaged(self, path: Path, what: str) -> Damaged:
        """The error for a file that is not what was written."""
        return Damaged(what, where=str(path), next_step=self._next_step)

    def _unreadable(self, path: Path, error: OSError) -> SweepError:
        what = f"cannot be read: {error.strerror}"
        return SweepError(what, where=str(path), next_step=self._next_step)

    def _read(self, path: Path, offset: int, count: int) -> bytes:
        """Read exactly `count` bytes from `offset`. *Raises* SweepError."""
        try:
            with open_regular(path) as file:
                data = os.pread(file.fileno(), count, offset)
        except OSError as error:
            raise self._unreadable(path, error) from error
        if len(data) != count:
            raise self.damaged(path, f"it ends before byte {offset + count}")
        return data

    def _size(self, path: Path) -> int:
        try:
            return path.stat().st_size
        except OSError as error:
            raise self._unreadable(path, error) from error
