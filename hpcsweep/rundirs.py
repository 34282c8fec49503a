"""Where the files of a case lie."""

from __future__ import annotations

from hpcsweep.directory import SweepDirectory
from hpcsweep.logbook.packs import packed
from hpcsweep.logbook.run import read_metadata
from hpcsweep.logbook.runfiles import FolderFiles, RunFiles
from hpcsweep.plan import attempt_dir
from hpcsweep.store.store import Row

# It may be published, or moved back, between a look at one place and one at the other.
LOOKS = 2


def run_files(sweep: SweepDirectory, row: Row) -> RunFiles | None:
    """The files of the attempt that a row tells of; None where none are kept.

    Packed, or the published run directory if its token agrees, or else the attempt's own.
    """
    run_dir = row["run_dir"]
    if run_dir:
        found = packed(sweep.path, str(run_dir))
        if found is not None:
            return found
    own = sweep.path / attempt_dir(row["case_id"], row["token"])
    for _ in range(LOOKS):
        if run_dir:
            published = sweep.path / str(run_dir)
            metadata = read_metadata(published)
            if metadata is not None and metadata.get("token") == row["token"]:
                return FolderFiles(published)
        if own.is_dir():
            return FolderFiles(own)
    return None
