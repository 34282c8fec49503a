"""The order of rows, and the first of them: `--sort`, `--desc`, `--limit`."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, isnan, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.errors import InputError
from hpcsweep.settings import Settings
from hpcsweep.sources import manual
from hpcsweep.sweep import Sweep
from hpcsweep.tables import begun_rows, case_rows, selection, sorting
from hpcsweep.tables.collect import OpenSweep, opened
from hpcsweep.tables.request import table_request
from hpcsweep.tables.sorting import RowOrder
from tests.support.statements import statements
from tests.support.sweeps import MadeSweep

__all__ = ["statements"]

# Ties, missing values, a null, a key with mappings, two kinds, texts; case 3 fails.
PYTHON = """\
def run(x, name=None, log=None):
    if x == 3:
        raise ValueError("no good")
    more = {} if x == 5 else {"e": (x * 7) % 4 / 2, "n": {"deep": 10**18 + x % 3}}
    return {"t": "äbA"[x % 3], "mixed": x if x % 2 else "x", "ok": x % 2 == 0} | more
"""
BEGUN, CASES = 10, 13


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeSweep:
    """The last three cases are in a task that never started."""
    cases = [{"x": x, "name": None if x == 4 else f"{x % 5}"} for x in range(CASES)]
    made = MadeSweep(tmp_path_factory.mktemp("sorting"), manual(cases), python=PYTHON)
    made.plan(chunk_size=BEGUN)
    made.handed_in()
    made.run(0)
    return made


def indices(made: MadeSweep, **arguments: Any) -> list[int]:
    rows = Sweep(str(made.path)).query(columns=["index"], **arguments)
    return [row["index"] for row in rows]


@pytest.fixture(scope="module")
def opened_sweep(made: MadeSweep) -> Iterator[OpenSweep]:
    """Its index, opened once for the many requests of a test."""
    with opened(made.directory, None, Settings()) as sweep:
        yield sweep


def first(sweep: OpenSweep, where: str | None = None, **arguments: Any) -> list[int]:
    _, rows = sweep.table(table_request(where, columns=["index"], **arguments))
    return [row["index"] for row in rows]


def test_rows_in_the_order_of_a_metric(made: MadeSweep) -> None:
    """Ties in index order in both directions; what has no value is last in both."""
    # e is x * 7 % 4 / 2 of 0, 1, 2, 4, 6, 7, 8, 9: 0, 1.5, 1, 0, 1, 0.5, 0, 1.5
    without = [3, 5, 10, 11, 12]
    assert indices(made, sort="e") == [0, 4, 8, 7, 2, 6, 1, 9, *without]
    assert indices(made, sort="e", desc=True) == [1, 9, 2, 6, 7, 0, 4, 8, *without]
    assert indices(made, sort="e", limit=4) == [0, 4, 8, 7]
    assert indices(made, sort="e", desc=True, limit=1) == [1]
    assert indices(made, sort=["e"], where="x > 4 and e >= 0", limit=3) == [8, 7, 6]
    assert indices(made, sort="e", where="x > 99") == []


def test_rows_in_the_order_of_several_columns(made: MadeSweep) -> None:
    assert indices(made, sort=["t", "e"]) == [8, 2, 5, 4, 7, 1, 0, 6, 9, 3, 10, 11, 12]
    assert indices(made, sort=["ok", "x"], desc=True, limit=6) == [8, 6, 4, 2, 0, 9]
    assert indices(made, sort=["n.deep", "index"], desc=True, limit=3) == [8, 2, 7]


def test_cases_that_never_began_have_their_params(made: MadeSweep) -> None:
    assert indices(made, sort="x", desc=True, limit=4) == [12, 11, 10, 9]
    assert indices(made, sort=["name", "x"]) == [0, 5, 10, 1, 6, 11, 2, 7, 12, 3, 8, 9, 4]
    assert indices(made, sort="status", limit=2) == [0, 1]
    assert indices(made, sort="status", desc=True, limit=4) == [10, 11, 12, 3]


def test_whole_rows_come_in_order(made: MadeSweep) -> None:
    sweep = Sweep(str(made.path))
    by_index = {row["index"]: row for row in sweep.query()}
    rows = sweep.query(sort="e", desc=True)
    assert rows == [by_index[row["index"]] for row in rows]
    assert [row.get("name") for row in rows if row["index"] == 4] == [None]


def test_the_first_rows_are_those_of_all(opened_sweep: OpenSweep) -> None:
    """What narrows the search for the first rows changes none of them."""
    columns = ["index", "case_id", "x", "name", "e", "t", "ok", "n.deep", "host", "error", "reason"]
    for name in columns:
        for desc in (False, True):
            everything = first(opened_sweep, sort=[name], desc=desc)
            assert sorted(everything) == list(range(CASES))
            for limit in (1, 3, 8, 11, CASES, 99):
                assert (
                    first(opened_sweep, sort=[name], desc=desc, limit=limit) == everything[:limit]
                )


@pytest.mark.parametrize("where", ["x < 8", "index > 1 and x != 8", "e == None or e > 0", "stale"])
def test_the_first_rows_of_a_condition(opened_sweep: OpenSweep, where: str) -> None:
    for name in ("e", "x", "index", "host", "t", "stale"):
        for desc in (False, True):
            everything = first(opened_sweep, where, sort=[name], desc=desc)
            for limit in (1, 3, 6):
                found = first(opened_sweep, where, sort=[name], desc=desc, limit=limit)
                assert found == everything[:limit]


def test_attempts_in_order(made: MadeSweep, tmp_path: Path) -> None:
    copy = made.copy(tmp_path)
    copy.plan(generation=1, chunk_size=2)
    copy.handed_in(submission=2)
    copy.run(0, submission=2)
    sweep = Sweep(str(copy.path))
    columns = ["index", "attempt"]
    everything = sweep.query(attempts=True, sort=["submission", "x"], desc=True)
    assert [(row["index"], row["attempt"]) for row in everything[:4]] == [
        (1, 2),
        (0, 2),
        (9, 1),
        (8, 1),
    ]
    some = sweep.query(attempts=True, sort=["submission", "x"], desc=True, limit=2, columns=columns)
    assert some == [{"index": 1, "attempt": 2}, {"index": 0, "attempt": 2}]
    first = sweep.query(attempts=True, limit=3, columns=columns)
    assert [(row["index"], row["attempt"]) for row in first] == [(0, 1), (0, 2), (1, 1)]


def test_means_in_order(made: MadeSweep) -> None:
    rows = Sweep(str(made.path)).query(
        group_by="t", sort="e_mean", desc=True, limit=2, columns=["t"], notify=None
    )
    assert [row["t"] for row in rows] == ["ä", "b"]


# --- what has no order ---------------------------------------------------------------------------


def test_means_have_the_columns_of_means(made: MadeSweep) -> None:
    with pytest.raises(InputError, match="'x' is not a column"):
        Sweep(str(made.path)).query(sort="x", group_by="t", notify=None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sort": "mixed"}, "mixed has no order: its values are of several kinds"),
        ({"sort": ["x", "nosuch"]}, "'nosuch' is not a column"),
        ({"sort": "e", "attempts": True}, "'e' is not a column"),
        ({"desc": True}, "no column is named"),
        ({"limit": 0}, "0 is no count of rows"),
    ],
)
def test_what_has_no_order(made: MadeSweep, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        indices(made, **arguments)


# --- values of each kind -------------------------------------------------------------------------

VALUES = st.one_of(st.none(), st.integers(-2, 2), st.sampled_from([-0.0, 0.5, inf, -inf, nan]))


@given(st.lists(st.tuples(VALUES, VALUES), max_size=12), st.booleans())
def test_every_row_has_its_place(rows: list[tuple[Any, Any]], descending: bool) -> None:
    """Numbers, then NaN, then nothing; by the second column where the first is equal."""

    def rank(value: Any) -> tuple[int, float]:
        if value is None or isnan(value):
            return (2 if value is None else 1), 0
        return 0, -value if descending else value

    values = {"a": [a for a, _ in rows], "b": [b for _, b in rows]}
    expected = sorted(range(len(rows)), key=lambda at: (rank(rows[at][0]), rank(rows[at][1]), at))
    assert RowOrder(columns=("a", "b"), descending=descending).positions(values) == expected
    limited = RowOrder(columns=("a", "b"), descending=descending, limit=3)
    assert limited.positions(values) == expected[:3]


# --- what is read --------------------------------------------------------------------------------


def test_rows_in_several_batches(made: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Sweep(str(made.path)).query(sort="e")
    monkeypatch.setattr(sorting, "ROWS_AT_ONCE", 3)
    assert Sweep(str(made.path)).query(sort="e") == whole


def test_a_limit_stops_reading(
    made: MadeSweep, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a selection no more rows are read; with one a search may end after a page."""
    monkeypatch.setattr(selection, "ROWS_AT_ONCE", 4)
    indices(made)
    del statements[:]
    assert indices(made, limit=3) == [0, 1, 2]
    assert [text for text in statements if "UNION" in text][-1].count("cases.idx <") == 1
    del statements[:]
    assert indices(made, where="x != 1", limit=3) == [0, 2, 3]
    assert not any("+cases.sweep" in text for text in statements)
    assert indices(made, where="x != 1", limit=5) == [0, 2, 3, 4, 5]
    assert any("+cases.sweep" in text for text in statements)


def test_keys_alone_are_read_before_the_order_is_known(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[list[str], int]] = []
    original = begun_rows.begun_batches

    def begun_batches(index: Any, columns: Any, names: Any, within: Any, **how: Any) -> Any:
        for batch in original(index, columns, names, within, **how):
            read.append((sorted(names), batch.count))
            yield batch

    monkeypatch.setattr(case_rows, "begun_batches", begun_batches)
    indices(made, sort="e", limit=2)
    assert read == [(["e", "index"], 3), (["index"], 2)]
