"""Arrow arrays are those that pyarrow makes, and need no pandas."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest

from hpcsweep.tables.arrow_arrays import arrow_array


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (pa.string(), ["a", "", "é€𝄞", None, "\0"]),
        (pa.string(), ("same",) * 20),
        (pa.string(), [None] * 9),
        (pa.string(), []),
        (pa.int64(), [0, -1, 2**63 - 1, -(2**63), None, 7, None, 8, 9]),
        (pa.int64(), tuple(range(17))),
        (pa.float64(), [0.1, -0.0, float("inf"), 5e-324, None]),
        (pa.float64(), [1, 2.5]),
        (pa.bool_(), [True, None, False] * 7),
        (pa.bool_(), [False]),
    ],
)
def test_an_array_is_the_one_that_pyarrow_makes(
    type_: pa.DataType, values: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = pa.array(values, type_)
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    made = arrow_array(values, type_)
    made.validate(full=True)
    assert (made.type, made.null_count) == (type_, wanted.null_count)
    assert list(map(repr, made.to_pylist())) == list(map(repr, wanted.to_pylist()))


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (pa.string(), [1]),
        (pa.int64(), [2**63]),
        (pa.int64(), ["1"]),
        (pa.float64(), ["x"]),
        (pa.bool_(), ["x"]),
        (pa.bool_(), [2]),
    ],
)
def test_what_pyarrow_refuses_is_refused(
    type_: pa.DataType, values: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Exception) as wanted:  # noqa: PT011  # whatever pyarrow raises
        pa.array(values, type_)
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    with pytest.raises(wanted.type):
        arrow_array(values, type_)


def test_a_parquet_file_is_written_without_pandas() -> None:
    """Even where it is installed: to import it takes as long as a third of a small `collect`."""
    program = (
        "import sys, tempfile; from pathlib import Path\n"
        "from hpcsweep.tables.arrow import write_parquet\n"
        "from hpcsweep.tables.columns import TableColumns\n"
        "kinds = {'a': 'int', 'b': 'str', 'c': 'bool', 'd': 'float', 'e': 'json'}\n"
        "columns = TableColumns(params={}, metrics={}, kinds=kinds, names=list(kinds))\n"
        "rows = [{'a': 1, 'b': 'x', 'c': True, 'd': 0.5, 'e': [1]}, {}]\n"
        "with tempfile.TemporaryDirectory() as root:\n"
        "    write_parquet(columns, rows, Path(root) / 'table.parquet')\n"
        "print('pandas' in sys.modules)\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout == b"False\n"
