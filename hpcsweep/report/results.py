"""The page *Results*: metrics over params, of the complete cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hpcsweep.report.case_table import CaseColumn, CaseTable
from hpcsweep.report.source import ReportSource


def data(source: ReportSource) -> dict[str, Any]:
    """The columns that figures are drawn from, and the cases."""
    table = source.cases
    complete = table.complete
    return {
        "name": source.sweep.name,
        "cases": source.summary.n_cases,
        "columns": [_column(column, complete) for column in table.columns],
        **_cases(table, complete),
    }


def _cases(table: CaseTable, complete: npt.NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "index": table.indices[complete].tolist(),
        "run_dir": [table.run_dirs[at] for at in np.flatnonzero(complete)],
    }


def _column(column: CaseColumn, complete: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """A column with its values; numbers in 7 digits, those of params in all."""
    values = column.values[complete]
    made: dict[str, Any] = {"name": column.name, "role": column.role}
    if column.levels is not None:
        return made | {"levels": list(column.levels), "values": values.tolist()}
    exact = column.role == "param"
    return made | {"values": [_rounded(value, exact=exact) for value in values.tolist()]}


def _rounded(value: float, *, exact: bool) -> float | int | None:
    if value != value:  # noqa: PLR0124  # NaN
        return None
    rounded = value if exact else float(f"{value:.7g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded
