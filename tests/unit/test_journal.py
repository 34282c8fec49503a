"""The journal: one write for a record, one writer for a file, and readers that lose nothing."""

from __future__ import annotations

import errno
import fcntl
import os
from binascii import crc32
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep import journal, recordcheck
from hpcsweep.errors import JournalError
from hpcsweep.journal import (
    JournalChunk,
    JournalWriter,
    all_journals,
    attempt_json,
    attempt_of,
    decode,
    encode,
    journal_name,
    journals_of_chunk,
    outcome_json,
    outcome_of,
    read,
)
from hpcsweep.records import Attempt, Outcome, Reason, Status
from tests.support.journals import Record, write_journal

COMMON = {"manifest": "f" * 16, "attempt": [0, 1, 0, "a" * 16], "chunk": 0}


def beat(number: int, **more: Any) -> recordcheck.Record:
    """A beat with a number of its own."""
    return cast("recordcheck.Record", {"kind": "beat", "v": 1, "n": number} | COMMON | more)


def numbers(readings: Iterable[JournalChunk]) -> list[int]:
    records = cast("list[Record]", [record for reading in readings for record in reading.records])
    return [record["n"] for record in records]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What every os.write got, in order."""
    calls: list[bytes] = []
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        calls.append(bytes(data))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    return calls


# --- writing -------------------------------------------------------------------------------------


def test_a_record_is_one_write(tmp_path: Path, written: list[bytes]) -> None:
    records = [beat(1), beat(2, text="ä\n\u2028\0|"), beat(3, big="x" * 1_500_000)]
    write_journal(tmp_path / "a", *records)
    assert len(written) == len(records)
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in written)
    assert written[0] == b"%08x %s\n" % (crc32(written[0][9:-1]), written[0][9:-1])
    assert [r | {"crc": ""} for reading in read(tmp_path / "a") for r in reading.records] == [
        record | {"crc": ""} for record in records
    ]


def test_a_journal_has_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a"
    writer = JournalWriter(path)
    writer.append(beat(1))
    with pytest.raises(JournalError, match="File exists") as caught:
        JournalWriter(path)
    assert str(path) in str(caught.value)
    writer.close()
    assert numbers(read(path)) == [1]


def test_records_go_to_the_end(tmp_path: Path) -> None:
    """Also when something else, as a copy put back, made the file longer."""
    writer = JournalWriter(tmp_path / "a")
    writer.append(beat(1))
    with (tmp_path / "a").open("ab") as other:
        other.write(encode(beat(2)))
    writer.append(beat(3))
    writer.close()
    assert numbers(read(tmp_path / "a")) == [1, 2, 3]


def test_a_journal_is_private(tmp_path: Path) -> None:
    os.umask(os.umask(0))
    write_journal(tmp_path / "new" / "a", beat(1))
    assert (tmp_path / "new" / "a").stat().st_mode & 0o077 == 0
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0


def test_the_next_record_after_a_short_write_begins_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path / "a")
    writer.append(beat(1))
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real(fd, data[: len(data) // 2]))
        with pytest.raises(JournalError) as caught:
            writer.append(beat(2))
        assert caught.value.transient  # only a full disk writes less than it was given
    writer.append(beat(3))
    writer.append(beat(4))
    writer.close()
    (reading,) = read(tmp_path / "a")
    assert (numbers([reading]), reading.torn) == ([1, 3, 4], 1)


@pytest.mark.parametrize(
    ("number", "transient"),
    [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EIO, False), (errno.ESTALE, False)],
)
def test_a_failed_write_is_a_hpcsweep_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, transient: bool
) -> None:
    def fail(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    writer = JournalWriter(tmp_path / "a")
    monkeypatch.setattr(os, "write", fail)
    monkeypatch.setattr(os, "fsync", fail)
    acts: list[Callable[[], None]] = [lambda: writer.append(beat(1)), writer.sync]
    for act in acts:
        with pytest.raises(JournalError, match=os.strerror(number)) as caught:
            act()
        assert caught.value.transient is transient
    assert list(read(tmp_path / "a")) == []


def test_nan_is_never_written(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "a")
    with pytest.raises(ValueError, match="not JSON compliant"):
        writer.append(beat(1, value=float("nan")))
    writer.close()
    assert (tmp_path / "a").read_bytes() == b""


def test_close_makes_it_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    writer = JournalWriter(tmp_path / "a")
    writer.append(beat(1))
    assert synced == []
    writer.close()
    assert len(synced) == 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        fcntl.fcntl(synced[0], fcntl.F_GETFL)


# --- reading -------------------------------------------------------------------------------------

DAMAGED = [
    b"00000000 {}",
    b"{}",
    b"",
    b"\0" * 40,
    b"zzzzzzzz " + encode(beat(1))[9:-1],
    b" " + encode(beat(1))[:-1],
    encode(beat(1))[:-2],
    encode(beat(1))[1:-1],
    encode(beat(1))[:-1] + b" ",
    encode(beat(1))[:-1].upper(),
    b"\xff\xfe" + encode(beat(1))[:-1],
]


@pytest.mark.parametrize("line", DAMAGED)
def test_a_damaged_line_is_skipped_and_counted(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(encode(beat(1)) + line + b"\n" + encode(beat(2)))
    (reading,) = read(path)
    assert numbers([reading]) == [1, 2]
    assert reading.torn == (1 if line else 0)  # an empty line follows a short write
    assert reading.offset == path.stat().st_size


@given(st.binary())
def test_a_reader_accepts_any_bytes(data: bytes) -> None:
    assert decode(data) is None


@given(st.integers(0), st.integers(1, 255))
def test_a_changed_byte_is_seen(position: int, change: int) -> None:
    line = bytearray(encode(beat(7, x=[1.5, "ä"]))[:-1])
    line[position % len(line)] ^= change
    assert decode(bytes(line)) is None


def test_unknown_records_are_skipped_and_counted(tmp_path: Path) -> None:
    end = {"kind": "end", "v": 1, "n": 2, "status": "complete", "time": "2026-01-01"} | COMMON
    unknown = [beat(3) | {"v": 2}, beat(4) | {"kind": "checkpoint"}, {"n": 5}, {"v": 1, "n": 6}]
    write_journal(tmp_path / "a", beat(1), *unknown, end)
    (reading,) = read(tmp_path / "a")
    assert (numbers([reading]), reading.torn) == ([1, 2], 4)


def test_a_line_without_end_costs_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "LINE_MAX", 1000)
    path = tmp_path / "a"
    long = encode(beat(2, text="x" * 5000))
    path.write_bytes(encode(beat(1)) + long + encode(beat(3)) + long[:2000])
    monkeypatch.setattr(journal, "READ_AT_ONCE", 500)
    readings = list(read(path))
    assert (numbers(readings), sum(reading.torn for reading in readings)) == ([1, 3], 1)
    assert readings[-1].offset == path.stat().st_size - 2000
    assert max(len(line) for line, _ in journal.complete_lines(path)) <= 1000


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        with pytest.raises(JournalError, match="not a regular file"):
            list(read(tmp_path / name))


def test_only_new_bytes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    writer = JournalWriter(path)
    writer.append(beat(1))
    (first,) = read(path)
    # Nothing before the offset is looked at again.
    with path.open("r+b") as stream:
        stream.write(b"?" * first.offset)
    writer.append(beat(2))
    writer.append(beat(3))
    (second,) = read(path, first.offset)
    assert (numbers([second]), second.torn) == ([2, 3], 0)
    assert list(read(path, second.offset)) == []
    writer.close()


def test_an_unfinished_line_is_left_for_the_next_time(tmp_path: Path) -> None:
    path, line = tmp_path / "a", encode(beat(2))
    for cut in range(len(line)):
        path.write_bytes(encode(beat(1)) + line[:cut])
        (first,) = read(path)
        assert (numbers([first]), first.torn) == ([1], 0)
        assert first.offset == len(encode(beat(1)))
        path.write_bytes(encode(beat(1)) + line)
        assert numbers(read(path, first.offset)) == [2]


def test_a_line_that_is_finished_while_the_reader_is_busy(tmp_path: Path) -> None:
    path, line = tmp_path / "a", encode(beat(2))
    path.write_bytes(encode(beat(1)) + line[:20])
    readings = read(path)
    found = [next(readings)]
    with path.open("ab") as stream:
        stream.write(line[20:] + encode(beat(3)))
    found += readings
    found += read(path, found[-1].offset)
    assert numbers(found) == [1, 2, 3]
    assert sum(reading.torn for reading in found) == 0


def test_a_long_journal_is_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_journal(tmp_path / "a", *(beat(number) for number in range(2000)))
    monkeypatch.setattr(journal, "READ_AT_ONCE", 1000)
    sizes, last = [], 0
    found: list[int] = []
    for reading in read(tmp_path / "a"):
        sizes.append(reading.offset - last)
        last = reading.offset
        found += numbers([reading])
    assert found == list(range(2000))
    assert max(sizes) < 1000 + 100
    assert last == (tmp_path / "a").stat().st_size


def test_a_journal_that_is_not_there_has_no_records(tmp_path: Path) -> None:
    assert list(read(tmp_path / "a")) == []


def test_a_journal_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="cannot be read: Is a directory"):
        list(read(tmp_path))


# --- names ---------------------------------------------------------------------------------------


def test_journals_of_a_chunk_in_the_order_of_its_starts(tmp_path: Path) -> None:
    write_journal(tmp_path / "0" / "1.x.t.jsonl")  # not ours
    names = [journal_name(chunk, restart, "t") for chunk in (1, 10, 11) for restart in (0, 2, 10)]
    for name in reversed(names):
        write_journal(tmp_path / name)
    assert journals_of_chunk(tmp_path, 1) == [
        tmp_path / journal_name(1, restart, "t") for restart in (0, 2, 10)
    ]
    assert journals_of_chunk(tmp_path, 2) == []
    assert journals_of_chunk(tmp_path, 999_999) == []


def test_a_directory_holds_few_journals() -> None:
    shards = {journal_name(chunk, 0, "t").partition("/")[0] for chunk in range(10_000)}
    assert len(shards) == 20


def test_all_journals_and_nothing_else(tmp_path: Path) -> None:
    wanted = ["0001/0/0.0.a.jsonl", "0001/0/1.0.b.jsonl", "0001/commands/c.jsonl", "0002/1/d.jsonl"]
    foreign = ["0001/0/.0.0.a.jsonl.swp", "0001/0/notes.txt", os.fsdecode(b"0001/0/\xff.jsonl")]
    for name in (*wanted, *foreign):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert list(all_journals(tmp_path)) == wanted
    assert list(all_journals(tmp_path / "none")) == []


# --- what records hold ---------------------------------------------------------------------------


def test_an_attempt_goes_through_a_record() -> None:
    attempt = Attempt(generation=3, submission=2, restart=1, token="0123456789abcdef")
    assert attempt_of(attempt_json(attempt)) == attempt


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(status=Status.COMPLETE),
        Outcome(
            status=Status.FAILED,
            reason=Reason.SETUP,
            metrics={"a": None, "b": [1.0]},
            error={"type": "x"},
            started="s",
            ended="e",
            wall_seconds=0.0,
            cpu_seconds=0.5,
            max_rss_bytes=0,
            code_digest="d",
            run_dir="r",
        ),
    ],
)
def test_an_outcome_goes_through_a_record(outcome: Outcome) -> None:
    fields = outcome_json(outcome)
    assert None not in fields.values()
    assert outcome_of(fields) == outcome


@pytest.mark.parametrize(
    ("content", "expected"), [(b"", True), (b"x\n", False), (b"x\ny", True), (b"x\ny\n", False)]
)
def test_a_journal_that_a_full_disk_cut(tmp_path: Path, content: bytes, expected: bool) -> None:
    path = tmp_path / "j"
    path.write_bytes(content)
    assert journal.is_cut(path) is expected
