"""How often cases fail at each level of a parameter, with a Wilson interval. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpcsweep.report.levels import Levels

# The quantile of the normal distribution for an interval that holds 95 %.
_Z = 1.959963984540054


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureRate:
    """The cases at one level that ended, > 0."""

    level: int
    failed: int
    ended: int
    rate: float
    low: float
    high: float


def failure_rates(levels: Levels, is_failed: npt.NDArray[np.bool_]) -> list[FailureRate]:
    """The rate at each level that has a case; `is_failed` is that of each case that ended."""
    failed = np.bincount(levels.codes[is_failed], minlength=levels.count).tolist()
    ended = np.bincount(levels.codes, minlength=levels.count).tolist()
    rates = []
    for level, (count, of) in enumerate(zip(failed, ended, strict=True)):
        if of:
            low, high = wilson(count, of)
            rate = FailureRate(
                level=level, failed=count, ended=of, rate=count / of, low=low, high=high
            )
            rates.append(rate)
    return rates


def wilson(count: int, of: int) -> tuple[float, float]:
    """The interval of a rate that holds 95 % (Wilson, 1927); `of` > 0."""
    rate, square = count / of, _Z * _Z / of
    middle = (rate + square / 2) / (1 + square)
    half = _Z / (1 + square) * math.sqrt(rate * (1 - rate) / of + square / of / 4)
    return max(0.0, middle - half), min(1.0, middle + half)
