"""Tables in batches have the values, and the text, that each row alone has."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from hpcsweep.store import SweepIndex
from hpcsweep.store.column_kinds import Kinds, learn, parse_documents, values_at
from hpcsweep.tables.arrow import arrow_table
from hpcsweep.tables.arrow_members import arrow_members
from hpcsweep.tables.batches import TableBatch, TableRows, batched_rows
from hpcsweep.tables.begun_rows import begun_batches, merged_batches
from hpcsweep.tables.column_names import flatten
from hpcsweep.tables.columns import TableColumns, all_columns
from hpcsweep.tables.formats import cell, csv_lines, jsonl_lines
from hpcsweep.tables.frames import data_frame
from tests.support.rows import MANIFEST, batch, case

numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**30, 0.0, -0.0, 1e16, 5e-324]),
    st.floats(allow_nan=False, allow_infinity=False),
)
scalars = st.one_of(
    st.none(), st.booleans(), numbers, st.sampled_from(["", "NaN", "é\0", "a,b", '"', "\n", "\r"])
)
names = st.sampled_from(["a", "b", "a.b", ""])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(names, inner, max_size=2)),
    max_leaves=4,
)
documents = st.lists(st.dictionaries(names, values, max_size=3), min_size=1, max_size=6)


def kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "json"
    return {type(None): "", float: "float", str: "str"}.get(type(value), "json")


def kinds_one_by_one(found: list[dict[str, Any]]) -> Kinds:
    """Each value joins what is known of its keys."""
    kinds: Kinds = {}
    for document in found:
        for keys, value in flatten(document).items():
            kind, known = kind_of(value), kinds.get(keys, "")
            if kind == "" or known in ("", kind):
                kinds[keys] = known or kind
            else:
                kinds[keys] = "float" if {kind, known} == {"int", "float"} else "json"
    return kinds


@given(documents, st.integers(0, 6))
def test_kinds_do_not_depend_on_batches(found: list[dict[str, Any]], cut: int) -> None:
    whole: Kinds = {}
    learn(whole, found)
    parts: Kinds = {}
    learn(parts, found[cut:])
    learn(parts, found[:cut])
    assert whole == parts == kinds_one_by_one(found)


@given(documents)
def test_values_of_a_batch_are_those_of_each_document(found: list[dict[str, Any]]) -> None:
    assert repr(parse_documents([json.dumps(one) for one in found])) == repr(found)
    for keys in kinds_one_by_one(found):
        values, nulls = values_at(found, keys)
        flat = [flatten(document) for document in found]
        assert repr(values) == repr([one.get(keys) for one in flat])
        assert nulls == [at for at, one in enumerate(flat) if keys in one and one[keys] is None]


@given(documents)
@example([{"%s": 1}, {"": "%"}, {}])
def test_text_of_a_batch_is_that_of_each_row(found: list[dict[str, Any]]) -> None:
    rows = [
        {".".join(keys): value for keys, value in flatten(document).items()} for document in found
    ]
    order = sorted({"no row has it", *(name for row in rows for name in row)})
    columns = TableColumns(params={}, metrics={}, kinds=dict.fromkeys(order, "json"), names=order)

    def stream() -> TableRows:
        return TableRows(lambda wanted: batched_rows(wanted, rows), order, len(rows))

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    lines = []
    for line in [order, *([cell(row.get(name)) for name in order] for row in rows)]:
        text.seek(0)
        text.truncate()
        writer.writerow(line)
        lines.append(text.getvalue().removesuffix("\r\n") + "\n")
    assert "".join(csv_lines(columns, stream())) == "".join(lines)
    objects = ({name: row[name] for name in order if name in row} for row in rows)
    assert list(jsonl_lines(columns, stream())) == [
        json.dumps(one, ensure_ascii=False) + "\n" for one in objects
    ]
    assert repr([sorted(row.items()) for row in stream()]) == repr(
        [sorted(row.items()) for row in rows]
    )


def test_pyarrow_decodes_members_of_one_kind_each() -> None:
    texts = ['{"a":1,"b":2.5,"c":{"d":"x"}}', '{"b":1,"a":null}', "{}"]
    members = {"a": ("a",), "b": ("b",), "c.d": ("c", "d")}
    arrays = arrow_members(texts, members, {"a": "int", "b": "float", "c.d": "str"})
    assert arrays is not None
    assert {name: array.to_pylist() for name, array in arrays.items()} == {
        "a": [1, None, None],
        "b": [2.5, 1.0, None],
        "c.d": ["x", None, None],
    }


finite = st.floats(allow_nan=False, allow_infinity=False)
# Each key has values of one kind, as nearly all params and metrics do.
regular = st.fixed_dictionaries(
    {},
    optional={
        "a": st.none() | st.integers(-(2**63), 2**63 - 1),
        "b": st.none() | finite | st.integers(-(2**60), 2**60),
        "c": st.none() | st.booleans(),
        "d": st.none() | st.sampled_from(["", "é\0", "1", "2020-01-01", '"', "\ud800"]),
        "e": st.none() | st.fixed_dictionaries({}, optional={"": finite, "a.b": st.integers(0, 9)}),
    },
)


@given(st.lists(regular, min_size=1, max_size=5) | documents)
@example([{"b": 0.5, "d": "x", "e": {"": 1.5}}, {"b": 1}, {"a": None, "e": {"": 2.5}}])
@example([{"b": 0.5, "e": {}}, {"b": {"$float": "nan"}}])
def test_members_that_pyarrow_decodes_are_those_of_python(found: list[dict[str, Any]]) -> None:
    texts = [json.dumps(document) for document in found]
    members = {".".join(keys) or "_": keys for keys in kinds_one_by_one(found)}
    kinds = {name: kinds_one_by_one(found)[keys] or "json" for name, keys in members.items()}
    arrays = arrow_members(texts, members, kinds)
    of_array = arrow_members(pa.array(texts), members, kinds)
    if arrays is None:
        assert of_array is None
        return
    assert of_array is not None
    assert {name: array.to_pylist() for name, array in of_array.items()} == {
        name: array.to_pylist() for name, array in arrays.items()
    }
    columns = TableColumns(params={}, metrics={}, kinds=kinds, names=list(kinds))

    def batches(wanted: Sequence[str]) -> Iterator[TableBatch]:
        parsed = parse_documents(texts)
        members_of = {name: values_at(parsed, members[name]) for name in wanted}
        yield TableBatch(
            count=len(texts),
            values={name: values for name, (values, _) in members_of.items()},
            nulls={name: nulls for name, (_, nulls) in members_of.items() if nulls},
        )

    def in_arrow(_: Sequence[str]) -> Iterator[TableBatch]:
        yield TableBatch(count=len(texts), values={**arrays})

    order = list(kinds)
    decoded = [TableRows(batches, order, len(texts), of) for of in (batches, in_arrow)]
    one, other = (arrow_table(columns, rows) for rows in decoded)
    assert (one.schema, repr(one.to_pydict())) == (other.schema, repr(other.to_pydict()))
    frame, other_frame = (data_frame(columns, rows) for rows in decoded)
    pd.testing.assert_frame_equal(frame, other_frame, check_exact=True)


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("index") / "s.sqlite3"


words = st.sampled_from(["", "é\0", "1", "a,b", "\n"])
outcomes = st.fixed_dictionaries(
    {"params": regular, "metrics": regular | st.dictionaries(names, values, max_size=3)},
    optional={
        "host": st.none() | words,
        "error": st.none() | st.builds(lambda text: json.dumps({"message": text}), words),
        "wall_seconds": st.none() | st.floats(allow_infinity=False),
        "max_rss_bytes": st.none() | st.integers(-(2**63), 2**63 - 1),
    },
)


@settings(max_examples=settings().max_examples * 2 // 5)
@given(st.lists(outcomes, min_size=1, max_size=5), st.uuids())
def test_tables_that_arrow_reads_are_those_of_python(
    location: Path, found: list[dict[str, Any]], sweep: UUID
) -> None:
    sweep_index = SweepIndex(location, str(sweep))
    sweep_index.create("s", MANIFEST)
    for outcome in found:
        outcome |= {name: json.dumps(outcome[name]) for name in ("params", "metrics")}
    # No table of Arrow has half of a character.
    assume("\\ud800" not in repr([outcome["metrics"] + outcome["params"] for outcome in found]))
    rows = [case(number, **outcome) for number, outcome in enumerate(found)]
    sweep_index.merge(batch(*rows))
    columns = all_columns(sweep_index.kinds())
    make, in_arrow = (
        partial(begun_batches, sweep_index, columns, within=None, as_arrow=as_arrow)
        for as_arrow in (False, True)
    )
    read = [TableRows(make, columns.names, len(found), of) for of in (make, in_arrow)]
    one, other = (arrow_table(columns, rows) for rows in read)
    assert (one.schema, repr(one.to_pydict())) == (other.schema, repr(other.to_pydict()))
    frame, other_frame = (data_frame(columns, rows) for rows in read)
    pd.testing.assert_frame_equal(frame, other_frame, check_exact=True)


@given(st.lists(st.sets(st.integers(0, 20), max_size=4), max_size=4), st.sets(st.integers(0, 20)))
def test_rows_of_two_kinds_are_merged_by_index(pages: list[set[int]], others: set[int]) -> None:
    begun = sorted({index for page in pages for index in page})

    def batches() -> Iterator[TableBatch]:
        for start in range(0, len(begun), 3):
            some = begun[start : start + 3]
            values: dict[str, Sequence[Any]] = {"index": some, "status": ["complete"] * len(some)}
            yield TableBatch(count=len(some), values=values)

    rows = ({"index": index, "status": "pending"} for index in sorted(others))
    merged = merged_batches(batches(), rows, ["index", "status"])
    assert [(row["index"], row["status"]) for batch in merged for row in batch.rows()] == [
        (index, "complete" if index in begun else "pending") for index in sorted({*begun, *others})
    ]
