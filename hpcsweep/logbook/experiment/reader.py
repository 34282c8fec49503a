"""`ExperimentReader`: all runs of an experiment or a sweep, flat, sharded or packed."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from hpcsweep.errors import Damaged, RunMissing, SweepError
from hpcsweep.logbook.experiment.index import Index, mapping_or_empty, run_row
from hpcsweep.logbook.experiment.runs import Runs, natural_key
from hpcsweep.logbook.reader import LogReader
from hpcsweep.logbook.runfiles import FolderFiles


class ExperimentReader:
    """The runs of a directory with `runs/`. Opening it reads none of them.

    Reading one run by id costs the same, however many runs there are. Numbers count in natural
    order of the ids: 1, 2, 10. *Raises* RunMissing if there is no `runs/`.

    Examples:
        >>> [run.params["omega"] for run in hs.ExperimentReader("outputs/swing")]
        [1.0, 2.0, 9.0]
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        self.runs_path: Path = self.path / "runs"
        if not self.runs_path.is_dir():
            raise RunMissing(
                "holds no runs",
                where=str(self.path),
                next_step="Name the directory of an Experiment or of a sweep.",
            )
        self.index_path: Path = self.path / "index.csv"
        self._runs = Runs(self.path)

    # --- one run ---------------------------------------------------------------------------------

    def __getitem__(self, which: int | str) -> LogReader:
        """A run by its id or by its position in `ids`. *Raises* KeyError, IndexError, TypeError."""
        if isinstance(which, bool) or not isinstance(which, (int, str)):
            raise TypeError(f"a run is named by its id or its number, not by {which!r}")
        if isinstance(which, int):
            if not 0 <= which < len(self.ids):
                raise IndexError(f"there are {len(self.ids)} runs, so no run {which}")
            which = self.ids[which]
        files = self._runs.find(which)
        if files is None:
            raise KeyError(which)
        return LogReader(files)

    # --- all runs --------------------------------------------------------------------------------

    @cached_property
    def ids(self) -> list[str]:
        """The ids of all runs, in natural order, as of the first call."""
        return sorted((*self._plain, *self._runs.ids(self._plain)), key=natural_key)

    @cached_property
    def _plain(self) -> dict[str, FolderFiles]:
        return self._runs.plain()

    @property
    def runs(self) -> list[Path]:
        """The directories of the runs that are not packed.

        Examples:
            >>> runs = hs.ExperimentReader("outputs/swing")
            >>> len(runs.runs)
            3
        """
        return [files.root for files in self._plain.values()]

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[LogReader]:
        """Every run, in the order of `ids`."""
        for run_id in self.ids:
            yield self[run_id]

    def __contains__(self, run_id: object) -> bool:
        return isinstance(run_id, str) and self._runs.find(run_id) is not None

    @property
    def params(self) -> dict[str, dict[str, Any]]:
        """The params of every run by id, in one pass; {} for a damaged run.

        Examples:
            >>> runs = hs.ExperimentReader("outputs/swing")
            >>> sorted(params["omega"] for params in runs.params.values())
            [1.0, 2.0, 9.0]
        """
        return {run.run_id: mapping_or_empty(run, "params") for run in self._runs.readers()}

    @property
    def meta(self) -> dict[str, dict[str, Any]]:
        """The metadata of every run by id, in one pass; {} for a damaged run.

        Examples:
            >>> runs = hs.ExperimentReader("outputs/swing")
            >>> [meta["status"] for meta in runs.meta.values()].count("complete")
            2
        """
        return {run.run_id: mapping_or_empty(run, "meta") for run in self._runs.readers()}

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The metrics of every run by id, in one pass; {} for a damaged run.

        Examples:
            >>> runs = hs.ExperimentReader("outputs/swing")
            >>> sorted(metrics["energy"] for metrics in runs.metrics.values() if metrics)
            [0.5, 2.0]
        """
        return {run.run_id: mapping_or_empty(run, "metrics") for run in self._runs.readers()}

    # --- the index -------------------------------------------------------------------------------

    def index(self) -> Iterator[dict[str, str]]:
        """The rows of an updated `index.csv`; a file of another program is read unchanged.

        Examples:
            >>> runs = hs.ExperimentReader("outputs/swing")
            >>> [row["status"] for row in runs.index()].count("complete")
            2
        """
        text = io.StringIO(Index(self.path).text(), newline="")
        try:
            yield from csv.DictReader(text)
        except csv.Error as error:
            raise self._damaged(error) from error

    def _damaged(self, error: csv.Error) -> Damaged:
        return Damaged(f"cannot be read: {error}", where=str(self.index_path))

    def to_dataframe(self) -> Any:
        """One row per run: id, params, status, metrics. Needs pandas.

        Examples:
            >>> runs = hs.ExperimentReader("outputs/swing")
            >>> runs.to_dataframe()["omega"].tolist()
            [1.0, 2.0, 9.0]
        """
        from hpcsweep.logbook.experiment.writer import to_frame  # noqa: PLC0415  # needs pandas

        rows = [run_row(run) for run in self._runs.readers()]
        return to_frame(sorted(rows, key=lambda row: natural_key(row["run_id"])))

    def __repr__(self) -> str:
        return f"<ExperimentReader {self.path.name!r}>"

    def __str__(self) -> str:
        text = io.StringIO(Index(self.path).text(), newline="")
        try:
            titles = next(csv.reader(text), [])
        except csv.Error as error:
            raise self._damaged(error) from error
        lines = [
            repr(self),
            f"Index file: {self.index_path.name} with {len(self)} entries",
            f"Fields: {', '.join(titles) or '(missing)'}",
            f"Runs directory: {self.runs_path.name} with {len(self)} runs",
        ]
        lines += [f"- {run_id}: {self._status(run_id)}" for run_id in self.ids]
        return "\n".join(lines)

    def _status(self, run_id: str) -> str:
        try:
            return str(self[run_id].meta.get("status", "unknown"))
        except SweepError:
            return "unknown"
