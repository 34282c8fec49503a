"""Open the text files of tables, also those that gzip compresses."""

from __future__ import annotations

import gzip
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from hpcsweep.errors import SourceError

AS_UTF_8 = "Save it as UTF-8; spreadsheets call that 'CSV UTF-8'."
# Characters of a line: no row of a table has as many, and one line is in memory at once.
LINE_MAX = 1 << 26
_BYTES_AT_ONCE = 1 << 20


def is_gzip(path: Path) -> bool:
    """Whether the name of a file says that gzip compresses it."""
    return path.suffix.lower() == ".gz"


def refuse_damaged(path: Path) -> None:
    """*Raises* SourceError for a file that gzip cannot read to its end.

    The checksum is there; until then, damage looks like mistakes in the text.
    """
    try:
        with _damage_as_os_error(), _open(path, "rb") as stream:
            if not path.stat().st_size:  # gzip takes it for an empty text
                raise EOFError("it has 0 bytes")
            while stream.read(_BYTES_AT_ONCE):
                pass
    except OSError as error:
        raise unreadable(path, error) from error


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[IO[str]]:
    """The text of a file in UTF-8. *Raises* OSError, also while it is read; UnicodeDecodeError."""
    how = {"encoding": "utf-8-sig", "newline": newline}
    with _damage_as_os_error(), _open(path, "rt", **how) as stream:
        yield stream


@contextmanager
def _damage_as_os_error() -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise OSError(f"it is no gzip, or damaged: {error}") from error


def numbered_lines(path: Path, stream: IO[str]) -> Iterator[tuple[int, str]]:
    """The lines of a text with their numbers, from 1. *Raises* SourceError for a very long one.

    A small file of gzip may have a line that exceeds the memory.
    """
    for number, line in enumerate(iter(partial(stream.readline, LINE_MAX), ""), 1):
        if len(line) == LINE_MAX:
            raise SourceError(
                f"the line has {LINE_MAX} characters or more",
                where=f"{path}:{number}",
                next_step="Write a line for each row.",
            )
        yield number, line


def _open(path: Path, mode: str, **how: Any) -> IO[Any]:
    opener: Any = gzip.open if is_gzip(path) else open
    opened: IO[Any] = opener(path, mode, **how)
    return opened


def encoding_error(path: Path, error: UnicodeDecodeError) -> SourceError:
    """The error with the first line that is not UTF-8: text is decoded in larger pieces."""
    number, what = 0, f"not UTF-8: {error.reason}"
    try:
        with _damage_as_os_error(), _open(path, "rb") as stream:
            if stream.read(2) in (BOM_UTF16_LE, BOM_UTF16_BE):
                what = "UTF-16, not UTF-8"
            stream.seek(0)
            for number, line in enumerate(stream, 1):  # noqa: B007  # the line where it ends
                try:
                    line.decode()
                except UnicodeDecodeError:
                    break
    except OSError as damage:
        return unreadable(path, damage)
    return SourceError(
        f"is {what}",
        where=f"{path}:{number}",
        next_step=AS_UTF_8,
    )


def unreadable(path: Path, error: Exception) -> SourceError:
    """The error of a file that cannot be read."""
    what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SourceError(f"cannot be read: {what}", where=str(path), next_step="Check the file.")
