"""Columns of numbers repeat what the JSON of params and metrics says, and never anything else."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcsweep.ids import FLOAT
from hpcsweep.logbook.json_values import float_of
from hpcsweep.sources import grid
from hpcsweep.store import SweepIndex, schema
from hpcsweep.store.ingest import fresh_index
from hpcsweep.store.number_columns import NumberColumns
from hpcsweep.store.pending_batch import PendingBatch
from hpcsweep.store.record_rows import CASE_COLUMNS
from hpcsweep.store.upsert import CaseColumns, RowBatch
from hpcsweep.sweepdir.directory import INDEX_NAME
from tests.support.rows import MANIFEST, batch, better, case
from tests.support.sweeps import MadeSweep

KEY = "0123456789abcdef"

floats = st.floats(allow_nan=False, allow_infinity=False)
not_finite = st.sampled_from(("nan", "inf", "-inf")).map(lambda text: {FLOAT: text})
values = st.one_of(
    floats,
    st.sampled_from((1, 1.0, -0.0, 2**63 - 1, -(2**63), 2**63, 10**30)),
    st.integers(),
    not_finite,
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
)
names = st.sampled_from(("a", "b", 'c"', "d.e", "é"))
documents = st.dictionaries(names, values | st.dictionaries(names, values, max_size=2), max_size=4)
several = st.lists(documents, min_size=1, max_size=6)


@pytest.fixture
def sweep_index(tmp_path: Path) -> SweepIndex:
    """An index in a file."""
    return made_index(tmp_path / "store.sqlite3")


def made_index(path: Path) -> SweepIndex:
    path.unlink(missing_ok=True)
    found = SweepIndex(path, KEY)
    found.create("s", MANIFEST)
    return found


def completed(
    rows: Iterable[dict[str, Any]], numbers: NumberColumns, **fields: Any
) -> tuple[RowBatch, NumberColumns]:
    """A batch as an ingest makes it, and the columns of numbers after it."""
    found = batch(*rows, **fields)
    pending = PendingBatch(rows=found, numbers=numbers)
    for row in rows:
        columns: CaseColumns = {name: [row[name]] for name in CASE_COLUMNS}
        pending.add([int(row["case_id"], 16)], columns, [json.loads(row["metrics"])], None)
    found.cases = pending.columns
    found.digests = pending.digests()
    assert pending.numbers is not None
    found.numbers = pending.numbers
    return found, pending.numbers


def stored(sweep_index: SweepIndex) -> list[dict[str, Any]]:
    """All rows, with their columns of numbers."""
    with closing(sqlite3.connect(sweep_index.where)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM cases ORDER BY idx")]


def check(sweep_index: SweepIndex, older: Collection[str] = ()) -> None:
    """Each column has the number of its key, and null for all else.

    Also null in rows that are `older` than the column.
    """
    columns = sweep_index.number_columns()
    assert columns is not None
    for row in stored(sweep_index):
        expected: dict[str, Any] = {}
        for (document, keys), name in columns.items():
            value: Any = json.loads(row[document], object_hook=float_of)
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
            is_number = type(value) is float or (type(value) is int and -(2**63) <= value < 2**63)
            is_number = is_number and value == value  # noqa: PLR0124  # not NaN
            is_older = row["case_id"] in older and row[name] is None
            expected[name] = value if is_number and not is_older else None
        every = {name: row[name] for of in schema.NUMBERS.values() for name in of}
        assert repr({name: every[name] for name in expected}) == repr(expected)
        assert all(every[name] is None for name in every.keys() - expected.keys())


@given(first=several, second=several)
@settings(max_examples=60, deadline=None)
def test_a_column_has_exactly_the_numbers(
    tmp_path_factory: pytest.TempPathFactory, first: list[Any], second: list[Any]
) -> None:
    sweep_index = made_index(tmp_path_factory.getbasetemp() / "numbers.sqlite3")
    rows = [
        case(number, params=json.dumps({"x": number, "p": number / 2}), metrics=json.dumps(of))
        for number, of in enumerate(first)
    ]
    made, numbers = completed(rows, {}, is_first=True)
    assert sweep_index.merge(made)
    check(sweep_index)
    later = [
        better(rows[at], metrics=json.dumps(of))
        if at < len(rows)
        else case(at, metrics=json.dumps(of))
        for at, of in enumerate(second)
    ]
    made, _ = completed(later, numbers)
    assert sweep_index.merge(made)
    check(sweep_index, {row["case_id"] for row in rows[len(later) :]})


def test_a_better_record_without_a_number_clears_its_column(sweep_index: SweepIndex) -> None:
    row = case(1, metrics='{"energy":1.5}')
    made, numbers = completed([row], {})
    sweep_index.merge(made)
    assert stored(sweep_index)[0]["m1"] == 1.5
    made, _ = completed([better(row, metrics="{}")], numbers)
    sweep_index.merge(made)
    assert stored(sweep_index)[0]["m1"] is None
    check(sweep_index)


def test_two_processes_that_choose_columns_at_once(sweep_index: SweepIndex) -> None:
    """Those of the first one stay, and the other's numbers go there."""
    one, _ = completed([case(1, params="{}", metrics='{"energy":1.5}')], {})
    other, _ = completed([case(2, params="{}", metrics='{"area":2.5,"energy":3.5}')], {})
    assert (one.numbers, other.numbers) == (
        {("metrics", ("energy",)): "m1"},
        {("metrics", ("area",)): "m1", ("metrics", ("energy",)): "m2"},
    )
    assert sweep_index.merge(one)
    assert sweep_index.merge(other)
    assert sweep_index.merge(other)
    assert sweep_index.number_columns() == {
        ("metrics", ("energy",)): "m1",
        ("metrics", ("area",)): "m2",
    }
    assert [(row["m1"], row["m2"]) for row in stored(sweep_index)] == [(1.5, None), (3.5, 2.5)]
    check(sweep_index)


