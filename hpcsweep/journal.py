"""The journal: append-only files of records, each file with one writer.

A record is one line, `crc32 JSON\\n`, written by one write(2). Kinds:

    task    an array task started: host and Slurm ids
    begin   a case was begun
    end     an attempt ended; without `index`, the scheduler's verdict on a whole array task
    same    this index's case was published under another index; nothing was run
    beat    the heartbeat of a task

Every record has its kind, format version, sweep fingerprint (`manifest`), attempt and chunk; those
about a case also index and case id. `recordcheck` has their types and schemas.
"""

from __future__ import annotations

import json
import os
import re
import time
from binascii import crc32
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple, cast

from hpcsweep import recordcheck
from hpcsweep.errors import JournalError
from hpcsweep.files import FULL, make_directory, names, open_file, open_regular
from hpcsweep.recordcheck import (
    BeginRecord,
    CommonFields,
    EndRecord,
    ErrorFields,
    OutcomeFields,
    Record,
    TaskEndRecord,
)
from hpcsweep.records import Attempt, Outcome, Reason, Status, Word

VERSION, KINDS, RANKED_MAX = recordcheck.VERSION, recordcheck.KINDS, recordcheck.RANKED_MAX
# Chunks per directory of journals: a directory then has a few thousand entries at most, even if
# every task starts several times.
CHUNKS_PER_DIRECTORY = 500


def journal_name(chunk: int, restart: int, token: str) -> str:
    """The journal of a task start, relative to the submission's journal directory."""
    return f"{chunk // CHUNKS_PER_DIRECTORY}/{chunk}.{restart}.{token}.jsonl"


def encode(record: Mapping[str, Any]) -> bytes:
    """Encode one record as one line."""
    payload = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %s\n" % (crc32(payload), payload)


def decode(line: bytes) -> dict[str, Any] | None:
    """Decode a line without its newline; adds its checksum as `crc`. None for a torn line."""
    fields = _decode(line[:9], line[9:])
    return None if isinstance(fields, str) else fields


def parse_line(line: bytes) -> Record | str:
    """The record in a line without its newline, or why it is invalid."""
    return _parse_line(line[:9], line[9:])


def _parse_line(head: bytes, payload: bytes) -> Record | str:
    fields = _decode(head, payload)
    if isinstance(fields, str):
        return fields
    return recordcheck.record_problem(fields) or cast("Record", fields)


def _decode(head: bytes, payload: bytes) -> dict[str, Any] | str:
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


# Like json.loads, without detecting the encoding and skipping white space.
_parse = json.JSONDecoder().raw_decode


