"""Open the text files of tables, also those that gzip compresses."""

from __future__ import annotations

import gzip
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from hpcsweep.errors import SourceError

AS_UTF_8 = "Save it as UTF-8; spreadsheets call that 'CSV UTF-8'."


def is_gzip(path: Path) -> bool:
    """Whether the name of a file says that gzip compresses it."""
    return path.suffix.lower() == ".gz"


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[IO[str]]:
    """The text of a file in UTF-8. *Raises* OSError, also while it is read; UnicodeDecodeError."""
    try:
        with _open(path, "rt", encoding="utf-8-sig", newline=newline) as stream:
            yield stream
    except (EOFError, zlib.error) as error:
        raise OSError(f"it is no gzip, or damaged: {error}") from error


def _open(path: Path, mode: str, **how: Any) -> IO[Any]:
    opener: Any = gzip.open if is_gzip(path) else open
    opened: IO[Any] = opener(path, mode, **how)
    return opened


def encoding_error(path: Path, error: UnicodeDecodeError) -> SourceError:
    """The error with the first line that is not UTF-8: text is decoded in larger pieces."""
    number, what = 0, f"not UTF-8: {error.reason}"
    with _open(path, "rb") as stream:
        if stream.read(2) in (BOM_UTF16_LE, BOM_UTF16_BE):
            what = "UTF-16, not UTF-8"
        stream.seek(0)
        for number, line in enumerate(stream, 1):  # noqa: B007  # the line where it ends
            try:
                line.decode()
            except UnicodeDecodeError:
                break
    return SourceError(
        f"is {what}",
        where=f"{path}:{number}",
        next_step=AS_UTF_8,
    )


def unreadable(path: Path, error: Exception) -> SourceError:
    """The error of a file that cannot be read."""
    what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SourceError(f"cannot be read: {what}", where=str(path), next_step="Check the file.")
