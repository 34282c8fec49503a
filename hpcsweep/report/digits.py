"""Digits of numbers in a page: those that all of them share tell nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def digits_of(values: npt.NDArray[Any], digits: int) -> int | None:
    """So many digits, and those that all values share; None for one value, which is exact."""
    finite = values[np.isfinite(values)].astype(np.float64)
    # Halves: the difference of two floats may be beyond floats.
    halves = finite / 2
    spread = np.ptp(halves) if len(halves) else 0.0
    if not spread:
        return None
    return digits + max(0, math.floor(math.log10(np.abs(halves).max() / spread)))


def rounded(value: float, digits: int | None) -> float:
    """A number in so many digits; None for all."""
    return value if digits is None else float(f"{value:.{digits}g}")
