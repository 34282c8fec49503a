"""Marks of values are equal where the values identify the same case."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from hpcsweep.tables.batches import TableBatch
from hpcsweep.tables.value_marks import marks_of


@pytest.mark.parametrize(
    ("values", "same"),
    [
        ([0.5, 0.5, 1.5], [0, 0, 2]),
        ([nan, float("nan"), 1.0], [0, 0, 2]),
        ([inf, -inf, inf], [0, 1, 0]),
        ([inf, -inf, nan, float("nan")], [0, 1, 2, 2]),
        ([0.0, -0.0, 1, 1.0, True, None], [0, 0, 2, 2, 4, 5]),
        ([[1], [1.0], [True], ["1"], [1.5], 1], [0, 0, 2, 3, 4, 5]),
        ([[0.0, {"a": [2.0]}], [-0.0, {"a": [2]}], [nan], [float("nan")]], [0, 0, 2, 2]),
        ([[2**53 + 1], [2.0**53], [2**53]], [0, 1, 1]),
    ],
)
def test_marks_are_equal_where_values_are(values: list[Any], same: list[int]) -> None:
    marks = marks_of(TableBatch(count=len(values), values={"x": values}), "x")
    assert [list(marks).index(mark) for mark in marks] == same
    assert len(set(marks)) == len(set(same))
