"""The journal: what happened, in append-only files with one writer each.

A record is one line, `crc32 JSON\\n`, written by one write(2). Kinds:

    task    an array task started: where, which Slurm ids
    begin   a case was begun
    end     an attempt ended; without `index` it is the scheduler's word on a whole array task
    same    the case of this index was published under another index; nothing was run
    beat    the task lives

Every record says its kind, format version, sweep fingerprint (`manifest`), attempt and chunk, and
those about a case its index and case id: `recordcheck` has the table.
"""

from __future__ import annotations

import json
import os
import re
from binascii import crc32
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpcsweep import recordcheck
from hpcsweep.errors import JournalError
from hpcsweep.files import FULL, make_directory, names, open_file, open_regular
from hpcsweep.records import Attempt, Outcome, Reason, Status, Word

VERSION, KINDS, RANKED_MAX = recordcheck.VERSION, recordcheck.KINDS, recordcheck.RANKED_MAX
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
    """The object of a line without its newline, with its checksum as `crc`; None for a torn one."""
    found = _decoded(line[:9], line[9:])
    return None if isinstance(found, str) else found


def parse_line(line: bytes) -> Record | str:
    """The record of a line without its newline, or why there is none."""
    return _parse_line(line[:9], line[9:])


def _parse_line(head: bytes, payload: bytes) -> Record | str:
    found = _decoded(head, payload)
    return found if isinstance(found, str) else recordcheck.record_problem(found) or found


def _decoded(head: bytes, payload: bytes) -> Record | str:
    if not _is_intact(head, payload):
        return "it is damaged: its checksum is not that of its text"
    try:
        text = payload.decode()
        record, end = _parse(text)
    except ValueError as error:
        return f"it is not JSON that this program can read: {error}"
    except RecursionError:
        return "it is nested too deeply"
    if end != len(text) or type(record) is not dict:
        return "it is not one JSON object"
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
class JournalChunk:
    """The new records of one journal."""

    # In the order in which they were written.
    records: list[Record] = field(default_factory=list)
    # Byte offset of the first byte not yet read.
    offset: int = 0
    # Count of complete lines that were passed over.
    torn: int = 0
    # Count of `begin` records that were left out because their `end` is here.
    superseded: int = 0


# Bytes of a journal that are held in memory at once. Few: their records then stay in the
# processor's cache until they are rows, which takes a quarter off the time of an ingest.
READ_AT_ONCE = 1 << 16
# Bytes of a line. PostgreSQL's JSONB takes no more, and memory should not.
LINE_MAX = 1 << 28


def read(path: Path, offset: int = 0, *, skim: bool = False) -> Iterator[JournalChunk]:
    """The records from byte `offset` on, a bounded amount of bytes at a time.

    What is no record that this program can take in is passed over and counted: damaged, of a wrong
    shape, of a newer kind or version. A line without its newline may be in the middle of being
    written: it is left for the next time. To `skim` is to leave out each `begin` that is followed
    by its `end`, which says the same and more. *Raises* JournalError when the file cannot be read;
    a missing file has no records.
    """
    lines: list[bytes] = []
    size = 0
    for line, length in complete_lines(path, offset):
        lines.append(line)
        size += length
        if size >= READ_AT_ONCE:
            offset += size
            yield _reading(lines, offset, skim=skim)
            lines, size = [], 0
    if lines:
        yield _reading(lines, offset + size, skim=skim)


def complete_lines(path: Path, offset: int = 0) -> Iterator[tuple[bytes, int]]:
    """Each line that has its newline, and its count of bytes; of one above LINE_MAX the beginning.

    *Raises* JournalError as `read`.
    """
    try:
        with open_regular(path) as stream:
            stream.seek(offset)
            while line := stream.readline(LINE_MAX):
                size, end = len(line), line
                while len(end) == LINE_MAX and not end.endswith(b"\n"):
                    end = stream.readline(LINE_MAX)
                    size += len(end)
                # Then this is the end for now: the rest of the line may come while the caller is
                # busy, and would look like a line of its own.
                if not end.endswith(b"\n"):
                    return
                yield line, size
    except FileNotFoundError:
        return
    except OSError as error:
        raise JournalError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _reading(lines: list[bytes], offset: int, *, skim: bool) -> JournalChunk:
    records: list[Record] = []
    torn = superseded = 0
    end = b""  # the line before, going backwards, when it is a good end
    for line in reversed(lines):
        if skim and end and _is_begin_of(line, end):
            superseded += 1
            end = b""
            continue
        found = _parse_line(line[:9], line[9:-1])
        if isinstance(found, str):
            torn += line != b"\n"
            end = b""
        else:
            records.append(found)
            end = line
    records.reverse()
    return JournalChunk(records=records, offset=offset, torn=torn, superseded=superseded)


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
    mine = [match for match in map(_OF_TASK.fullmatch, names(shard)) if match]
    mine = [match for match in mine if match[1] == str(chunk)]
    return [shard / match[0] for match in sorted(mine, key=lambda match: int(match[2]))]


_OF_TASK = re.compile(r"([0-9]{1,10})\.([0-9]{1,6})\.[^.]+\.jsonl", re.ASCII)


def all_journals(root: Path) -> Iterator[str]:
    """Every journal below the sweep's `journal/`, relative to it, in a fixed order."""
    for submission in names(root):
        for shard in names(root / submission):
            for name in names(root / submission / shard):
                relative = f"{submission}/{shard}/{name}"
                if name.endswith(".jsonl") and relative.isascii():  # as ours are, and any store's
                    yield relative


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
        said = record.get("word")
        word = 1 + (_WORKER if said is None else said)
    return f"{generation}.{complete}.{attempt}.{word}.{record['crc']}"


_COMPLETE, _WORKER = Status.COMPLETE.value, Word.WORKER.value


@lru_cache(maxsize=1024)  # most records of a journal are of one attempt
def _attempt_rank(generation: int, submission: int, restart: int, token: str) -> tuple[str, str]:
    # '-' sorts before every hex digit: an attempt that no task began is the earliest.
    return f"{generation:06d}", f"{submission:06d}.{restart:06d}.{token or '-':16.16}"
