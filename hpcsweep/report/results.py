"""The page *Results*: metrics over params, of the complete cases."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hpcsweep.report.case_table import CASES_MAX, CaseColumn, CaseTable
from hpcsweep.report.cubes import cubes
from hpcsweep.report.source import ReportSource

# Of more cases than `CASES_MAX`, so many are in the page one by one, evenly spaced.
SAMPLE = 2000
# Digits of numbers, unless they are values of a grid of at most so many: one more of ten columns
# of 10,000 cases is 50 kB.
DIGITS = {"param": 6, "metric": 6, "used": 4}
GRID_MAX = 60
# Numbers above this are not exact in JavaScript.
EXACT_MAX = 1 << 53


def data(source: ReportSource) -> dict[str, Any]:
    """The values of the complete cases; of very many those of a sample, and means in bins."""
    table = source.cases
    complete = np.flatnonzero(table.complete)
    is_large = len(complete) > CASES_MAX
    chosen = (
        complete[np.linspace(0, len(complete) - 1, SAMPLE).astype(int)] if is_large else complete
    )
    columns = [column for column in table.columns if _is_of_use(column, complete)]
    return {
        "name": source.sweep.name,
        "cases": source.summary.n_cases,
        "complete": len(complete),
        "notes": list(_notes(table)),
        "index": table.indices[chosen].tolist(),
        "run_dir": [table.run_dirs[at] for at in chosen] if table.run_dirs else [],
        "columns": [_column(column, chosen) for column in columns],
        "cubes": cubes(columns, complete) if is_large else None,
    }


def _is_of_use(column: CaseColumn, complete: npt.NDArray[np.intp]) -> bool:
    """Whether any complete case has a value; replicates only if there are several."""
    values = column.values[complete]
    if column.name == "replicate" and column.role == "param":
        return bool(values.any())
    return bool((values >= 0).any() if column.levels is not None else np.isfinite(values).any())


def _notes(table: CaseTable) -> Iterator[str]:
    """What is not in the figures."""
    for column in table.columns:
        if column.not_finite:
            yield (
                f"{column.name} is NaN or infinite in {column.not_finite} cases, "
                "which no figure shows."
            )
    if table.left_out:
        yield (
            f"Of more than {CASES_MAX} cases the figures have the first params and metrics; "
            f"left out: {', '.join(table.left_out)}."
        )


def _column(column: CaseColumn, chosen: npt.NDArray[np.intp]) -> dict[str, Any]:
    """A column with its values; numbers in as many digits as a figure can show."""
    values = column.values[chosen]
    made: dict[str, Any] = {"name": column.name, "role": column.role}
    if column.levels is not None:
        return made | {"levels": list(column.levels), "values": values.tolist()}
    is_exact = column.role == "param" and len(np.unique(values)) <= GRID_MAX
    digits = None if is_exact else DIGITS[column.role]
    return made | {"values": [json_number(value, digits) for value in values.tolist()]}


def json_number(value: float, digits: int | None) -> float | int | None:
    """A number for JSON, in so many digits or exact; None for NaN."""
    if not math.isfinite(value):
        return None
    rounded = value if digits is None else float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < EXACT_MAX else rounded
