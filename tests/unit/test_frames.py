"""A DataFrame made column by column is the one that pandas makes of the rows."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from hpcsweep.tables.columns import TableColumns
from hpcsweep.tables.frames import data_frame

KINDS = {"a": "int", "b": "float", "c": "bool", "d": "str", "e": "json", "f": "int", "g": "float"}
FULL: dict[str, Any] = {"a": 1, "b": 0.5, "c": True, "d": "é", "e": [1], "f": 2**62, "g": 3}


def reference(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """What pandas makes of rows, with ints and truth values that stay exact."""
    frame = pd.DataFrame.from_records(rows, columns=list(KINDS))
    for name, kind in KINDS.items():
        dtype = {"int": "Int64", "bool": "boolean"}.get(kind)
        if dtype and frame[name].isna().any():
            frame[name] = pd.Series([row.get(name) for row in rows], dtype=dtype)
    return frame


@pytest.mark.parametrize(
    "rows",
    [
        [FULL, FULL],
        [FULL, {}],
        [{}, FULL | {"e": "text", "g": 2.5}],
        [FULL | {"b": None, "e": None, "d": None}, {"a": 2}, FULL],
        # Selected rows of a column of floats may have ints alone: they stay exact.
        [FULL | {"g": 2**53 + 1}, FULL],
        [FULL | {"e": 10**30}, FULL | {"e": None}],
        [{"a": 1}, {"a": 2, "c": False}],
        [FULL] * 5001 + [{}],
    ],
)
def test_a_frame_is_that_of_its_rows(rows: list[dict[str, Any]]) -> None:
    columns = TableColumns(params={}, metrics={}, kinds=KINDS, names=list(KINDS))
    pd.testing.assert_frame_equal(data_frame(columns, rows), reference(rows), check_exact=True)
