"""The share of a metric's variance that goes with one parameter alone. Pure.

It is the variance of the means at the parameter's values over the variance of all cases: the
correlation ratio (Pearson, 1905), the first-order index of Sobol' (1993) where parameters are
independent. Means of few cases differ by chance; what that adds on average is subtracted: epsilon
squared (Kelley, 1935), which Okada (2013) found the least biased of three such corrections.

On a grid the means at the values of one parameter are over the same values of all others, so only
replicates make them differ by chance; elsewhere all that differs within a level does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hpcsweep.report.levels import Codes, Param
from hpcsweep.state.executions import Floats

# Cases are a grid if so many of all combinations of the values are there.
GRID_SHARE = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Cases that have the combinations of the values of their parameters, all but a few."""

    # The number of the combination of each case.
    cells: Codes
    # How many of all combinations there are.
    present: int
    possible: int


def grid_of(params: Sequence[Param]) -> Grid | None:
    """The grid that the cases of a sample are; None if they are none."""
    n_cases = len(params[0].codes) if params else 0
    possible = math.prod(param.distinct for param in params)
    if not n_cases or possible * GRID_SHARE > n_cases:
        return None
    cells = np.zeros(n_cases, dtype=np.int64)
    for param in params:
        cells = cells * param.distinct + param.codes
    present, cells = np.unique(cells, return_inverse=True)
    if len(present) < GRID_SHARE * possible:
        return None
    return Grid(cells=cells, present=len(present), possible=possible)


def variance_share(codes: Codes, metric: Floats, grid: Grid | None) -> float | None:
    """The share of a parameter whose values, or ranges, have these numbers; within 0 and 1.

    None where it is not defined: the metric is the same everywhere, or too few cases tell chance
    from the parameter.
    """
    total = _squares(np.zeros(len(metric), dtype=np.int64), metric)
    levels = len(np.unique(codes))
    if total <= 0.0 or not math.isfinite(total):
        return None
    within = _squares(codes, metric)
    if grid is None:
        if len(metric) <= levels:
            return None
        by_chance = within / (len(metric) - levels)
    else:
        spare = len(metric) - len(np.unique(grid.cells))
        by_chance = _squares(grid.cells, metric) / spare if spare else 0.0
    return float(np.clip((total - within - (levels - 1) * by_chance) / total, 0.0, 1.0))


def _squares(codes: Codes, metric: Floats) -> float:
    """The sum of squares around the mean of each group; zero up to rounding is zero."""
    counts = np.maximum(np.bincount(codes), 1)
    means = np.bincount(codes, weights=metric) / counts
    rest = metric - means[codes]
    squares = float(rest @ rest)
    # The rounding error of the subtraction.
    noise = len(metric) * (np.finfo(float).eps * np.abs(metric).max(initial=0.0)) ** 2
    return squares if squares > 4 * noise else 0.0


def inseparable(codes: Sequence[Codes]) -> list[tuple[int, int]]:
    """The pairs of parameters, of which each has one value wherever the other one has one.

    `codes` are the levels of each. Parameters that always change together have one effect.
    """
    counts = [int(one.max(initial=0)) + 1 for one in codes]
    pairs = []
    for a, b in combinations(range(len(codes)), 2):
        if counts[a] != counts[b] or counts[a] < 2:
            continue
        met = np.bincount(codes[a] * counts[b] + codes[b], minlength=counts[a] * counts[b])
        if np.count_nonzero(met) == counts[a]:
            pairs.append((a, b))
    return pairs
