"""Rows inserted into SQLite by their columns are the values that were given, and new ones alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from hpcsweep.store.constant_columns import is_constant
from hpcsweep.store.sqlite_rows import insert_new

VALUES = [
    "complete",
    "",
    "[]",
    '["it\'s"]',
    "a'); DROP TABLE t; --",
    "ü?",
    "line\nline",
    ":name",
    0,
    -1,
    2**63 - 1,
    -(2**63),
    0.0,
    -0.0,
    0.1,
    1.0,
    5e-324,
    8.41,
    math.inf,
    None,
]


def inserted(path: Path, columns: dict[str, list[Any]], times: int = 1) -> tuple[list[int], Any]:
    """The counts that inserts of the same rows returned, and the rows."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (key INTEGER PRIMARY KEY, of_any, word VARCHAR)")
        counts = [insert_new(connection, "t", columns) for _ in range(times)]
        rows = connection.exec_driver_sql("SELECT key, of_any, word FROM t ORDER BY key").all()
    engine.dispose()
    return counts, rows


@pytest.mark.parametrize("count", [1, 99, 100])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_that_all_rows_have_is_kept_exactly(tmp_path: Path, value: Any, count: int) -> None:
    columns: dict[str, list[Any]] = {"key": list(range(count)), "of_any": [value] * count}
    if isinstance(value, str):
        columns["word"] = [value] * count
    _, rows = inserted(tmp_path / "a", columns)
    expected = [(key, value, columns.get("word", [None] * count)[key]) for key in range(count)]
    assert list(map(repr, rows)) == list(map(repr, expected))


def test_rows_whose_keys_are_known_are_passed_over(tmp_path: Path) -> None:
    columns = {"key": list(range(150)), "of_any": [7] * 150}
    assert inserted(tmp_path / "a", columns, times=2)[0] == [150, 0]


def test_rows_that_are_all_the_same_are_one(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {"key": [5] * 150, "of_any": ["x"] * 150}
    assert inserted(tmp_path / "a", columns) == ([1], [(5, "x", None)])


@pytest.mark.parametrize(
    ("column", "is_one"),
    [
        ([1, 1, 1], True),
        ([1, 1.0, 1], False),
        ([True, 1, True], False),
        ([0, False, 0], False),
        ([0.0, -0.0, 0.0], False),
        ([-0.0, -0.0], True),
        ([None, None], True),
        ([None, 1, None], False),
        (["a", "b", "a"], False),
        (["", ""], True),
        ([math.nan, math.nan], False),
    ],
)
def test_equal_numbers_of_another_text_are_no_constant(column: list[Any], is_one: bool) -> None:
    assert is_constant(column) is is_one
