"""The files of a case in an archive of its sweep, read where they are."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from hpcsweep.files import is_temporary, parse_json
from hpcsweep.logbook.packs import METADATA, PackedFiles, PackLocation, open_packed_run
from hpcsweep.logbook.runfiles import in_memory, no_file
from hpcsweep.logbook.storage import checked_name
from hpcsweep.store.case_reader import IndexRow
from hpcsweep.sweepdir.archive import Archive, archived_name, open_archive
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import attempt_dir


class ArchivedFiles:
    """The files of a plain run directory in an archive; see `RunFiles`."""

    def __init__(self, archive: Archive, root: str) -> None:
        self._archive = archive
        self._root = root
        self.run_id = root.rpartition("/")[2].removeprefix("log_")

    @property
    def label(self) -> str:
        """See `RunFiles`."""
        return f"{self._archive.path}/{self._root}"

    @property
    def home(self) -> Path:
        """See `RunFiles`."""
        return self._archive.path

    def read(self, name: str) -> bytes | None:
        """See `RunFiles`."""
        return self._archive.read(f"{self._root}/{checked_name(name)}")

    def open(self, name: str) -> BinaryIO:
        """See `RunFiles`."""
        data = self.read(name)
        if data is None:
            raise no_file(name, self.label)
        return in_memory(data)

    def has(self, name: str) -> bool:
        """See `RunFiles`."""
        return f"{self._root}/{checked_name(name)}" in self._archive.files

    def names(self) -> list[str]:
        """See `RunFiles`."""
        prefix = f"{self._root}/"
        below = (name[len(prefix) :] for name in self._archive.files if name.startswith(prefix))
        return sorted(name for name in below if not is_temporary(name.rpartition("/")[2]))

    def path(self, name: str) -> Path | None:  # noqa: ARG002  # see `RunFiles`
        """None: an archived file has no path."""
        return None


def archived_files(sweep: SweepDirectory, row: IndexRow) -> ArchivedFiles | PackedFiles | None:
    """The files of the attempt in a row of the index; None if there are none.

    They were complete when the archive was made, so no attempt is published meanwhile.
    """
    archive, run_dir = open_archive(Path(sweep.archive)), str(row["run_dir"] or "")
    place = PackLocation.parse(run_dir)
    pack = archive.files.get(archived_name(sweep, place.pack)) if place else None
    if place and pack:
        inside = PackLocation(str(archive.path), pack[0] + place.offset, place.length)
        return open_packed_run(archive.path.parent, inside)
    attempt = attempt_dir(row["case_id"], row["token"])
    for directory in (run_dir, attempt):
        files = ArchivedFiles(archive, archived_name(sweep, directory))
        if directory and _token(files) == row["token"]:
            return files
    return None


def _token(files: ArchivedFiles) -> object:
    """The token of the attempt that wrote a run; None if it says none."""
    try:
        metadata = parse_json(files.read(METADATA) or b"")
    except ValueError:
        return None
    return metadata.get("token") if isinstance(metadata, dict) else None
