"""Means and counts of very many cases in bins: of each pair of columns, so that a page is small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from hpcsweep.report.case_table import CaseColumn
from hpcsweep.report.digits import digits_of, rounded

# Bins of a column with more values than that.
BINS = 32
# Digits of a mean, beyond those that all share: a figure shows no more.
DIGITS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Binned:
    """A column as positions in a short list of values."""

    name: str
    # Texts, numbers, or the middles of bins; and whether they are those.
    centres: list[Any]
    is_binned: bool
    # Of each case its position in `centres`; that of no value is their count. A byte each.
    codes: npt.NDArray[np.uint8]


def cubes(columns: Sequence[CaseColumn], complete: npt.NDArray[np.intp]) -> dict[str, Any]:
    """For each pair of params the means of all metrics; for each pair with a metric the counts."""
    params = [_binned(column, complete) for column in columns if column.role == "param"]
    metrics = [column for column in columns if column.role == "metric" and column.is_number]
    binned = [_binned(column, complete) for column in metrics]
    # A sweep of one param has means, too.
    pairs = list(combinations(params, 2)) or [(one, one) for one in params]
    means: list[dict[str, Any]] = [_counts(one, other) | {"mean": []} for one, other in pairs]
    for column in metrics:  # the outer loop: the values of one metric at a time are copied
        values = column.values[complete]
        for (one, other), made in zip(pairs, means, strict=True):
            made["mean"].append(_means(one, other, values))
    return {
        "axes": [
            {"name": one.name, "centres": one.centres, "is_binned": one.is_binned}
            for one in (*params, *binned)
        ],
        "means": means,
        "metrics": [column.name for column in metrics],
        "counts": [
            _counts(one, other)
            for one, other in [
                *((param, metric) for param in params for metric in binned),
                *combinations(binned, 2),
            ]
        ],
    }


def _binned(column: CaseColumn, complete: npt.NDArray[np.intp]) -> Binned:
    values = column.values[complete]
    if column.levels is not None:
        return _few_texts(column.name, column.levels, values)
    present = np.isfinite(values)
    different = _few_numbers(values[present])
    if different is not None:
        codes = np.searchsorted(different, values).astype(np.uint8)
        codes[~present] = len(different)
        return Binned(name=column.name, centres=different.tolist(), is_binned=False, codes=codes)
    low, high = float(values[present].min()), float(values[present].max())
    # Divided first: the range of floats may be beyond floats.
    width = high / BINS - low / BINS
    codes = np.full(len(values), BINS, np.uint8)
    codes[present] = np.clip(values[present] / width - low / width, 0, BINS - 1).astype(np.uint8)
    centres = [float(f"{low + (at + 0.5) * width:.7g}") for at in range(BINS)]
    return Binned(name=column.name, centres=centres, is_binned=True, codes=codes)


def _few_numbers(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """The different values, sorted; None of more than `BINS`."""
    # A look at some of them spares most columns the sort of all.
    if len(np.unique(values[:10_000])) > BINS:
        return None
    different = np.unique(values)
    return different if len(different) <= BINS else None


def _few_texts(name: str, levels: Sequence[str], values: npt.NDArray[Any]) -> Binned:
    """The first texts, and one for all others."""
    shown = list(levels[:BINS])
    if len(levels) > BINS:
        shown[-1] = f"{len(levels) - BINS + 1} others"
    codes = np.minimum(values, len(shown) - 1).astype(np.uint8)
    codes[values < 0] = len(shown)
    return Binned(name=name, centres=shown, is_binned=len(levels) > BINS, codes=codes)


def _means(one: Binned, other: Binned, values: npt.NDArray[np.float64]) -> list[float | None]:
    """The mean of a metric in each cell that has a case; None where none has a value."""
    cell, size = _cells(one, other)
    places = _places(one, other, np.bincount(cell, minlength=size))
    present = np.isfinite(values)
    number, total = (
        np.bincount(cell[present], weights, minlength=size)[places]
        for weights in (None, values[present])
    )
    mean = np.divide(total, number, out=np.full(len(places), np.nan), where=number > 0)
    digits = digits_of(mean, DIGITS)
    return [rounded(m, digits) if np.isfinite(m) else None for m in mean.tolist()]


def _counts(one: Binned, other: Binned) -> dict[str, Any]:
    """The place and count of each cell that has a case."""
    cell, size = _cells(one, other)
    count = np.bincount(cell, minlength=size)
    places, width = _places(one, other, count), len(other.centres) + 1
    return {
        "a": one.name,
        "b": other.name,
        "at_a": (places // width).tolist(),
        "at_b": (places % width).tolist(),
        "count": count[places].tolist(),
    }


def _cells(one: Binned, other: Binned) -> tuple[npt.NDArray[np.int16], int]:
    """The cell of each case, and the count of cells."""
    width = len(other.centres) + 1
    return one.codes.astype(np.int16) * width + other.codes, (len(one.centres) + 1) * width


def _places(one: Binned, other: Binned, count: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """The cells that have a case with both values."""
    places, width = np.flatnonzero(count), len(other.centres) + 1
    both = (places // width < len(one.centres)) & (places % width < len(other.centres))
    return places[both]
