"""Skimming a journal leaves out what its records say twice, and nothing else."""

from __future__ import annotations

import json
import tempfile
from binascii import crc32
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hpcsweep.journal import VERSION, JournalChunk, encode, read
from hpcsweep.store import exact_json
from hpcsweep.store.journal_columns import JournalColumns, read_columns
from tests.support.journals import Record

TIME = "2026-01-01T00:00:00.000+00:00"
ATTEMPTS = [[0, 1, 0, "a" * 16], [0, 1, 1, "b" * 16]]


def record(kind: str, index: int, attempt: int) -> Record:
    """As a worker writes it."""
    common = {"kind": kind, "v": VERSION, "manifest": "f" * 16, "attempt": ATTEMPTS[attempt]}
    common |= {"chunk": 0, "index": index, "case_id": f"{index:016x}"}
    if kind == "begin":
        return common | {"started": TIME}
    return common | {"word": 2, "status": "complete", "host": '"started":'}


def line(payload: bytes) -> bytes:
    """A line with its checksum."""
    return b"%08x %s\n" % (crc32(payload), payload)


lines = st.one_of(
    st.builds(record, st.sampled_from(["begin", "end"]), st.integers(0, 12), st.integers(0, 1)),
    st.builds(lambda number: record("same", number, 0) | {"kind": "beat"}, st.just(0)),
).map(encode)
# Torn, empty, of a later format, in another order of keys, and cut off.
odd = st.sampled_from(
    [
        encode(record("end", 1, 0))[:-9] + b"\n",
        encode(record("begin", 1, 0))[:-9] + b"\n",
        encode(dict(reversed(record("begin", 1, 0).items()))),
        encode(record("end", 1, 0) | {"v": VERSION + 1}),
        b"\n",
        b"00000000 {}\n",
        # Of a wrong shape: a begin before it is not superseded.
        encode(record("end", 1, 0) | {"wall_seconds": "1"}),
        encode([1]),  # type: ignore[arg-type]
        # Texts that look like the start of a record.
        line(b'{"kind":"end","x":{"a":1,"index":1}}'),
        line(b'{"kind":"end","v":1,"index":' + encode(record("end", 3, 0))[9:-1] + b"}"),
        line(encode(record("end", 4, 0))[9:-2] + b'},{"kind":"end"}'),
        line(encode({"a": 1} | record("end", 5, 0))[9:-1]),
        line(encode(record("end", 6, 1))[9:-1].replace(b":", b": ")),
    ]
)
# What no task writes: fields that a record has twice, the last of which counts, and a comma behind
# the last field.
foreign = st.sampled_from(
    [
        line(encode(record("end", 2, 0))[9:-2] + b',"chunk":1}'),
        line(encode(record("end", 2, 0))[9:-2] + b',"kind":"begin"}'),
        line(encode(record("end", 2, 0))[9:-2] + b',"attempt":[]}'),
        line(encode(record("end", 2, 0))[9:].partition(b'"index":')[0] + b"}"),
    ]
)


def only(data: bytes, *, skim: bool) -> JournalChunk:
    """The one piece that is read of a small journal."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        found = list(read(Path(file.name), skim=skim))
    return found[0] if found else JournalChunk(records=[])


def columns_of(data: bytes) -> JournalColumns:
    """The one piece that is read of a small journal in columns."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        found = list(read_columns(Path(file.name)))
    return found[0] if found else JournalColumns([], None, 0)


def case_of(record: Record) -> tuple[str, ...]:
    """The attempt and the case that a record is about."""
    names = ("v", "manifest", "attempt", "chunk", "index", "case_id")
    return tuple(repr(record.get(name)) for name in names)


@given(st.lists(st.one_of(lines, lines, odd), max_size=12))
def test_a_begin_is_left_out_only_if_its_end_is_there(pieces: list[bytes]) -> None:
    whole, skimmed = (only(b"".join(pieces), skim=skim) for skim in (False, True))
    records = cast("list[Record]", whole.records)
    ends = {case_of(record) for record in records if record["kind"] == "end"}
    fewest = [one for one in records if one["kind"] != "begin" or case_of(one) not in ends]
    # A line that is not valid, or another order of keys, keeps begins, which does no harm.
    assert [one for one in skimmed.records if one in fewest] == fewest
    assert [one for one in records if one in skimmed.records] == skimmed.records
    assert len(skimmed.records) + skimmed.superseded == len(whole.records)
    assert (skimmed.torn, skimmed.offset) == (whole.torn, whole.offset)


