"""Find the runs of an experiment or a sweep: flat, in shards, in packs, or moved aside."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Union

from hpcsweep.files import names, read_json
from hpcsweep.liveness import ENDS
from hpcsweep.logbook.packs import PackedFiles, Packs, rank_of
from hpcsweep.logbook.reader import LogReader
from hpcsweep.logbook.run_directory import read_metadata
from hpcsweep.logbook.runfiles import FolderFiles
from hpcsweep.sweepdir.plan import Layout

_DIGITS = re.compile(r"(\d+)")
_SHARD = re.compile(r"[0-9a-f]{1,2}\Z")
_CASE_ID = re.compile(r"-([0-9a-f]{16})\Z")
# The directory of an attempt that was moved aside or is not published yet.
_ATTEMPT = re.compile(r"([0-9a-f]{16})\.[0-9a-f]+\Z")

Files = Union[FolderFiles, PackedFiles]


class Runs:
    """All runs below one directory."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "runs"
        self._directory = directory
        self._packs = Packs(self.root / "packs")

    @cached_property
    def _shard_digits(self) -> list[int]:
        """The shard digits that the submissions of a sweep use."""
        digits = {0}
        for number in names(self._directory / "submissions"):
            plan = self._directory / "submissions" / number / "plan.json"
            if plan.exists():
                digits.add(read_json(plan).get("layout", {}).get("shard_digits", 0))
        return sorted(digits)

    def find(self, run_id: str) -> Files | None:
        """The files of a run, without reading any other; None if there is no such run."""
        case = _CASE_ID.search(run_id)
        for digits in self._shard_digits if case else [0]:
            layout = Layout(runs="all", shard_digits=digits)
            path = self._directory / layout.run_dir(case[1] if case else "", run_id)
            if ".." not in path.parts and os.path.isfile(path / "metadata.json"):  # noqa: PTH113
                return FolderFiles(path, run_id)
        packed = self._packs.find(run_id)
        return packed if packed or not case else self._aside({case[1]}).get(run_id)

    def plain(self) -> dict[str, FolderFiles]:
        """The runs that have a directory, by id, in natural order."""
        runs = {
            path.name.removeprefix("log_"): FolderFiles(path)
            for path in self._directories(self.root)
            if (path / "metadata.json").is_file()
        }
        aside = {match[1] for match in map(_ATTEMPT.match, self._attempts()) if match}
        if aside:
            ids = {name[-16:] for name in (*runs, *self._packs.ids())}
            runs |= self._aside(aside - ids)
        return {run_id: runs[run_id] for run_id in sorted(runs, key=natural_key)}

    def ids(self, plain: Container[str]) -> Iterator[str]:
        """The ids of packed runs that have no directory."""
        return (run_id for run_id in self._packs.ids() if run_id not in plain)

    def readers(self, known: Container[str] = ()) -> Iterator[LogReader]:
        """All runs except the known ones, each read once; packs are read sequentially."""
        plain = self.plain()
        for run_id, files in plain.items():
            if run_id not in known:
                yield LogReader(files)
        for packed in self._packs.one_pass():
            if packed.run_id not in plain and packed.run_id not in known:
                yield LogReader(packed)

    def _directories(self, root: Path) -> Iterator[Path]:
        for entry in os.scandir(root):
            if not entry.is_dir():
                continue
            if entry.name.startswith("log_"):
                yield root / entry.name
            elif _SHARD.match(entry.name):
                yield from self._directories(root / entry.name)

    # A worker killed between two renames leaves its run, and the run that it replaces, under the
    # names of their attempts.

    def _attempts(self) -> list[str]:
        return names(self.root / ".attempts")

    def _aside(self, cases: set[str]) -> dict[str, FolderFiles]:
        """For each of these cases, the best attempt that has ended, by run id."""
        best: dict[str, tuple[str, FolderFiles]] = {}
        for name in self._attempts():
            match = _ATTEMPT.match(name)
            if match is None or match[1] not in cases:
                continue
            path = self.root / ".attempts" / name
            metadata = read_metadata(path) or {}
            if metadata.get("status") not in ENDS or "attempt" not in metadata:
                continue
            run_id, rank = str(metadata["run_id"]), rank_of(metadata)
            if run_id not in best or best[run_id][0] < rank:
                best[run_id] = rank, FolderFiles(path, run_id)
        return {run_id: files for run_id, (_, files) in best.items()}


def natural_key(name: str) -> list[Any]:
    """A sort key for natural order: 2 before 10."""
    return [
        (1, int(piece), "") if piece.isdecimal() else (0, 0, piece) for piece in _DIGITS.split(name)
    ]
