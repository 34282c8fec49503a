"""Main effects: the mean of a metric at each level of a parameter, with a bootstrap interval. Pure.

The interval is the percentile interval of the bootstrap (Efron, 1979). A level of many cases is
resampled by `DRAWS` of them at a time, and the spread of these means is scaled to the count of
cases (the m out of n bootstrap, Bickel, Götze and van Zwet, 1997): so the time does not depend on
that count.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from hpcsweep.report.levels import Levels
from hpcsweep.state.executions import Floats

# Cases in a resample, at most; resamples; and the part of them that an interval holds.
DRAWS, RESAMPLES, COVERS = 200, 600, 0.95
_SEED = 1979


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelMean:
    """The cases at one level, >= 1."""

    level: int
    cases: int
    mean: float
    # None of a single case.
    low: float | None = None
    high: float | None = None


def main_effect(levels: Levels, metric: Floats) -> list[LevelMean]:
    """The mean at each level that has a case; `metric` is that of each case, finite.

    The same cases give the same intervals.
    """
    order = np.argsort(levels.codes, kind="stable")
    ends = np.cumsum(np.bincount(levels.codes, minlength=levels.count))
    pieces = np.split(metric[order], ends[:-1])
    return [_mean(level, values) for level, values in enumerate(pieces) if len(values)]


def _mean(level: int, values: Floats) -> LevelMean:
    unit = _unit(values)
    mean = float((values / unit).mean() * unit)
    if len(values) == 1:
        return LevelMean(level=level, cases=1, mean=mean)
    low, high = bootstrap_interval(values)
    return LevelMean(level=level, cases=len(values), mean=mean, low=low, high=high)


def bootstrap_interval(values: Floats) -> tuple[float, float]:
    """The interval of the mean of two values or more."""
    n, drawn = len(values), min(len(values), DRAWS)
    places = (_uniform()[:, :drawn] * n).astype(np.int64)
    unit = _unit(values)
    scaled = values / unit
    mean = scaled.mean()
    around = (scaled[places].mean(axis=1) - mean) * np.sqrt(drawn / n)
    low, high = np.quantile(around, [(1 - COVERS) / 2, (1 + COVERS) / 2])
    return float((mean + low) * unit), float((mean + high) * unit)


def _unit(values: Floats) -> float:
    """What values are divided by: the sum of the largest floats is infinite."""
    return float(np.abs(values).max()) or 1.0


@cache
def _uniform() -> Floats:
    """Numbers in [0, 1), the same for all levels: a row for each resample."""
    return np.random.default_rng(_SEED).random((RESAMPLES, DRAWS))