def test_begins_of_several_cases_at_once() -> None:
    begins = [encode(record("begin", index, 0)) for index in range(3)]
    ends = [encode(record("end", index, 0)) for index in (1, 0)]
    found = only(b"".join([*begins, *ends]), skim=True)
    kept = [(r["kind"], r["index"]) for r in cast("list[dict[str, Any]]", found.records)]
    assert kept == [("begin", 2), ("end", 1), ("end", 0)]
    assert found.superseded == 2


def test_the_begin_of_a_torn_end_stays() -> None:
    begin, end = encode(record("begin", 1, 0)), encode(record("end", 1, 0))
    assert [r["kind"] for r in only(begin + end, skim=True).records] == ["end"]
    assert only(begin + end, skim=True).superseded == 1
    torn = end[:-4] + b"!" + end[-3:]
    assert [r["kind"] for r in only(begin + torn, skim=True).records] == ["begin"]
    assert [r["kind"] for r in only(begin + end[:-1], skim=True).records] == ["begin"]
    another = encode(record("end", 1, 1))
    assert [r["kind"] for r in only(begin + another, skim=True).records] == ["begin", "end"]
    longer = encode(record("end", 11, 0))
    assert [r["kind"] for r in only(begin + longer, skim=True).records] == ["begin", "end"]


def test_a_torn_begin_is_counted() -> None:
    begin, end = encode(record("begin", 1, 0)), encode(record("end", 1, 0))
    torn = begin[:30] + b"7" + begin[31:]
    assert torn != begin
    found = only(torn + end, skim=True)
    assert ([r["kind"] for r in found.records], found.torn) == (["end"], 1)


# A field twice, and a begin that its end supersedes; such a begin as the last line.
@example([line(encode(record("end", 2, 0))[9:-2] + b',"chunk":1}'), encode(record("begin", 2, 0))])
@example([encode(record("end", 0, 0)), encode(record("begin", 0, 0))])
@given(st.lists(st.one_of(lines, lines, lines, odd, foreign), max_size=12))
def test_columns_have_the_same_records(pieces: list[bytes]) -> None:
    skimmed, columns = only(b"".join(pieces), skim=True), columns_of(b"".join(pieces))
    found = [one for group in columns.groups for one in group.records]
    assert all(group.count == len(group.records) for group in columns.groups)
    by_line = [sorted(map(by_field, records)) for records in (skimmed.records, found)]
    assert by_line[0] == by_line[1]
    assert columns[2:] == (skimmed.offset, skimmed.torn, skimmed.superseded)
    last = only(b"".join(pieces), skim=False).records[-1:]
    assert by_field(columns.last or {}) == by_field(last[0] if last else {})


def test_a_comma_behind_the_last_common_field_is_no_record() -> None:
    """The text of the common fields and a brace: without its own fields `{}` would be one."""
    over = {"status": "failed", "ended": "2026-01-01T00:00:00.000+00:00"}
    case = {name: value for name, value in record("end", 1, 0).items() if name not in over}
    whole = {"kind": "end", **over, "time": over["ended"], **case}
    start, _, rest = encode(cast("Any", whole))[9:-1].partition(b'"index":')
    data = line(start + b'"index":' + rest) * 2 + line(start + b"}")
    assert only(data, skim=True).torn == 1
    columns = columns_of(data)
    assert (sum(group.count for group in columns.groups), columns.torn) == (2, 1)


def test_what_all_records_of_an_attempt_share_is_parsed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts: list[bytes] = []

    def loads(data: bytes) -> Any:
        texts.append(data)
        return json.loads(data)

    monkeypatch.setattr(exact_json, "loads", loads)
    (group,) = columns_of(b"".join(encode(record("end", at, 0)) for at in range(50))).groups
    assert group.count == 50
    assert len(texts) == 1
    assert b'"attempt"' not in texts[0]


def by_field(one: Any) -> str:
    """A record as a text that does not depend on the order of its fields."""
    return repr(sorted(one.items()))
