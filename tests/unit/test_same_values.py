"""Columns that were the same in all rows are read again only where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.indexset import IndexSet
from hpcsweep.store import SweepIndex, arrow_pages, case_reader, pages
from tests.support.rows import MANIFEST, batch, case

NAMES = ("host", "job_id", "error", "restart", "wall_seconds")
ROWS = 3  # of a page


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_reader, "PageSize", lambda *_: pages.PageSize(ROWS))
    monkeypatch.setattr(pages.PageSize, "fit", lambda *_: None)


@pytest.fixture
def selected(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The columns of each query, in order."""
    made: list[set[str]] = []
    original = arrow_pages.arrow_page

    def arrow_page(path: Path, query: Any) -> Any:
        made.append({column.name for column in query.selected_columns})
        return original(path, query)

    monkeypatch.setattr("hpcsweep.store.engine.arrow_page", arrow_page)
    return made


def index_of(path: Path, rows: Sequence[dict[str, Any]]) -> SweepIndex:
    """An index with these rows, each with some job of its own."""
    made = SweepIndex(path / "s.sqlite3", "k")
    made.create("s", MANIFEST)
    made.merge(batch(*(case(at, **{"job_id": f"{at}"} | row) for at, row in enumerate(rows))))
    return made


def assert_same(sweep_index: SweepIndex, within: IndexSet | None = None) -> None:
    """The pages have the values of Python's SQLite."""
    plain, arrow = (
        [
            row
            for page in read(NAMES, within=within)
            for row in zip(*(list(map(value_of, values)) for values in page.values()), strict=True)
        ]
        for read in (sweep_index.columns, sweep_index.arrow_columns)
    )
    assert repr(arrow) == repr(plain)


def value_of(value: Any) -> Any:
    return value.as_py() if hasattr(value, "as_py") else value


@pytest.mark.parametrize("within", [None, IndexSet([(1, 4), (5, 12)])])
def test_a_value_that_stays_is_read_once(
    tmp_path: Path, selected: list[set[str]], within: IndexSet | None
) -> None:
    sweep_index = index_of(tmp_path, [{"host": "n1", "restart": 2}] * 11)
    assert_same(sweep_index, within)
    assert {"host", "restart", "error"} <= selected[0]
    later = set.union(*selected[1:])
    assert "job_id" in later
    assert later.isdisjoint({"host", "restart", "error"})


def test_of_a_value_that_changes_one_page_is_read_twice(
    tmp_path: Path, selected: list[set[str]]
) -> None:
    hosts = ["a"] * 4 + ["b"] * 8
    sweep_index = index_of(tmp_path, [{"host": host} for host in hosts])
    assert_same(sweep_index)
    assert ["host" in names for names in selected[:-1]] == [True, False, True, True, True]
    assert not any("error" in names for names in selected[3:])


@pytest.mark.parametrize(
    "changed",
    [{"host": None}, {"host": "N1"}, {"host": "n1 "}, {"error": "{}"}, {"restart": 3}],
)
def test_a_last_row_that_differs(tmp_path: Path, changed: dict[str, Any]) -> None:
    same = {"host": "n1", "restart": 2}
    assert_same(index_of(tmp_path, [same] * 5 + [same | changed]))


@pytest.mark.parametrize("text", ["", "it's", '"', "é", "a\0b", "a\0c", "\n", "%s", ":x", "?", "1"])
def test_texts_that_stay(tmp_path: Path, text: str) -> None:
    assert_same(index_of(tmp_path, [{"host": text}] * 5))
    (tmp_path / "other").mkdir()
    changed = [{"host": text}] * 4 + [{"host": text[:2]}]
    assert_same(index_of(tmp_path / "other", changed))


def test_numbers_that_are_equal_and_differ(tmp_path: Path) -> None:
    numbers = {("metrics", ("e",)): "m1"}
    sweep_index = index_of(tmp_path, [{"metrics": '{"e": 1}'}] * 6)
    merged = batch(*(case(at, rank="1" + "9" * 50) for at in range(6)), numbers=numbers)
    merged.cases["m1"] = [1, 1, 1, 1.0, 1, -0.0]
    sweep_index.merge(merged)
    found = [
        value
        for page in sweep_index.arrow_columns((), numbers={"metrics": ["m1"]})
        for value in page["m1"].to_pylist()
    ]
    assert repr(found) == "[1, 1, 1, 1.0, 1.0, -0.0]"
