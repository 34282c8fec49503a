"""What earlier starts of a chunk left. What of it is damaged is told, and its cases run again."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hpcsweep.errors import JournalError, SweepError
from hpcsweep.files import names
from hpcsweep.journal import VERSION, Record, journals_of_chunk, read
from hpcsweep.logbook import run_directory as rundir
from hpcsweep.recordcheck import record_problem
from hpcsweep.records import ParamCase, Status, Word
from hpcsweep.sweepdir.plan import PACKS

if TYPE_CHECKING:
    from hpcsweep.logbook.packs import PackedFiles

# What metadata have in common with an `end` record.
_SAID = ("manifest", "attempt", "chunk", "index", "case_id", "host")


class Left(NamedTuple):
    """A run that an earlier start left."""

    metadata: dict[str, Any]
    metrics: dict[str, Any]
    # Where it is, for people.
    where: str


def _tell(where: Path | str, what: str) -> None:
    """One sentence in the task's log."""
    sys.stderr.write(f"hpcsweep: {where}: {what}; cases that it alone holds run again\n")


def settled(journals: Path, chunk: int) -> set[int]:
    """Indices that earlier starts of a chunk call complete, or failed by their own word."""
    found: set[int] = set()
    for path in journals_of_chunk(journals, chunk):
        torn = 0
        try:
            for reading in read(path):
                torn += reading.torn
                found |= {record["index"] for record in reading.records if _settles(record)}
        except JournalError as error:
            _tell(path, error.what)
        if torn:
            _tell(path, f"{torn} of its lines are damaged, or no record that this program reads")
    return found


def _settles(record: Record) -> bool:
    finished = record["kind"] == "end" and "index" in record
    definite = record.get("word", Word.WORKER.value) == Word.WORKER.value
    kinds = (Status.COMPLETE.value, Status.FAILED.value)
    return (finished and definite and record["status"] in kinds) or record["kind"] == "same"


def packed(sweep: Path, chunk: int) -> dict[str, Left]:
    """The intact runs in the packs of a chunk's earlier starts, by their run ids."""
    root = sweep / PACKS
    runs: list[PackedFiles] = []
    for name in names(root):
        if name.startswith(f"{chunk}.") and name.endswith(".tar"):
            runs += _whole_runs(root / name)
    found: dict[str, Left] = {}
    for run in sorted(runs, key=lambda run: run.rank):  # the best attempt has the last word
        try:
            found[run.run_id] = _in_pack(run)
        except SweepError as error:
            _tell(error.where, f"{error.what} (the run at byte {run.offset} of {run.pack.name})")
    return found


def _whole_runs(pack: Path) -> Iterator[PackedFiles]:
    from hpcsweep.logbook.packs import runs_of  # noqa: PLC0415  # few tasks want it
    from hpcsweep.logbook.tar import END  # noqa: PLC0415

    end = 0
    try:
        for run in runs_of(pack):
            yield run
            end = run.offset + run.length
        rest = pack.stat().st_size - end
    except SweepError as error:
        _tell(pack, error.what)
        return
    except OSError as error:
        _tell(pack, f"cannot be read: {error.strerror}")
        return
    if rest not in (0, len(END)):  # what a kill cut looks like damage
        _tell(pack, f"is damaged, or was cut, at byte {end}")


def _in_pack(run: PackedFiles) -> Left:
    """A packed run; its outcome names its place. *Raises* SweepError."""
    from hpcsweep.logbook.packs import PackLocation  # noqa: PLC0415  # few tasks want it
    from hpcsweep.logbook.reader import LogReader  # noqa: PLC0415

    reader = LogReader(run)
    metadata, place = reader.meta, PackLocation(f"{PACKS}/{run.pack.name}", run.offset, run.length)
    if isinstance(metadata.get("outcome"), dict):
        metadata["outcome"]["run_dir"] = str(place)
    return Left(metadata, reader.metrics, str(place))


def attempts(sweep: Path) -> dict[str, list[Path]]:
    """The directories of attempts that were not published, by their case ids."""
    root = sweep / "runs" / ".attempts"
    found: dict[str, list[Path]] = {}
    for name in names(root):
        found.setdefault(name.partition(".")[0], []).append(root / name)
    return found


def in_directory(path: Path) -> Left | None:
    """What is in a run directory; None where there is none, or a damaged one."""
    metadata, metrics = rundir.read_metadata_and_metrics(path)
    if metadata is not None and metrics is not None:
        return Left(metadata, metrics, str(path))
    file = path / ("metadata.json" if metadata is None else rundir.METRICS)
    if os.path.lexists(file):
        _tell(file, "is damaged, or no regular file")
    return None


def counts(left: Left, case: ParamCase, generation: int) -> bool:
    """Whether a run of a case is complete, of this generation, and says so as a record would."""
    metadata = left.metadata
    complete = metadata.get("status") == Status.COMPLETE.value
    if not complete or metadata.get("generation") != generation:
        return False
    outcome = metadata.get("outcome")
    if not isinstance(outcome, dict):
        wrong = "it has no outcome"
    elif metadata.get("case_id") != case.case_id:
        wrong = "it is of another case"
    else:
        said: Record = {name: metadata.get(name) for name in _SAID}
        wrong = record_problem(
            outcome | said | {"metrics": left.metrics, "kind": "end", "v": VERSION}
        )
    if wrong:
        _tell(left.where, f"its metadata are damaged: {wrong}")
    return not wrong
