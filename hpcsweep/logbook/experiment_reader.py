"""`ExperimentReader`: all runs of an experiment or a sweep, flat, sharded or packed."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from hpcsweep.errors import HpcsweepError, RunMissing, SweepError
from hpcsweep.files import names, read_json
from hpcsweep.logbook.index import Index, table
from hpcsweep.logbook.packs import PackedFiles, Packs
from hpcsweep.logbook.reader import LogReader
from hpcsweep.logbook.runfiles import FolderFiles
from hpcsweep.plan import Layout

_SHARD = re.compile(r"[0-9a-f]{1,2}\Z")
_CASE_ID = re.compile(r"-([0-9a-f]{16})\Z")


class ExperimentReader:
    """The runs of a directory with `runs/`; opening it looks at none of them.

    A run by its id costs one run, however many there are. Numbers are in natural order of the
    ids: 1, 2, 10. *Raises* RunMissing where there is no `runs/`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.runs_path = self.path / "runs"
        if not self.runs_path.is_dir():
            raise RunMissing(
                "holds no runs",
                where=str(self.path),
                next_step="Name the directory of an Experiment or of a sweep.",
            )
        self.index_file = self.path / "index.csv"
        self._packs = Packs(self.runs_path / "packs")

    @cached_property
    def _shard_digits(self) -> list[int]:
        """How the submissions of a sweep spread their runs over directories."""
        found = {0}
        for number in names(self.path / "submissions"):
            plan = self.path / "submissions" / number / "plan.json"
            if plan.exists():
                found.add(read_json(plan).get("layout", {}).get("shard_digits", 0))
        return sorted(found)

    # --- one run ---------------------------------------------------------------------------------

    def __getitem__(self, which: int | str) -> LogReader:
        """A run by its id, or by its number in `ids`. *Raises* KeyError, IndexError, TypeError."""
        if isinstance(which, bool) or not isinstance(which, int | str):
            raise TypeError(f"a run is named by its id or its number, not by {which!r}")
        if isinstance(which, int):
            if not 0 <= which < len(self.ids):
                raise IndexError(f"there are {len(self.ids)} runs, so no number {which}")
            which = self.ids[which]
        files = self._files(which)
        if files is None:
            raise KeyError(which)
        return LogReader(files)

    def _files(self, run_id: str) -> FolderFiles | PackedFiles | None:
        found = _CASE_ID.search(run_id)
        for digits in self._shard_digits if found else [0]:
            layout = Layout(runs="all", shard_digits=digits)
            path = self.path / layout.run_dir(found[1] if found else "", run_id)
            if ".." not in path.parts and (path / "metadata.json").is_file():
                return FolderFiles(path, run_id)
        return self._packs.find(run_id)

    # --- all runs --------------------------------------------------------------------------------

    @cached_property
    def ids(self) -> list[str]:
        """The ids of all runs, in natural order, as they were when this was first asked for."""
        plain = {path.name.removeprefix("log_") for path in self.runs}
        return sorted(plain | set(self._packs.ids()), key=_natural)

    @cached_property
    def runs(self) -> list[Path]:
        """The directories of the runs that are not packed."""
        found = [path for path in _directories(self.runs_path) if (path / "metadata.json").exists()]
        return sorted(found, key=lambda path: _natural(path.name))

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[LogReader]:
        """Every run in the order of `ids`."""
        for run_id in self.ids:
            yield self[run_id]

    def __contains__(self, run_id: object) -> bool:
        return isinstance(run_id, str) and self._files(run_id) is not None

    @property
    def params(self) -> dict[str, dict[str, Any]]:
        """The params of every run by its id, in one pass; {} for damaged ones."""
        return {run.run_id: _or_nothing(run, "params") for run in self._one_pass()}

    @property
    def meta(self) -> dict[str, dict[str, Any]]:
        """The metadata of every run by its id, in one pass; {} for damaged ones."""
        return {run.run_id: _or_nothing(run, "meta") for run in self._one_pass()}

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """The metrics of every run by its id, in one pass; {} for damaged ones."""
        return {run.run_id: _or_nothing(run, "metrics") for run in self._one_pass()}

    def _one_pass(self) -> Iterator[LogReader]:
        plain = set()
        for path in self.runs:
            plain.add(path.name)
            yield LogReader(FolderFiles(path))
        for files in self._packs.one_pass():
            if not plain or f"log_{files.run_id}" not in plain:
                yield LogReader(files)

    # --- the index -------------------------------------------------------------------------------

    def index(self) -> Iterator[dict[str, str]]:
        """The rows of `index.csv`, brought up to date; of a sweep without one, made of its runs."""
        Index(self.path).refresh()
        if self.index_file.exists():
            with self.index_file.open(encoding="utf-8", newline="") as stream:
                yield from csv.DictReader(stream)
            return
        rows = self._rows()
        yield from csv.DictReader(io.StringIO(table(rows).decode(), newline=""))

    def to_dataframe(self) -> Any:
        """One row per run: id, params, status, metrics. Needs pandas."""
        from hpcsweep.logbook.experiment import frame_of  # noqa: PLC0415  # only for frames

        return frame_of(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "run_id": run.run_id,
                "params": _or_nothing(run, "params"),
                "status": run.status,
                "metrics": _or_nothing(run, "metrics"),
                "metrics_status": "complete" if run.files.read(_METRICS) else "missing",
            }
            for run in self
        ]

    def __repr__(self) -> str:
        return f"<ExperimentReader {self.path.name!r}>"

    def __str__(self) -> str:
        Index(self.path).refresh()
        fields = "(missing)"
        if self.index_file.exists():
            with self.index_file.open(encoding="utf-8", newline="") as stream:
                fields = ", ".join(next(csv.reader(stream), []))
        lines = [
            repr(self),
            f"Index file: {self.index_file.name} with {len(self)} entries",
            f"Fields: {fields}",
            f"Runs directory: {self.runs_path.name} with {len(self)} runs",
        ]
        lines += [f"- {run_id}: {self._status(run_id)}" for run_id in self.ids]
        return "\n".join(lines)

    def _status(self, run_id: str) -> str:
        try:
            return str(self[run_id].meta.get("status", "unknown"))
        except SweepError:
            return "unknown"


_METRICS = "artifacts/metrics.json"


def _directories(root: Path) -> Iterator[Path]:
    """The run directories in `root` and in its shards."""
    for entry in os.scandir(root):
        if not entry.is_dir():
            continue
        if entry.name.startswith("log_"):
            yield root / entry.name
        elif _SHARD.match(entry.name):
            yield from _directories(root / entry.name)


def _natural(name: str) -> list[Any]:
    """A key that sorts 2 before 10."""
    return [(1, int(one), "") if one.isdecimal() else (0, 0, one) for one in _DIGITS.split(name)]


_DIGITS = re.compile(r"(\d+)")


def _or_nothing(run: LogReader, what: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = getattr(run, what)
    except HpcsweepError:
        return {}
    return found