def test_two_processes_that_choose_too_many_columns(sweep_index: SweepIndex) -> None:
    """Where none is free, a key has none; no other key's numbers go there."""
    for first in (0, 4):
        metrics = {f"k{number}": number for number in range(first, first + 8)}
        made, _ = completed([case(first, params="{}", metrics=json.dumps(metrics))], {})
        assert sweep_index.merge(made)
    assert set(sweep_index.number_columns() or ()) == {("metrics", (f"k{n}",)) for n in range(8)}
    check(sweep_index)


def test_the_first_eight_keys_have_columns(sweep_index: SweepIndex) -> None:
    metrics = {f"k{number}": number for number in range(9)} | {"a": "text", "b": True}
    made, numbers = completed([case(1, metrics=json.dumps(metrics))], {})
    assert sorted(numbers.values()) == sorted(("p1", *schema.NUMBERS["metrics"]))
    assert ("metrics", ("k8",)) not in numbers
    assert sweep_index.merge(made)
    check(sweep_index)


def test_an_ingest_fills_them(tmp_path: Path) -> None:
    made = MadeSweep(
        tmp_path, grid(x=[0, 1.5]), python="def run(x): return {'y': x, 'of': {'z': -0.0}}\n"
    )
    made.plan(chunk_size=1)
    made.run(0)
    for task in (0, 1):
        made.run(task) if task else None
        with fresh_index(made.directory) as sweep_index:
            assert sweep_index.number_columns() == {
                ("params", ("x",)): "p1",
                ("metrics", ("of", "z")): "m1",
                ("metrics", ("y",)): "m2",
            }
            check(sweep_index)
    with closing(sqlite3.connect(made.path / INDEX_NAME)) as connection:
        found = connection.execute("SELECT p1, m1, m2 FROM cases ORDER BY idx").fetchall()
    assert repr(found) == "[(0, -0.0, 0), (1.5, -0.0, 1.5)]"


def test_a_rebuild_gives_no_column_to_another_key(sweep_index: SweepIndex) -> None:
    """A command that began to read before it would take its numbers for those of the old key."""
    made, _ = completed([case(1, params="{}", metrics='{"energy":1.5}')], {})
    sweep_index.merge(made)
    sweep_index.clear()
    made, _ = completed([case(1, params="{}", metrics='{"area":2.5,"energy":1.5}')], {})
    sweep_index.merge(made)
    assert [(row["m1"], row["m2"]) for row in stored(sweep_index)] == [(1.5, 2.5)]


def test_a_rebuild_keeps_columns_even_if_none_is_left(sweep_index: SweepIndex) -> None:
    metrics = {f"k{number}": number for number in range(8)}
    made, _ = completed([case(1, params="{}", metrics=json.dumps(metrics))], {})
    sweep_index.merge(made)
    before = sweep_index.number_columns()
    sweep_index.clear()
    made, _ = completed([case(1, params="{}", metrics='{"area":2.5,"k7":7}')], {})
    sweep_index.merge(made)
    assert sweep_index.number_columns() == before
    row = stored(sweep_index)[0]
    assert [row[f"m{number}"] for number in range(1, 9)] == [None] * 7 + [7]


def test_an_infinite_param_is_an_object(sweep_index: SweepIndex) -> None:
    rows = [case(1, params=json.dumps({"x": {FLOAT: "inf"}})), case(2, params='{"x":1.5}')]
    made, _ = completed(rows, {})
    sweep_index.merge(made)
    assert [row["p1"] for row in stored(sweep_index)] == [None, 1.5]


def test_a_case_that_ends_at_another_index_is_in_no_digest() -> None:
    pending = PendingBatch(rows=RowBatch(manifest=MANIFEST, is_first=True), numbers={})
    begun = case(1)
    for index, row in ((5, begun), (9000, better(begun, metrics='{"e":1.5}'))):
        columns: CaseColumns = {name: [row[name]] for name in CASE_COLUMNS}
        pending.add([index], columns, [json.loads(row["metrics"])], None)
    assert pending.digests() == {}
