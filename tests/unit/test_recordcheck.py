"""What a record must hold: the table, tried field by field."""

from __future__ import annotations

from binascii import crc32
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep import field_checks, recordcheck
from hpcsweep.journal import KINDS, encode, parse_line, read
from hpcsweep.recordcheck import VERSION, alike, record_problem
from tests.support.damage import odd_values, text_of

COMMON = {"v": VERSION, "manifest": "f" * 16, "attempt": [0, 1, 0, "a" * 16], "chunk": 0}
CASE = COMMON | {"index": 0, "case_id": "0" * 16}
TIME = "2026-01-01T00:00:00.000+00:00"
GOOD: dict[str, dict[str, Any]] = {
    "task": COMMON | {"kind": "task", "node": "n1", "job_id": "7", "time": TIME},
    "begin": CASE | {"kind": "begin", "started": TIME, "host": "n1"},
    "end": CASE
    | {
        "kind": "end",
        "word": 2,
        "status": "failed",
        "reason": "error",
        "ended": TIME,
        "metrics": {"y": [1, None]},
        "error": {"message": "no"},
        "wall_seconds": 1,
        "run_dir": "runs/log_x",
        "max_rss_bytes": 1,
        "from_cache": True,
    },
    "same": CASE | {"kind": "same"},
    "beat": COMMON | {"kind": "beat", "time": TIME},
    "end of a task": COMMON | {"kind": "end", "status": "complete", "reason": None, "time": TIME},
}
TYPES: dict[str, Any] = {
    "task": recordcheck.TaskRecord,
    "begin": recordcheck.BeginRecord,
    "end": recordcheck.EndRecord,
    "same": recordcheck.SameRecord,
    "beat": recordcheck.BeatRecord,
    "end of a task": recordcheck.TaskEndRecord,
}
# A record of GOOD, the changed fields, and the message.
WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "a short attempt": ("end", {"attempt": [0, 1]}, "its attempt is a list of 2, not generation"),
    "a token that is a path": ("end", {"attempt": [0, 1, 0, "../../x"]}, "its attempt"),
    "a large attempt": ("end", {"attempt": [0, 1, 10**6, "a"]}, "its attempt"),
    "a bool as a number": ("end", {"chunk": True}, "its chunk is True, not an integer"),
    "a huge chunk": ("end", {"chunk": 10**30}, "its chunk is an integer of 100 bits, not"),
    "an index beyond int64": ("begin", {"index": 2**63}, "its index is 9223372036854775808, not"),
    "a list as kind": ("end", {"kind": ["end"]}, "of the kind a list of 1, which this program"),
    "a newer kind": ("end", {"kind": "checkpoint"}, "of the kind 'checkpoint', which this program"),
    "a newer version": ("end", {"v": 2}, "it has the version 2, this program reads 1"),
    "a list as job id": ("task", {"job_id": ["7"]}, "its job_id is a list of 1, not a text"),
    "NUL": ("task", {"node": "n\0"}, "its node is 'n\\x00', not a text"),
    "half a surrogate pair": ("end", {"host": "\ud800"}, "its host is '\\ud800', not a text"),
    "a manifest that is a path": ("end", {"manifest": "../x"}, "its manifest is '../x', not 16"),
    "a place outside": ("end", {"run_dir": "../../etc"}, "its run_dir is '../../etc', not a place"),
    "an absolute place": ("end", {"run_dir": "/etc"}, "its run_dir is '/etc', not a place"),
    "an unknown status": ("end", {"status": "done"}, "its status is 'done', not one of complete,"),
    "a running end": ("end", {"status": "running"}, "its status is 'running', not one of"),
    "an unknown reason": ("end", {"reason": "moon"}, "its reason is 'moon', not one of"),
    "another word": ("end", {"word": 3}, "its word is 3, not an integer from 0 to 2"),
    "a date beyond range": ("end", {"ended": "99999-01-01T00:00:00"}, "its ended is '99999-01"),
    "a begin with an odd word": ("begin", {"word": {}}, "its word is an object of 0, not an"),
    "a begin for an odd reason": ("begin", {"reason": ["x"]}, "its reason is a list of 1, not one"),
    "no date": ("begin", {"started": 5}, "its started is 5, not a time"),
    "seconds as text": ("end", {"wall_seconds": "1"}, "its wall_seconds is '1', not a finite"),
    "an error whose message is none": ("end", {"error": {"message": 1}}, "its error is an object"),
    "metrics that are a list": ("end", {"metrics": [1]}, "its metrics is a list of 1, not an"),
    "NaN": ("end", {"metrics": {"y": float("nan")}}, "its metrics is an object of 1, not an"),
    "infinite seconds": ("end", {"cpu_seconds": float("inf")}, "its cpu_seconds is inf, not a"),
    "1e999": ("end", {"metrics": {"y": "@1e999@"}}, "its metrics is an object of 1, not an"),
    "5,000 levels": ("end", {"metrics": {"y": "@deep@"}}, "deep"),
    "5,000 digits": ("end", {"metrics": {"y": "@long@"}}, "it is not JSON that this program can"),
}


