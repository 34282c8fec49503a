"""Read access to the files of one run, in every layout."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from hpcsweep.errors import RunMissing
from hpcsweep.files import inside, is_temporary, open_regular, unreadable
from hpcsweep.logbook.storage import checked_name, read_content


class RunFiles(Protocol):
    """Reads the files of a run by name; names are relative to the run and separated by `/`."""

    run_id: str

    @property
    def label(self) -> str:
        """The location, for messages."""

    @property
    def home(self) -> Path:
        """The directory or the pack that holds the files."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if it does not exist."""

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading. *Raises* RunMissing if it does not exist."""

    def has(self, name: str) -> bool:
        """Whether a file exists. *Raises* SweepError for one outside the run."""

    def names(self) -> list[str]:
        """The names of all files, sorted; temporary files are left out."""

    def path(self, name: str) -> Path | None:
        """The path of a file; None if it is packed or does not exist."""


class FolderFiles:
    """The files of a plain run directory, `log_<run id>`."""

    def __init__(self, root: Path, run_id: str | None = None) -> None:
        self.root = root
        self.run_id: str = root.name.removeprefix("log_") if run_id is None else run_id

    @property
    def label(self) -> str:
        """See `RunFiles`."""
        return str(self.root)

    @property
    def home(self) -> Path:
        """See `RunFiles`."""
        return self.root

    def read(self, name: str) -> bytes | None:
        """See `RunFiles`."""
        return read_content(f"{self.root}/{checked_name(name)}")

    def open(self, name: str) -> BinaryIO:
        """See `RunFiles`."""
        try:
            return open_regular(self.root / checked_name(name))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise no_file(name, self.label) from error
        except OSError as error:
            raise unreadable(self.root / name, error) from error

    def has(self, name: str) -> bool:
        """See `RunFiles`."""
        return inside(self.root, checked_name(name)).is_file()

    def names(self) -> list[str]:
        """See `RunFiles`."""
        return sorted(self._below(str(self.root), ""))

    def _below(self, directory: str, prefix: str) -> Iterator[str]:
        for entry in os.scandir(directory):
            if is_temporary(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._below(entry.path, f"{prefix}{entry.name}/")
            elif Path(entry.path).is_file():
                yield prefix + entry.name

    def path(self, name: str) -> Path | None:
        """See `RunFiles`."""
        path = self.root / checked_name(name)
        return path if path.is_file() else None


def files_below(folder: Path) -> list[Path]:
    """The files below a directory, and links, in order; none if it is missing. *Raises* OSError.

    `Path.rglob` of Python 3.13 and newer leaves out what cannot be read without a word.
    """

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    walk = os.walk(folder, onerror=refuse)
    return sorted(Path(directory, name) for directory, _, names in walk for name in names)


def no_file(name: str, where: str) -> RunMissing:
    """The error for a file that a run does not have."""
    return RunMissing(f"there is no {name}", where=where)


def in_memory(data: bytes) -> BinaryIO:
    """A stream over bytes."""
    return io.BytesIO(data)
