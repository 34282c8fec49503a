"""The page *Results*: metrics over params, of the complete cases."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from hpcsweep.report.case_table import CASES_MAX, CaseColumn, CaseTable
from hpcsweep.report.cubes import cubes
from hpcsweep.report.digits import digits_of, rounded
from hpcsweep.report.source import ReportSource

# Of more cases than `CASES_MAX`, so many are in the page one by one, evenly spaced.
SAMPLE = 2000
# Digits of the numbers of a column, beyond those that all of them share; values of a grid of at
# most so many are exact. One digit more of ten columns of 10,000 cases is 80 kB.
DIGITS = {"param": 5, "metric": 5, "used": 4}
GRID_MAX = 60
ROUNDING = (
    f"Numbers of more than {DIGITS['metric']} digits are rounded here, beyond the digits that a "
    "column has in common; the table of collect has all of them."
)
# Run directories above which `*` stands for their slugs and for what no other case id needs: they
# would be 0.45 MB for 10,000. And the hex digits of a case id that are there at least.
RUN_DIRS_MAX, ID_DIGITS = 2000, 8
# Numbers above this are not exact in JavaScript.
EXACT_MAX = 1 << 53


def data(source: ReportSource) -> dict[str, Any]:
    """The values of the complete cases; of very many those of a sample, and means in bins."""
    return results(source.cases, source.sweep.name, source.summary.n_cases)


def results(table: CaseTable, name: str, n_cases: int) -> dict[str, Any]:
    """See `data`; of a sweep with this name and so many cases. Pure."""
    complete = np.flatnonzero(table.complete)
    is_large = len(complete) > CASES_MAX
    chosen = (
        complete[np.linspace(0, len(complete) - 1, SAMPLE).astype(int)] if is_large else complete
    )
    columns = [column for column in table.columns if _is_of_use(column, complete)]
    shown = [_column(column, chosen) for column in columns]
    return {
        "name": name,
        "cases": n_cases,
        "complete": len(complete),
        "notes": list(_notes(table)),
        "rounding": ROUNDING if any(one["is_rounded"] for one in shown) else "",
        # Of each index what it is above the one before: 30 kB less for 10,000.
        "gaps": np.diff(table.indices[chosen], prepend=0).tolist(),
        "run_dir": _run_dirs(table, chosen),
        "columns": shown,
        "cubes": cubes(columns, complete) if is_large else None,
    }


def _is_of_use(column: CaseColumn, complete: npt.NDArray[np.intp]) -> bool:
    """Whether any complete case has a value; replicates only if there are several."""
    values = column.values[complete]
    if column.name == "replicate" and column.role == "param":
        return bool(values.any())
    return bool((values >= 0).any() if column.levels is not None else np.isfinite(values).any())


def _run_dirs(table: CaseTable, chosen: npt.NDArray[np.intp]) -> list[str]:
    """Their run directories, if any has one; of many shortened with `*`, as a shell takes it."""
    if not any(table.run_dirs):
        return []
    run_dirs = [table.run_dirs[at] for at in chosen]
    if len(run_dirs) <= RUN_DIRS_MAX:
        return run_dirs
    ids = {one.rpartition("-")[2] for one in run_dirs if "log_" in one}
    digits = ID_DIGITS
    while len({case_id[:digits] for case_id in ids}) < len(ids):
        digits += 1
    return [_short(one, digits) if "log_" in one else one for one in run_dirs]


def _short(run_dir: str, digits: int) -> str:
    case_id = run_dir.rpartition("-")[2]
    return f"{run_dir.rpartition('log_')[0]}log_*-{case_id[:digits]}*"


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
    made: dict[str, Any] = {"name": column.name, "role": column.role, "is_rounded": False}
    if column.levels is not None:
        return made | {"levels": list(column.levels), "values": values.tolist()}
    is_exact = column.role == "param" and len(np.unique(values)) <= GRID_MAX
    digits = None if is_exact else digits_of(values, DIGITS[column.role])
    numbers = [_json_number(value, digits) for value in values.tolist()]
    is_known = np.isfinite(values)
    differ = np.array(numbers, np.float64)[is_known] != values[is_known]
    return made | {"values": numbers, "is_rounded": column.role != "used" and bool(differ.any())}


def _json_number(value: float, digits: int | None) -> float | int | None:
    """A number for JSON, in so many digits or exact; None for NaN."""
    if not math.isfinite(value):
        return None
    number = rounded(value, digits)
    return int(number) if number.is_integer() and abs(number) < EXACT_MAX else number
