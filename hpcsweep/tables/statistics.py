"""Statistics of groups of numbers, with numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class _Sorted:
    """Numbers sorted by group, and inside each group by size."""

    def __init__(self, group: npt.NDArray[np.int64], values: Floats, n_groups: int) -> None:
        order = np.lexsort((values, group))
        self.group = group[order]
        self.values = values[order]
        self.n = np.bincount(group, minlength=n_groups)
        self.n_groups = n_groups
        # The place of the first of each group.
        self._first = np.cumsum(self.n) - self.n

    def total(self, values: Floats) -> Floats:
        """The sum of each group."""
        sums = np.bincount(self.group, weights=values, minlength=self.n_groups)
        return sums.astype(np.float64)  # of no values they are ints

    def mean(self) -> Floats:
        mean = self.total(self.values) / self.n
        # A second pass: the first loses digits where the values are many or far from zero.
        rest = self.total(self.values - mean[self.group]) / self.n
        return np.where(np.isfinite(mean), mean + rest, mean)

    def sd(self) -> Floats:
        """Of a sample: divided by n - 1, and NaN of one value."""
        squares = self.total((self.values - self.mean()[self.group]) ** 2)
        variance: Floats = squares / np.where(self.n > 1, self.n - 1.0, np.nan)
        return np.sqrt(variance)

    def quantile(self, q: float) -> Floats:
        """Linear between the two values around it, as numpy and R do it."""
        if not self.values.size:
            return np.full(self.n_groups, np.nan)
        place = np.maximum(self.n - 1, 0) * q
        below = np.floor(place).astype(np.int64)
        last = self.values.size - 1
        low = self.values[np.minimum(self._first + below, last)]
        high = self.values[np.minimum(self._first + np.ceil(place).astype(np.int64), last)]
        between: Floats = np.where(low == high, low, low + (high - low) * (place - below))
        return between


_COMPUTED: dict[str, Callable[[_Sorted], Floats]] = {
    "mean": _Sorted.mean,
    "sd": _Sorted.sd,
    "median": lambda numbers: numbers.quantile(0.5),
    "q1": lambda numbers: numbers.quantile(0.25),
    "q3": lambda numbers: numbers.quantile(0.75),
    "min": lambda numbers: numbers.quantile(0.0),
    "max": lambda numbers: numbers.quantile(1.0),
}


def statistics_of(
    group: npt.NDArray[np.int64], values: Floats, n_groups: int, stats: Sequence[str]
) -> dict[str, list[Any]]:
    """Each statistic, of `shape.STATS`, of the values of each group; None where it has too few.

    `group` has the number of each value's group. Where a value is NaN, so is all but `n`.
    """
    numbers = _Sorted(group, values, n_groups)
    with_nan = numbers.total(np.isnan(numbers.values).astype(np.float64)) > 0
    made: dict[str, list[Any]] = {}
    with np.errstate(all="ignore"):  # groups without a value, and infinite ones
        for stat in stats:
            if stat == "n":
                made[stat] = numbers.n.tolist()
                continue
            computed = np.where(with_nan, np.nan, _COMPUTED[stat](numbers)).tolist()
            few = (numbers.n < (2 if stat == "sd" else 1)).tolist()
            made[stat] = [
                None if is_few else value for value, is_few in zip(computed, few, strict=True)
            ]
    return made