class JournalWriter:
    """The only writer of one journal file.

    *Raises* JournalError if the file exists or cannot be created. *Writes* `path`.
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
        """Append one record; it survives a kill of this process, but not yet a power failure.

        *Raises* JournalError; `transient` is set if the disk or quota is full.
        """
        line = encode(record)
        if self._torn:  # a full disk may have cut the last line: start a new one
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
        """Make all records durable and close the file."""
        self.sync()
        os.close(self._descriptor)

    def _unwritable(self, error: OSError) -> JournalError:
        problem = JournalError(f"cannot be written: {error.strerror}", where=str(self.path))
        problem.transient = error.errno in FULL
        return problem


class JournalChunk(NamedTuple):
    """New records of one journal."""

    # In the order of the file.
    records: list[Record]
    # Byte offset of the first unread byte.
    offset: int = 0
    # Count of skipped complete lines.
    torn: int = 0
    # Count of `begin` records that were omitted because their `end` is here.
    superseded: int = 0


# Bytes of a journal to process at once: the fixed cost of a block is then small, and its records
# stay in the processor's cache until they are rows.
READ_AT_ONCE = 1 << 18
# Size limit of a line; PostgreSQL's JSONB accepts no more.
LINE_MAX = 1 << 28


def _loads(data: bytes) -> Any:
    return json.loads(data.decode())


def read(path: Path, offset: int = 0, *, skim: bool = False) -> Iterator[JournalChunk]:
    """Read the records from byte `offset` on, in bounded blocks.

    Skips and counts lines that this program cannot use: damaged, invalid, or of a newer kind or
    version. An incomplete last line may still be being written: it is left for the next read.
    `skim` omits each `begin` whose `end` is in its block, since the `end` says the same and more.
    *Raises* JournalError if the file cannot be read; a missing file has no records.
    """
    for lines, end in blocks(path, offset):
        yield parse_block(lines, end, skim=skim)


def blocks(path: Path, offset: int) -> Iterator[tuple[list[bytes], int]]:
    """Complete lines without their newlines, in blocks, and the offset after each block."""
    try:
        with open_regular(path) as stream:
            stream.seek(offset)
            while data := stream.read(READ_AT_ONCE):
                begun = len(data) - data.rfind(b"\n") - 1
                if begun:
                    data += stream.readline(LINE_MAX - begun)
                end = data.rfind(b"\n") + 1
                if end:
                    offset += end
                    yield data[:end].split(b"\n")[:-1], offset
                if end < len(data):
                    break
            else:
                return
    except FileNotFoundError:
        return
    except OSError as error:
        raise JournalError(f"cannot be read: {error.strerror}", where=str(path)) from error
    # The end of the file, whose last line may be complete by now, or a very long line.
    for line, size in complete_lines(path, offset):
        offset += size
        yield [line.removesuffix(b"\n")], offset


def complete_lines(path: Path, offset: int = 0) -> Iterator[tuple[bytes, int]]:
    """Each complete line with its length in bytes; a line above LINE_MAX is truncated.

    *Raises* JournalError like `read`.
    """
    try:
        with open_regular(path) as stream:
            stream.seek(offset)
            while line := stream.readline(LINE_MAX):
                size, end = len(line), line
                while len(end) == LINE_MAX and not end.endswith(b"\n"):
                    end = stream.readline(LINE_MAX)
                    size += len(end)
                # Stop at the current end: the rest of the line may be appended while the caller
                # works, and would then look like a line of its own.
                if not end.endswith(b"\n"):
                    return
                yield line, size
    except FileNotFoundError:
        return
    except OSError as error:
        raise JournalError(f"cannot be read: {error.strerror}", where=str(path)) from error


def is_cut(path: Path) -> bool:
    """Whether a journal is empty or ends inside a record.

    A record is one write(2), which a kill does not cut; a full disk does. *Raises* JournalError.
    """
    try:
        with open_regular(path) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 1))
            return stream.read(1) != b"\n"
    except OSError as error:
        raise JournalError(f"cannot be read: {error.strerror}", where=str(path)) from error


def parse_block(lines: list[bytes], offset: int, *, skim: bool) -> JournalChunk:
    """The records in the lines of a block; `skim` as in `read`."""
    intact = intact_lines(lines, skim=skim)
    if intact is not None:
        payloads, checksums = intact
        documents = parse_together(payloads, _loads)
        if documents is not None and recordcheck.alike(documents, checksums, {}) is not None:
            for document, checksum in zip(documents, checksums):
                document["crc"] = checksum
            superseded = len(lines) - len(payloads)
            return JournalChunk(cast("list[Record]", documents), offset, superseded=superseded)
    return _parse_singly(lines, offset)


def intact_lines(lines: list[bytes], *, skim: bool) -> tuple[list[bytes], list[str]] | None:
    """The payloads and checksums of lines; None if one does not have the checksum of its text.

    `skim` as in `read`.
    """
    payloads = [line[9:] for line in lines]
    heads = b"".join([crc32(payload).to_bytes(4, "big") for payload in payloads]).hex(" ", 4)
    if b"".join([line[:9] for line in lines]) != f"{heads} ".encode():
        return None
    checksums = heads.split(" ")
    if skim:
        kept = _are_not_superseded(payloads)
        return list(compress(payloads, kept)), list(compress(checksums, kept))
    return payloads, checksums


def parse_together(
    texts: list[bytes], loads: Callable[[bytes], Any]
) -> list[dict[str, Any]] | None:
    """The JSON object in each text; None if one has none. One call takes half the time of many.

    `loads` decodes JSON as `json.loads` does.
    """
    try:
        # No line with its checksum is JSON only together with the next: `encode` wrote it.
        documents = loads(b"[%s]" % b",".join(texts))
    except (ValueError, RecursionError):
        return None
    if len(documents) != len(texts) or not {dict}.issuperset(map(type, documents)):
        return None
    return cast("list[dict[str, Any]]", documents)


def _parse_singly(lines: list[bytes], offset: int) -> JournalChunk:
    """The records in the valid ones of some lines."""
    parsed = [_parse_line(line[:9], line[9:]) for line in lines]
    records = [record for record in parsed if not isinstance(record, str)]
    empty = lines.count(b"")
    return JournalChunk(records, offset, torn=len(lines) - len(records) - empty)


_BEGIN, _END, _CASE_ID = b'{"kind":"begin",', b'{"kind":"end",', b'"case_id":"'


def _are_not_superseded(payloads: list[bytes]) -> list[bool]:
    """For each payload, whether it is no `begin` of an attempt and case that an `end` ends.

    Compares the bytes that the worker writes identically in both, up to the case id; parses
    nothing.
    """
    ends = {
        payload[len(_END) : payload.find(_CASE_ID) + _TO_STARTED]
        for payload in payloads
        if payload.startswith(_END)
    }
    begin = len(_BEGIN)
    return [
        not payload.startswith(_BEGIN) or payload[begin : payload.rfind(b'"started":')] not in ends
        for payload in payloads
    ]


# From `"case_id":"` to what follows its 16 digits and `",`.
_TO_STARTED = len(_CASE_ID) + 18


def journals_of_chunk(directory: Path, chunk: int) -> list[Path]:
    """The journals of all starts of one chunk, oldest restart first."""
    shard = directory / str(chunk // CHUNKS_PER_DIRECTORY)
    matches = [match for match in map(_OF_TASK.fullmatch, names(shard)) if match]
    matches = [match for match in matches if match[1] == str(chunk)]
    return [shard / match[0] for match in sorted(matches, key=lambda match: int(match[2]))]


_OF_TASK = re.compile(r"([0-9]{1,10})\.([0-9]{1,6})\.[^.]+\.jsonl", re.ASCII)


def all_journals(
    root: Path,
    among: Callable[[str, Collection[str]], Iterable[str]] = lambda _, names: names,
) -> Iterator[str]:
    """Every journal, relative to the sweep's `journal/`, in the order of chunks.

    It is nearly that of indices: their rows are then written, and read again, one after the other.
    `among` returns those of the names in a directory that are wanted.
    """
    for submission in names(root):
        for shard in sorted(names(root / submission), key=_by_number):
            directory = f"{submission}/{shard}"
            for name in sorted(among(directory, names(root / directory)), key=_by_number):
                if name.endswith(".jsonl") and name.isascii():  # as all our names are
                    yield f"{directory}/{name}"


def _by_number(name: str) -> tuple[int, str]:
    """Sorts names that begin alike, and then with a number up to a dot, by that number."""
    return len(name.partition(".")[0]), name


# --- records -----------------------------------------------------------------------------------


def now() -> str:
    """The current time, UTC, as records and metadata hold it."""
    # Not by `datetime`, which no other part of a task's start needs (invariant 17).
    seconds, rest_ns = divmod(time.time_ns(), 10**9)
    day_and_time = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{day_and_time}.{rest_ns // 10**6:03d}+00:00"


def common_fields(manifest: str, attempt: Attempt, chunk: int) -> CommonFields:
    """What every record has, beside its kind."""
    return {
        "v": VERSION,
        "manifest": manifest,
        "attempt": attempt_json(attempt),
        "chunk": chunk,
    }


def task_end(
    common: CommonFields,
    word: Word,
    reason: Reason | None = None,
    *,
    time: str,
    error: dict[str, Any] | None = None,
) -> TaskEndRecord:
    """The end of a whole array task: why, or without a reason all cases of its chunk have ended."""
    why: ErrorFields = {} if error is None else {"error": error}
    return {
        "kind": "end",
        **common,
        "word": word.value,
        "status": (reason.status if reason else Status.COMPLETE).value,
        "reason": reason.value if reason else None,
        **why,
        "time": time,
    }


def attempt_of(value: Sequence[Any]) -> Attempt:
    """The attempt in a record or in `metadata.json`, from its JSON form."""
    generation, submission, restart, token = value
    return Attempt(generation=generation, submission=submission, restart=restart, token=token)


def attempt_json(attempt: Attempt) -> list[Any]:
    """The JSON form of an attempt in records and in `metadata.json`."""
    return [attempt.generation, attempt.submission, attempt.restart, attempt.token]


def outcome_json(outcome: Outcome) -> OutcomeFields:
    """The part of an `end` record that describes the outcome; without unknown fields."""
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
        "cgroup_peak_bytes": outcome.cgroup_peak_bytes,
        "code_digest": outcome.code_digest,
        "run_dir": outcome.run_dir,
        "inputs": outcome.inputs or None,
        "from_cache": outcome.from_cache or None,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return cast("OutcomeFields", given)


def outcome_of(fields: OutcomeFields) -> Outcome:
    """The outcome in the fields of an `end` record."""
    reason = fields.get("reason")
    return Outcome(
        status=Status(fields["status"]),
        reason=Reason(reason) if reason else None,
        metrics=fields.get("metrics") or {},
        error=fields.get("error"),
        started=fields.get("started"),
        ended=fields.get("ended"),
        wall_seconds=fields.get("wall_seconds"),
        cpu_seconds=fields.get("cpu_seconds"),
        max_rss_bytes=fields.get("max_rss_bytes"),
        cgroup_peak_bytes=fields.get("cgroup_peak_bytes"),
        code_digest=fields.get("code_digest"),
        run_dir=fields.get("run_dir"),
        inputs=fields.get("inputs"),
        from_cache=fields.get("from_cache", False),
    )


# --- the order of attempts (DESIGN invariant 7), as strings: the greater one wins ----------------
# The fields have fixed width, so that strings compare like the tuple, in SQL and in Python.


def rank(record: BeginRecord | EndRecord) -> str:
    """The merge order of `begin` and `end` records.

    Higher generation; then complete; then the later attempt; then the reporter (`Word`); then the
    checksum, to make the order total.
    """
    status = record["status"] if record["kind"] == "end" else None
    return f"{rank_stem(record['attempt'], status, record.get('word'))}.{record['crc']}"


def rank_stem(attempt: Sequence[Any], status: str | None, word: Any) -> str:
    """`rank` up to the checksum; `status` is None for a `begin` record."""
    complete = int(status == _COMPLETE)
    reporter = 0 if status is None else 1 + (_WORKER if word is None else word)
    return f"{attempt_rank(attempt, complete)}.{reporter}"


def attempt_rank(attempt: Sequence[Any], complete: int) -> str:
    """The order of attempts at one case: of two, the greater one owns the run directory."""
    generation, later = _fixed_width(*attempt)
    return f"{generation}.{complete:d}.{later}"


def start_rank(attempt: Attempt) -> str:
    """The order of the starts of one array task."""
    return f"{attempt.restart:06d}.{attempt.token}"


_COMPLETE, _WORKER = Status.COMPLETE.value, Word.WORKER.value
# SQL pattern of the ranks of ends that a worker reported when it was told to end.
RANKS_OF_TERMINATED = f"%.{1 + Word.TERMINATED}.{'_' * 8}"


@lru_cache(maxsize=1024)  # most records of a journal belong to one attempt
def _fixed_width(generation: int, submission: int, restart: int, token: str) -> tuple[str, str]:
    # '-' sorts before every hex digit: an attempt that no task began is the earliest.
    return f"{generation:06d}", f"{submission:06d}.{restart:06d}.{token or '-':16.16}"
