"""The files of one run, wherever the layout keeps them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from hpcsweep.errors import RunMissing
from hpcsweep.files import inside, open_regular, unreadable
from hpcsweep.logbook.storage import checked_name, is_temporary, read_content


class RunFiles(Protocol):
    """Reads the files of a run by their names in it, with `/`."""

    run_id: str

    @property
    def label(self) -> str:
        """Where they are, for people."""

    @property
    def home(self) -> Path:
        """The directory or the pack that holds them."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""

    def open(self, name: str) -> BinaryIO:
        """A file to read from. *Raises* RunMissing where there is none."""

    def has(self, name: str) -> bool:
        """Whether there is such a file. *Raises* SweepError for one outside the run."""

    def names(self) -> list[str]:
        """The names of all files, sorted; what was being written is left out."""

    def path(self, name: str) -> Path | None:
        """Where a file is by itself; None in a pack, and where there is none."""


class FolderFiles:
    """The files of a plain run directory, `log_<run id>`."""

    def __init__(self, root: Path, run_id: str | None = None) -> None:
        self.root = root
        self.run_id = root.name.removeprefix("log_") if run_id is None else run_id

    @property
    def label(self) -> str:
        """As `RunFiles` says."""
        return str(self.root)

    @property
    def home(self) -> Path:
        """As `RunFiles` says."""
        return self.root

    def read(self, name: str) -> bytes | None:
        """As `RunFiles` says."""
        return read_content(f"{self.root}/{checked_name(name)}")

    def open(self, name: str) -> BinaryIO:
        """As `RunFiles` says."""
        try:
            return open_regular(self.root / checked_name(name))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise no_file(name, self.label) from error
        except OSError as error:
            raise unreadable(self.root / name, error) from error

    def has(self, name: str) -> bool:
        """As `RunFiles` says."""
        return inside(self.root, checked_name(name)).is_file()

    def names(self) -> list[str]:
        """As `RunFiles` says."""
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
        """As `RunFiles` says."""
        path = self.root / checked_name(name)
        return path if path.is_file() else None


def no_file(name: str, where: str) -> RunMissing:
    """The error for a file that a run does not have."""
    return RunMissing(f"there is no {name}", where=where)


def in_memory(data: bytes) -> BinaryIO:
    """A stream over bytes."""
    return io.BytesIO(data)
