"""The journal: what happened, in append-only files with one writer each.

A record is one line, `crc32 JSON\\n`, written by one write(2). Kinds:

    task    an array task started: where, which Slurm ids
    begin   a case was begun
    end     an attempt ended; without `index` it is the scheduler's word on a whole array task
    same    the case of this index was published under another index; nothing was run
    beat    the task lives

Every record says its kind, format version, sweep fingerprint (`manifest`), attempt and chunk, and
those about a case its index and case id.
"""

from __future__ import annotations

import json
import os
from binascii import crc32
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpcsweep.errors import JournalError
from hpcsweep.files import FULL, make_directory, names, open_file
from hpcsweep.records import Attempt, Outcome, Reason, Status, Word

VERSION = 1
KINDS = frozenset({"task", "begin", "end", "same", "beat"})
# Journals of one submission are spread over directories of this many chunks, so that none has
# more than a few thousand entries even when every task starts several times.
CHUNKS_PER_DIRECTORY = 500

Record = dict[str, Any]


def journal_name(chunk: int, restart: int, token: str) -> str:
    """Where a task start writes, relative to the submission's journal directory."""
    return f"{chunk // CHUNKS_PER_DIRECTORY}/{chunk}.{restart}.{token}.jsonl"


def encode(record: Record) -> bytes:
    """One record as one line."""
    payload = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (crc32(payload), payload)


def decode(line: bytes) -> Record | None:
    """The record of a line without its newline, with its checksum as `crc`; None for a torn one."""
    return _decoded(line[:9], line[9:])


def _decoded(head: bytes, payload: bytes) -> Record | None:
    if not _is_intact(head, payload):
        return None
    try:
        text = payload.decode()
        record, end = _parse(text)
    except ValueError:
        return None
    if end != len(text) or type(record) is not dict:
        return None
    record["crc"] = head[:8].decode()
    return record


def _is_intact(head: bytes, payload: bytes) -> bool:
    return head == b"%08x " % crc32(payload)


# As json.loads does, without its looks at the encoding and for white space.
_parse = json.JSONDecoder().raw_decode