@pytest.mark.parametrize("which", GOOD)
def test_written_records_are_valid(which: str) -> None:
    assert record_problem(GOOD[which]) == ""
    assert {one["kind"] for one in GOOD.values()} == KINDS


@pytest.mark.parametrize("which", WRONG)
def test_mistakes_in_a_record_are_named(which: str) -> None:
    record, changed, said = WRONG[which]
    payload = text_of(GOOD[record] | changed)
    found = parse_line(b"%08x %s" % (crc32(payload), payload))
    assert isinstance(found, str)
    assert said in found


@pytest.mark.parametrize("which", GOOD)
def test_every_field_that_must_be_there(which: str) -> None:
    good = GOOD[which]
    for name in ("manifest", "attempt", "chunk", "case_id", "node", "status"):
        if name in good:
            without = {key: value for key, value in good.items() if key != name}
            assert record_problem(without) == f"it has no {name}"


@given(st.dictionaries(st.sampled_from([*GOOD["end"], "kind", "v"]), odd_values))
def test_the_check_accepts_any_value(changed: dict[str, Any]) -> None:
    assert isinstance(record_problem(GOOD["end"] | changed), str)


@pytest.mark.parametrize("which", WRONG)
def test_a_mistake_costs_its_own_line(which: str, tmp_path: Path) -> None:
    record, changed, _ = WRONG[which]
    payload = text_of(GOOD[record] | changed)
    good = [encode(value) for value in GOOD.values()]
    lines = [*good, b"%08x %s\n" % (crc32(payload), payload), *good]
    (tmp_path / "a").write_bytes(b"".join(lines))
    (reading,) = read(tmp_path / "a")
    kinds = [record["kind"] for record in GOOD.values()]
    assert ([record["kind"] for record in reading.records], reading.torn) == (kinds * 2, 1)


@given(st.lists(st.dictionaries(st.sampled_from([*GOOD["end"], "kind", "v"]), odd_values)))
def test_many_are_records_if_each_is(changed: list[dict[str, Any]]) -> None:
    records = [*GOOD.values(), *(GOOD["end"] | change for change in changed)]
    checksums = [f"{at:08x}" for at in range(len(records))]
    groups = alike(records, checksums, {})
    assert (groups is not None) == (not any(map(record_problem, records)))
    found = [record for group in groups or () for record in group.records]
    expected = [record | {"crc": crc} for record, crc in zip(records, checksums, strict=True)]
    assert groups is None or sorted(map(repr, found)) == sorted(map(repr, expected))


@given(st.lists(st.dictionaries(st.sampled_from([*GOOD["end"], "kind", "v"]), odd_values)))
def test_records_with_common_fields_are_those_that_have_them(changed: list[dict[str, Any]]) -> None:
    own = [{"index": 1, "case_id": "0" * 16, "status": "failed"} | change for change in changed]
    common = COMMON | {"kind": "end"}
    groups = alike(own, ["0" * 8] * len(own), common)
    if common.keys() & {name for document in own for name in document}:
        assert groups is None
        return
    whole = [common | document for document in own]
    assert (groups is not None) == (not any(map(record_problem, whole)))
    found = [record for group in groups or () for record in group.records]
    expected = [document | {"crc": "0" * 8} for document in whole]
    assert groups is None or sorted(map(repr, found)) == sorted(map(repr, expected))


@pytest.mark.parametrize("name", ["kind", "v", "manifest", "attempt", "chunk"])
def test_common_fields_are_checked(name: str) -> None:
    own = [{"index": at, "case_id": "0" * 16, "status": "failed"} for at in range(3)]
    common = COMMON | {"kind": "end"}
    assert alike(own, ["0" * 8] * 3, common) is not None
    assert alike(own, ["0" * 8] * 3, common | {name: [True]}) is None


FIELDS = [
    *(field_checks.TEXT, field_checks.HEX16, field_checks.MOMENT, field_checks.NUMBER),
    *(field_checks.NUMBERS, field_checks.TEXTS, field_checks.TRUTH, field_checks.INSIDE),
    *(field_checks.LIST, field_checks.OBJECT, field_checks.integer(0, 5), recordcheck.ATTEMPT),
    *(field_checks.one_of(["end", ""]), field_checks.by_name(field_checks.NUMBER)),
]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.words)
@given(values=st.lists(odd_values, min_size=1))
def test_a_check_of_many_is_one_of_each(field: field_checks.Field, values: list[Any]) -> None:
    valid = [value for value in values if field.holds(value)]
    assert field.all_hold(values) == (len(valid) == len(values))
    assert not valid or field.all_hold(valid)


@pytest.mark.parametrize("which", GOOD)
def test_a_type_asks_for_what_is_checked(which: str) -> None:
    good = GOOD[which]
    asked = {
        name
        for name in good
        if record_problem({key: value for key, value in good.items() if key != name})
    }
    assert TYPES[which].__required_keys__ == asked
