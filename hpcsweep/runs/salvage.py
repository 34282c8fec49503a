"""Salvage outcomes from run directories and packs, where their journals are gone."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

from hpcsweep.errors import Damaged, SweepError
from hpcsweep.files import DOCUMENT_MAX, names, parse_json, read_regular, token, unreadable
from hpcsweep.journal import LINE_MAX, JournalWriter, encode, outcome_json, outcome_of, parse_line
from hpcsweep.logbook.packs import METADATA, PackedFiles, PackLocation, runs_of
from hpcsweep.logbook.run_directory import METRICS, RENAMES_MAX, end_fields
from hpcsweep.logbook.tar import END
from hpcsweep.recordcheck import EndRecord, OutcomeFields, record_problem
from hpcsweep.records import Reason, Status, Word
from hpcsweep.store.ingest import index_of_journals
from hpcsweep.store.record_mapper import RecordMapper
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import PACKS

# Runs that are looked up in the index at once.
RUNS_AT_ONCE = 500
# Unusable runs that are listed by name.
NAMED = 10
# A directory of run directories, see `Layout`: the next digits of their case ids.
_SHARD = re.compile(r"[0-9a-f]{1,2}", re.ASCII)
_OVER = frozenset(status.value for status in Status if status.is_final)


@dataclass(kw_only=True, slots=True)
class Salvaged:
    """The result of a salvage: counts of attempts."""

    journaled: int = 0
    # Those that the journals had already.
    known: int = 0
    unusable: int = 0
    # Path and reason of each of the first NAMED unusable ones.
    named: list[str] = field(default_factory=list)

    def refuse(self, where: str, why: str) -> None:
        """Count a run that cannot be used."""
        self.unusable += 1
        if len(self.named) < NAMED:
            self.named.append(f"{where}: {why}")


def journal_kept_runs(sweep: SweepDirectory) -> Salvaged:
    """Journal the outcome of each attempt whose files are kept and that no journal has.

    The index does not count: it may be rebuilt from the journals later. The records depend on the
    files alone, so two salvages at once, or one after a kill, write equal ones. *Safe to repeat.*
    *Writes* a journal in `commands/` of the last submission. *Raises* SweepError.
    """
    done = Salvaged()
    last = sweep.last_number()
    with index_of_journals(sweep) as sweep_index, contextlib.ExitStack() as stack:
        records = _end_records(sweep, last, RecordMapper(sweep, sweep_index.where), done)
        writer = None
        while batch := list(islice(records, RUNS_AT_ONCE)):
            known = sweep_index.ended_attempts([record["case_id"] for record in batch])
            for record in batch:
                attempt = (record["case_id"], *record["attempt"])
                if attempt in known:
                    done.known += 1
                    continue
                if writer is None:
                    name = f"commands/{token()}.jsonl"
                    writer = JournalWriter(sweep.journal_dir(last) / name)
                    stack.callback(writer.close)
                writer.append(record)
                known.add(attempt)
                done.journaled += 1
    return done


def unkept_layouts(sweep: SweepDirectory) -> dict[int, str]:
    """The `runs:` of each submission that kept no files of complete cases, by its number."""
    layouts: dict[int, str] = {}
    for number in sweep.submissions():
        with contextlib.suppress(Damaged):  # whether it kept any is unknown then
            layouts[number] = sweep.plan(number)[0].layout.runs
    return {number: runs for number, runs in layouts.items() if runs in ("failed", "none")}


# --- runs on disk --------------------------------------------------------------------------------


class _Run(NamedTuple):
    """The files of one attempt."""

    # For messages.
    where: str
    # As an `end` record has it.
    run_dir: str
    # The name of its directory, or that of its members in a pack.
    name: str
    # Reads a file; None if it does not exist. Raises SweepError.
    read: Callable[[str], bytes | None]


def _runs(sweep: Path, done: Salvaged) -> Iterator[_Run]:
    """All published runs, then those of attempts that lost or were not published, then packs."""
    for relative in _directories(sweep, "runs"):
        yield _folder(sweep, relative)
    for name in names(sweep / "runs/.attempts"):
        yield _folder(sweep, f"runs/.attempts/{name}")
    for name in names(sweep / PACKS):
        if name.endswith(".tar"):
            try:
                yield from _packed(sweep / PACKS / name)
            except SweepError as error:
                done.refuse(error.where or name, error.what)


def _directories(sweep: Path, below: str) -> Iterator[str]:
    """The `log_*` below a directory and its shards, relative to the sweep directory."""
    for name in names(sweep / below):
        relative = f"{below}/{name}"
        if name.startswith("log_"):
            yield relative
        elif _SHARD.fullmatch(name) and not (sweep / relative).is_symlink():
            yield from _directories(sweep, relative)


def _folder(sweep: Path, relative: str) -> _Run:
    root = sweep / relative

    def read(name: str) -> bytes | None:
        path = root / name
        # The target, or another member of the group, may have made a link to any file.
        if root.is_symlink() or path.parent.is_symlink() or path.is_symlink():
            raise Damaged(f"{name} is behind a symbolic link", where=str(root))
        try:
            return read_regular(path, DOCUMENT_MAX)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unreadable(path, error) from error

    return _Run(str(root), relative, root.name, read)


def _packed(pack: Path) -> Iterator[_Run]:
    """The whole runs of a pack. *Raises* Damaged after them if it ends with half a run."""
    end = 0
    for run in runs_of(pack):
        end = run.offset + run.length
        yield _packed_run(run)
    try:
        rest = pack.stat().st_size - end
    except OSError as error:
        raise unreadable(pack, error) from error
    if rest not in (0, len(END)):
        raise Damaged(f"is damaged, or was cut, at byte {end}", where=str(pack))


def _packed_run(run: PackedFiles) -> _Run:
    place = PackLocation(f"{PACKS}/{run.pack.name}", run.offset, run.length)
    return _Run(run.label, str(place), f"log_{run.run_id}", run.read)


# --- from files to records -----------------------------------------------------------------------


def _end_records(
    sweep: SweepDirectory, last: int, mapper: RecordMapper, done: Salvaged
) -> Iterator[EndRecord]:
    """The `end` records of all runs that have one. Counts the others."""
    for run in _runs(sweep.path, done):
        try:
            record = _end_record(run)
            # Its journal's directory would raise the number of the next submission.
            if record["attempt"][1] > last:
                raise Damaged(f"submission {record['attempt'][1]} is not one of this sweep")
            why = mapper.misfit(_checked(record))
        except SweepError as error:
            why = error.what
        if why:
            done.refuse(run.where, why)
        else:
            yield record


def _end_record(run: _Run) -> EndRecord:
    """The record that a run's worker wrote, or would have. *Raises* SweepError without an end."""
    metadata, metrics = _metadata_and_metrics(run)
    status, outcome = metadata.get("status"), metadata.get("outcome")
    if status not in _OVER:
        raise Damaged("its attempt has no end")
    if not isinstance(outcome, dict) or outcome.get("status") != status:
        raise Damaged("its metadata are damaged: it has no outcome of its status")
    fields = end_fields(metadata, outcome, metrics)
    wrong = record_problem(fields)
    if wrong:
        raise Damaged(f"its metadata are damaged: {wrong}")
    case_id, own = fields["case_id"], fields["attempt"][3]
    if not (run.name.endswith(f"-{case_id}") or run.name == f"{case_id}.{own}"):
        raise Damaged(f"it is of another case: its metadata say {case_id}")
    left = replace(outcome_of(cast("OutcomeFields", fields)), run_dir=run.run_dir)
    # The worker's own record of the same attempt stays the better one, if it is restored. As the
    # worker does, leave it to the scheduler why a signalled attempt ended.
    was_ended = left.reason in (Reason.TERMINATED, Reason.TIMEOUT)
    word = Word.TERMINATED if was_ended else Word.SCHEDULER
    same = ("kind", "v", "manifest", "attempt", "chunk", "index", "case_id", "host", "job_id")
    record = (
        {name: fields[name] for name in same if name in fields}
        | {"word": word.value}
        | outcome_json(left)
    )
    return cast("EndRecord", record)


def _metadata_and_metrics(run: _Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those of one attempt, although another may publish meanwhile. *Raises* SweepError."""
    for _ in range(RENAMES_MAX):
        metadata = run.read(METADATA)
        metrics = run.read(METRICS)
        if run.read(METADATA) == metadata:
            break
    else:
        raise Damaged("other attempts publish it again and again")
    if metadata is None:
        raise Damaged(f"there is no {METADATA}")
    return _document(METADATA, metadata), _document(METRICS, metrics or b"{}")


def _document(name: str, data: bytes) -> dict[str, Any]:
    try:
        document = parse_json(data)
    except ValueError as error:
        raise Damaged(f"{name} is damaged, it is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Damaged(f"{name} is damaged: it is not a JSON object")
    return document


def _checked(record: EndRecord) -> EndRecord:
    """The record as a reader of its journal gets it. *Raises* Damaged if it is none."""
    try:
        line = encode(record)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"its metadata are damaged: {error}") from error
    read = "it is too long" if len(line) > LINE_MAX else parse_line(line[:-1])
    if isinstance(read, str):
        raise Damaged(f"its metadata are damaged: {read}")
    return cast("EndRecord", read)
