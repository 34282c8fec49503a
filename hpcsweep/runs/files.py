"""One file of every case, streamed in index order, in every layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet
from hpcsweep.logbook.runfiles import RunFiles
from hpcsweep.runs.find import DamageReport, has_file, kept_files
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseFile:
    """A file of a case, in a run directory or in a pack.

    Examples:
        >>> one = next(sweep.files("artifacts/metrics.json"))
        >>> isinstance(one, hs.CaseFile), one.index
        (True, 0)
    """

    index: int
    name: str
    # All files of its run.
    files: RunFiles

    def __repr__(self) -> str:
        return f"<CaseFile {self.name!r} of index {self.index}, {self.files.label}>"

    @property
    def path(self) -> Path | None:
        """Its path; None if it is packed.

        Examples:
            >>> next(sweep.files("artifacts/metrics.json")).path.name
            'metrics.json'
        """
        return self.files.path(self.name)

    def read(self) -> bytes:
        """Its content. *Raises* RunMissing if it is gone.

        Examples:
            >>> import json
            >>> json.loads(next(sweep.files("artifacts/final.json")).read())
            {'E': 0.5}
        """
        with self.files.open(self.name) as stream:
            return stream.read()

    def to_json(self) -> dict[str, Any]:
        """Where it is.

        Examples:
            >>> next(sweep.files("artifacts/final.json")).to_json()["index"]
            0
        """
        path = self.path
        return {"index": self.index, "name": self.name, "path": None if path is None else str(path)}


def case_files(
    sweep: SweepDirectory, name: str, report: DamageReport, selected: IndexSet | None = None
) -> Iterator[tuple[int, RunFiles]]:
    """Index and files of every case that has a file `name`; `selected` limits it to these indices.

    `report` collects complete cases whose files are missing or damaged, and counts those that have
    no such file. *Raises* InputError if the name is not a path inside a run directory, or if no
    case has it.
    """
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(
            f"{name!r} is not a path inside a run directory",
            next_step="Name a file relative to the run directory: artifacts/metrics.json",
        )
    count = 0
    with fresh_index(sweep) as sweep_index:
        for row in sweep_index.rows(within=selected):
            files = None
            with report.collecting(row):
                kept = kept_files(sweep, row)
                files = kept if kept and has_file(kept, row, name) else None
                report.without += files is None
            if files is not None:
                count += 1
                yield row["idx"], files
    if not count and not report.lost and (selected is None or selected):
        some = "no case that was begun" if selected is None else "no selected case that was begun"
        raise InputError(
            f"{some} has a file {name}",
            where=str(sweep.path),
            next_step="Name one file, without * or ?: `hpcsweep files SWEEP metadata.json --paths` "
            "shows the paths of the runs.",
        )
