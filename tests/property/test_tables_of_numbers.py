"""Tables are the same whether numbers have columns of their own, or are in the JSON text alone."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpcsweep.indexset import IndexSet
from hpcsweep.store import SweepIndex, case_reader, number_columns, pages
from hpcsweep.store.column_kinds import Keys, parse_documents
from hpcsweep.store.number_columns import NumberColumns
from hpcsweep.tables.arrow import arrow_table
from hpcsweep.tables.batches import TableRows
from hpcsweep.tables.begun_rows import begun_batches
from hpcsweep.tables.columns import TableColumns, all_columns, named
from hpcsweep.tables.formats import csv_lines, jsonl_lines
from hpcsweep.tables.frames import data_frame
from tests.support.rows import MANIFEST, batch, case

INF, NAN = {"$float": "inf"}, {"$float": "nan"}
ints = st.sampled_from([0, 1, -7, 2**53 + 1, 2**63 - 1, -(2**63)])
floats = st.sampled_from([0.5, 1.0, -0.0, 5e-324, 1e16, -1e300])
others = st.sampled_from([None, True, "", "1", 2**63, 10**30, INF, NAN, [1], {}])
some = ints | floats | others
KEYS = [("a",), ("b",), ("c", "d"), ("c", "")]


def documents(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of the keys may be missing."""
    inner = st.fixed_dictionaries({}, optional={"d": values, "": ints})
    return st.fixed_dictionaries({}, optional={"a": values, "b": values, "c": inner})


def pairs(*found: dict[str, Any]) -> list[dict[str, Any]]:
    """Cases whose params are these, and their metrics."""
    return [{"params": one, "metrics": one} for one in found]


# Sweeps of numbers alone, and of all that JSON has.
cases = st.sampled_from([ints, floats, ints | floats, some]).flatmap(
    lambda values: st.lists(
        st.fixed_dictionaries({"params": documents(values), "metrics": documents(values)}),
        min_size=1,
        max_size=7,
    )
)


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("index") / "s.sqlite3"


# `old` are the rows whose numbers no column repeats, as those of an older version.
@settings(max_examples=settings().max_examples * 2 // 5)
@given(cases, st.sets(st.sampled_from(KEYS)), st.sets(st.integers(0, 6)), st.uuids())
@example(pairs({"a": 1}, {"a": 1.0}, {"a": -0.0}, {"a": 1}), KEYS, {3}, UUID(int=0))
@example(pairs({"a": 2**53 + 1}, {"a": 1}, {"a": 0.5}), KEYS, (), UUID(int=1))
@example(pairs({"a": 1, "b": 2}, {"a": 1, "b": NAN}, {"b": INF}), KEYS, (), UUID(int=2))
@example(pairs({"a": 1}, {"a": 1}, {"a": 1.0}, {"a": 1.0}), KEYS, (), UUID(int=4))
@example(pairs({"a": 1}, {"a": 1.5}, {"a": "x"}, {"a": True}), KEYS, (), UUID(int=3))
def test_formats_do_not_depend_on_number_columns(
    location: Path,
    found: list[dict[str, Any]],
    keys: Iterable[Keys],
    old: Collection[int],
    sweep: UUID,
) -> None:
    sweep_index = SweepIndex(location, str(sweep))
    sweep_index.create("s", MANIFEST)
    merge(sweep_index, found, keys, old)
    columns = all_columns(sweep_index.kinds())
    of_metrics = named(columns, list(columns.metrics.values()))
    for table, within in ((columns, None), (of_metrics, IndexSet([(0, 2), (3, 9)]))):
        count = len(list(sweep_index.rows(within=within)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(case_reader, "PageSize", lambda *_: pages.PageSize(2))
            patch.setattr(pages.PageSize, "fit", lambda *_: None)
            made = list(tables(sweep_index, table, within, count))
            patch.setattr(SweepIndex, "number_columns", lambda _: {})
            wanted = list(tables(sweep_index, table, within, count))
        for one, other in zip(made, wanted, strict=True):
            if isinstance(one, pd.DataFrame):
                pd.testing.assert_frame_equal(one, other, check_exact=True)
            else:
                assert one == other


def merge(
    sweep_index: SweepIndex,
    found: list[dict[str, Any]],
    keys: Iterable[Keys],
    old: Collection[int],
) -> None:
    """Merge a case for each pair of documents; columns repeat numbers below these keys."""
    rows = [
        case(number, **{name: json.dumps(document) for name, document in of_case.items()})
        for number, of_case in enumerate(found)
    ]
    known: NumberColumns = {}
    for document in ("params", "metrics"):
        known = number_columns.extended(known, document, dict.fromkeys(keys, "float"))
    merged = batch(*rows, numbers=known)
    read = {name: parse_documents(merged.cases[name]) for name in ("params", "metrics")}
    for name, numbers in number_columns.split(known, read).items():
        merged.cases[name] = [None if at in old else of for at, of in enumerate(numbers)]
    sweep_index.merge(merged)


def tables(
    sweep_index: SweepIndex, columns: TableColumns, within: IndexSet | None, count: int
) -> Iterator[Any]:
    """The rows in each format."""
    make = partial(begun_batches, sweep_index, columns, within=within)

    def rows() -> TableRows:
        return TableRows(make, columns.names, count, partial(make, as_arrow=True))

    yield "".join(csv_lines(columns, rows()))
    yield "".join(jsonl_lines(columns, rows()))
    yield repr([sorted(row.items()) for row in rows()])
    table = arrow_table(columns, rows())
    yield table.schema, repr(table.to_pydict())
    yield data_frame(columns, rows())
