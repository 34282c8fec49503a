"""Skimming a journal leaves out what its records say twice, and nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.journal import VERSION, JournalChunk, encode, read
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
    ]
)


def only(data: bytes, *, skim: bool) -> JournalChunk:
    """The one piece that is read of a small journal."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        found = list(read(Path(file.name), skim=skim))
    return found[0] if found else JournalChunk(records=[])


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