class JournalWriter:
    """The only writer of one journal file.

    *Raises* JournalError when the file exists or cannot be made. *Writes* `path`.
    """

    def __init__(self, path: Path) -> None:
        make_directory(path.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        try:
            self._descriptor = open_file(path, flags)
        except OSError as error:
            raise JournalError(f"cannot be made: {error.strerror}", where=str(path)) from error
        self.path = path
        self._torn = False

    def append(self, record: Record) -> None:
        """Write one record; it survives a kill of this process, not yet one of the machine.

        *Raises* JournalError, with `transient` set when the disk or quota is full.
        """
        line = encode(record)
        if self._torn:  # a full disk can cut a line in two; the next one must begin afresh
            line = b"\n" + line
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise self._unwritable(error) from error
        self._torn = written < len(line)
        if self._torn:
            raise self._unwritable(OSError(28, os.strerror(28)))

    def sync(self) -> None:
        """Make all records durable."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Make all durable and let go of the file."""
        self.sync()
        os.close(self._descriptor)

    def _unwritable(self, error: OSError) -> JournalError:
        problem = JournalError(f"cannot be written: {error.strerror}", where=str(self.path))
        problem.transient = error.errno in FULL
        return problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """The new records of one journal."""

    # In the order in which they were written.
    records: list[Record] = field(default_factory=list)
    # Byte offset of the first byte not yet read.
    offset: int = 0
    # Count of complete lines that were damaged and passed over.
    torn: int = 0
    # Count of `begin` records that were left out because their `end` is here.
    superseded: int = 0


# Bytes of a journal that are held in memory at once. Few: their records then stay in the
# processor's cache until they are rows, which takes a quarter off the time of an ingest.
READ_AT_ONCE = 1 << 16


def read(path: Path, offset: int = 0, *, skim: bool = False) -> Iterator[Reading]:
    """The records from byte `offset` on, a bounded amount of bytes at a time.

    Records of a kind or version that this program does not know are passed over. A line without
    its newline may be in the middle of being written: it is left for the next time. To `skim` is
    to leave out each `begin` that is followed by its `end`, which says the same and more.
    *Raises* JournalError when the file cannot be read; a missing file has no records.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            while lines := stream.readlines(READ_AT_ONCE):
                # Then this is the end for now: the rest of the line may come while the caller is
                # busy, and would look like a line of its own.
                unfinished = not lines[-1].endswith(b"\n")
                if unfinished:
                    lines.pop()
                if lines:
                    offset += sum(map(len, lines))
                    yield _reading(lines, offset, skim=skim)
                if unfinished:
                    return
    except FileNotFoundError:
        return
    except OSError as error:
        raise JournalError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _reading(lines: list[bytes], offset: int, *, skim: bool) -> Reading:
    records: list[Record] = []
    torn = superseded = 0
    end = b""  # the line before, going backwards, when it is an intact end
    for line in reversed(lines):
        if skim and end and _is_begin_of(line, end):
            superseded += 1
            end = b""
            continue
        record = _decoded(line[:9], line[9:-1])
        end = line if record is not None else b""
        if record is None:
            torn += line != b"\n"
        elif is_known(record):
            records.append(record)
    records.reverse()
    return Reading(records=records, offset=offset, torn=torn, superseded=superseded)


def is_known(record: Record) -> bool:
    """Whether this program knows the kind and version of a record; others are passed over."""
    return record.get("v") == VERSION and record.get("kind") in KINDS


def _is_begin_of(line: bytes, end: bytes) -> bool:
    """Whether a line is the intact `begin` of the same attempt and case that `end` ends.

    Both name them in the same bytes, as the worker writes them; nothing is parsed for it.
    """
    if line[9:25] != b'{"kind":"begin",' or end[9:23] != b'{"kind":"end",':
        return False
    common = line[25 : line.rfind(b'"started":')]
    names_both = b'"case_id":' in common and end.startswith(common, 23)
    return names_both and _is_intact(line[:9], line[9:-1])


def journals_of_chunk(directory: Path, chunk: int) -> list[Path]:
    """The journals of all starts of one chunk, oldest restart first."""
    shard = directory / str(chunk // CHUNKS_PER_DIRECTORY)
    mine = [name for name in names(shard) if name.startswith(f"{chunk}.")]
    return [shard / name for name in sorted(mine, key=lambda name: int(name.split(".")[1]))]


def all_journals(root: Path) -> Iterator[str]:
    """Every journal below the sweep's `journal/`, relative to it, in a fixed order."""
    for submission in names(root):
        for shard in names(root / submission):
            for name in names(root / submission / shard):
                if name.endswith(".jsonl"):
                    yield f"{submission}/{shard}/{name}"


# --- records -----------------------------------------------------------------------------------


def attempt_of(record: Record) -> Attempt:
    """The attempt that a record speaks of."""
    generation, submission, restart, token = record["attempt"]
    return Attempt(generation=generation, submission=submission, restart=restart, token=token)


def attempt_json(attempt: Attempt) -> list[Any]:
    """The form of an attempt in records and in `metadata.json`."""
    return [attempt.generation, attempt.submission, attempt.restart, attempt.token]


def outcome_json(outcome: Outcome) -> Record:
    """The outcome's part of an `end` record: what is known, and nothing else."""
    fields = {
        "status": outcome.status.value,
        "reason": outcome.reason.value if outcome.reason else None,
        "metrics": outcome.metrics or None,
        "error": outcome.error,
        "started": outcome.started,
        "ended": outcome.ended,
        "wall_seconds": outcome.wall_seconds,
        "cpu_seconds": outcome.cpu_seconds,
        "max_rss_bytes": outcome.max_rss_bytes,
        "code_digest": outcome.code_digest,
        "run_dir": outcome.run_dir,
        "from_cache": outcome.from_cache or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def outcome_of(record: Record) -> Outcome:
    """The outcome in an `end` record; `begin` gives one that is running."""
    reason = record.get("reason")
    return Outcome(
        status=Status(record["status"]) if record["kind"] == "end" else Status.RUNNING,
        reason=Reason(reason) if reason else None,
        metrics=record.get("metrics") or {},
        error=record.get("error"),
        started=record.get("started"),
        ended=record.get("ended"),
        wall_seconds=record.get("wall_seconds"),
        cpu_seconds=record.get("cpu_seconds"),
        max_rss_bytes=record.get("max_rss_bytes"),
        code_digest=record.get("code_digest"),
        run_dir=record.get("run_dir"),
        from_cache=record.get("from_cache", False),
    )


# The greatest generation, submission and restart count of an attempt: the fields of a rank have six
# digits, and a seventh would sort before them. What would pass it is refused before it begins.
RANKED_MAX = 999_999


def rank(record: Record) -> str:
    """The merge order of `begin` and `end` records as one string: of two, the greater one wins.

    Higher generation; then complete; then the later attempt; then whose word it is; then the
    checksum, so that the order is total (DESIGN invariant 7). Fixed-width fields make the order
    of strings the order of the tuple, in SQL as in Python.
    """
    generation, attempt = _attempt_rank(*record["attempt"])
    if record["kind"] == "begin":
        complete, word = 0, 0
    else:
        complete = int(record["status"] == _COMPLETE)
        word = 1 + record.get("word", _WORKER)
    return f"{generation}.{complete}.{attempt}.{word}.{record['crc']}"


_COMPLETE, _WORKER = Status.COMPLETE.value, Word.WORKER.value


@lru_cache(maxsize=1024)  # most records of a journal are of one attempt
def _attempt_rank(generation: int, submission: int, restart: int, token: str) -> tuple[str, str]:
    # '-' sorts before every hex digit: an attempt that no task began is the earliest.
    return f"{generation:06d}", f"{submission:06d}.{restart:06d}.{token or '-':16.16}"
