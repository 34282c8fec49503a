"""Distributions that need exp, log or the normal quantile, from `numeric.elementary`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from hpcsweep.errors import SourceError
from hpcsweep.sources.distributions import Distribution, check_ascending, number
from hpcsweep.sources.keys import whole_number
from hpcsweep.sources.numeric import elementary
from hpcsweep.sources.numeric.philox import K_BITS

if TYPE_CHECKING:
    from hpcsweep.sources.numeric.vectors import Array

# Bound of |z|; the quantile of the largest k is 8.21.
_FARTHEST = 8.3
# exp(700) and exp(-700) are normal floats, with a margin for rounding.
_LARGEST_LOG = 700.0
# Windows of less probability than this are refused: their quantiles would be inexact.
_LEAST_PROBABILITY = 1e-290


@dataclass(frozen=True)
class Normal(Distribution):
    """A normal float: mean + std * z, where z is the normal quantile of u + 2**-54.

    Examples:
        >>> isinstance(hs.normal(0, 1), hs.Normal)
        True
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", number(self.mean, "normal.mean"))
        object.__setattr__(self, "std", _spread(self.std, "normal.std"))
        if not math.isfinite(abs(self.mean) + _FARTHEST * self.std):
            raise SourceError(
                f"mean {self.mean!r} and std {self.std!r} give values beyond the largest float",
                where="normal",
                next_step="Give a smaller mean or std.",
            )

    def at(self, k: int) -> float:
        return self.mean + self.std * elementary.normal_quantile(*_middle(k))

    def column(self, k: Array) -> Array:
        from hpcsweep.sources.numeric import vectors  # noqa: PLC0415  # numpy, for columns alone

        return vectors.normal(self.mean, self.std, k)


@dataclass(frozen=True)
class TruncatedNormal(Distribution):
    """A normal float truncated to `[low, high)`; a bound of None is infinite.

    Examples:
        >>> isinstance(hs.truncnormal(0, 1, -2, 2), hs.TruncatedNormal)
        True
    """

    mean: float
    std: float
    low: float | None = None
    high: float | None = None
    window: elementary.NormalProbabilities = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        where = "truncnormal"
        object.__setattr__(self, "mean", number(self.mean, f"{where}.mean"))
        object.__setattr__(self, "std", _spread(self.std, f"{where}.std"))
        bounds: list[Fraction | None] = []
        for name in ("low", "high"):
            bound = getattr(self, name)
            if bound is not None:
                object.__setattr__(self, name, bound := number(bound, f"{where}.{name}"))
                bound = (Fraction(bound) - Fraction(self.mean)) / Fraction(self.std)
            bounds.append(bound)
        if self.low is not None and self.high is not None:
            check_ascending(self.low, self.high, where)
        window = elementary.normal_between(*bounds)
        if window.between < _LEAST_PROBABILITY:
            raise SourceError(
                f"[{self.low!r}, {self.high!r}) has almost no probability with "
                f"mean {self.mean!r} and std {self.std!r}",
                where=where,
                next_step="Move the bounds towards the mean, or use uniform.",
            )
        object.__setattr__(self, "window", window)

    def at(self, k: int) -> float:
        below, above = _middle(k)
        z = elementary.normal_quantile(
            self.window.below + self.window.between * below,
            self.window.above + self.window.between * above,
        )
        value = self.mean + self.std * z
        if self.high is not None and value >= self.high:
            value = math.nextafter(self.high, -math.inf)
        return self.low if self.low is not None and value < self.low else value

    def column(self, k: Array) -> Array:
        from hpcsweep.sources.numeric import vectors  # noqa: PLC0415  # numpy, for columns alone

        return vectors.truncated_normal(self.mean, self.std, (self.low, self.high), self.window, k)


@dataclass(frozen=True)
class LogNormal(Distribution):
    """exp of a normal float; `mean` and `std` are those of the logarithm.

    Examples:
        >>> isinstance(hs.lognormal(0, 1), hs.LogNormal)
        True
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", number(self.mean, "lognormal.mean"))
        object.__setattr__(self, "std", _spread(self.std, "lognormal.std"))
        if abs(self.mean) + _FARTHEST * self.std > _LARGEST_LOG:
            raise SourceError(
                f"mean {self.mean!r} and std {self.std!r} give values outside the range of floats",
                where="lognormal",
                next_step="mean and std are those of the logarithm; give smaller ones.",
            )

    def at(self, k: int) -> float:
        z = elementary.normal_quantile(*_middle(k))
        return elementary.exp_times(self.mean + self.std * z, 0.5, 1)

    def column(self, k: Array) -> Array:
        from hpcsweep.sources.numeric import vectors  # noqa: PLC0415  # numpy, for columns alone

        return vectors.log_normal(self.mean, self.std, k)


@dataclass(frozen=True)
class LogUniform(Distribution):
    """A float in `[low, high)` whose logarithm is uniform: low * exp(u * log(high / low)).

    Its relative error is below (log(high / low) + 4) * 2**-53.

    Examples:
        >>> isinstance(hs.loguniform(1e-4, 1), hs.LogUniform)
        True
    """

    low: float
    high: float
    # log(high / low), correctly rounded.
    width: float = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = number(getattr(self, name), f"loguniform.{name}")
            _check_positive(value, f"loguniform.{name}")
            object.__setattr__(self, name, value)
        check_ascending(self.low, self.high, "loguniform")
        ratio = Fraction(self.high) / Fraction(self.low)
        object.__setattr__(self, "width", elementary.log_of(ratio))

    def at(self, k: int) -> float:
        value = elementary.exp_times(self.width * (k * 2.0**-K_BITS), *math.frexp(self.low))
        if value >= self.high:
            return math.nextafter(self.high, 0)
        return max(value, self.low)

    def column(self, k: Array) -> Array:
        from hpcsweep.sources.numeric import vectors  # noqa: PLC0415  # numpy, for columns alone

        return vectors.log_uniform(self.low, self.high, self.width, k)


@dataclass(frozen=True)
class LogUniformInt(Distribution):
    """An integer from `low` to `high`, both included: floor of loguniform(low, high + 1).

    The probability of i is log((i + 1) / i) / log((high + 1) / low), also at the ends.

    Examples:
        >>> isinstance(hs.loguniform_int(1, 1000), hs.LogUniformInt)
        True
    """

    low: int
    high: int
    width: float = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            value = whole_number(getattr(self, name), f"loguniform_int.{name}")
            _check_positive(value, f"loguniform_int.{name}")
            object.__setattr__(self, name, value)
        if self.low > self.high:
            raise SourceError(
                f"low {self.low} is above high {self.high}",
                where="loguniform_int",
                next_step="Give two integers in ascending order.",
            )
        if self.high >= 2**K_BITS:
            raise SourceError(
                f"high {self.high} is not below 2**{K_BITS}: most integers could never be drawn",
                where="loguniform_int",
                next_step="Give a smaller one, or use loguniform and round in the target.",
            )
        object.__setattr__(self, "width", elementary.log_of(Fraction(self.high + 1, self.low)))

    def at(self, k: int) -> int:
        value = elementary.exp_times(self.width * (k * 2.0**-K_BITS), *math.frexp(self.low))
        return max(self.low, min(int(value), self.high))

    def column(self, k: Array) -> Array:
        from hpcsweep.sources.numeric import vectors  # noqa: PLC0415  # numpy, for columns alone

        return vectors.log_uniform_int(self.low, self.high, self.width, k)


def normal(mean: float = 0.0, std: float = 1.0) -> Normal:
    """A normally distributed float.

    Examples:
        >>> type(hs.random({"a": hs.normal(0, 1)}, n_trials=1, seed=1)[0].params["a"])
        <class 'float'>
    """
    return Normal(mean, std)


def truncnormal(
    mean: float, std: float, low: float | None = None, high: float | None = None
) -> TruncatedNormal:
    """A normal float truncated to `[low, high)`; `mean` and `std` are those before truncation.

    Examples:
        >>> space = {"a": hs.truncnormal(0, 1, -2, 2)}
        >>> -2 <= hs.random(space, n_trials=1, seed=1)[0].params["a"] <= 2
        True
    """
    return TruncatedNormal(mean, std, low, high)


def lognormal(mean: float = 0.0, std: float = 1.0) -> LogNormal:
    """A float whose logarithm is normally distributed with this mean and std.

    Examples:
        >>> hs.random({"a": hs.lognormal(0, 1)}, n_trials=1, seed=1)[0].params["a"] > 0
        True
    """
    return LogNormal(mean, std)


def loguniform(low: float, high: float) -> LogUniform:
    """A float in `[low, high)` whose logarithm is uniformly distributed.

    Examples:
        >>> 1e-4 <= hs.random({"a": hs.loguniform(1e-4, 1)}, n_trials=1, seed=1)[0].params["a"] <= 1
        True
    """
    return LogUniform(low, high)


def loguniform_int(low: int, high: int) -> LogUniformInt:
    """An integer from `low` to `high`, both included: floor of loguniform(low, high + 1).

    Examples:
        >>> space = {"a": hs.loguniform_int(1, 1000)}
        >>> type(hs.random(space, n_trials=1, seed=1)[0].params["a"])
        <class 'int'>
    """
    return LogUniformInt(low, high)


def _middle(k: int) -> tuple[float, float]:
    """x = (k + 1/2) * 2**-53, and 1 - x; the smaller of the two is exact."""
    odd = 2 * k + 1
    return odd * 2.0**-54, (2**54 - odd) * 2.0**-54


def _spread(value: float, where: str) -> float:
    spread = number(value, where)
    _check_positive(spread, where)
    return spread


def _check_positive(value: float, where: str) -> None:
    if value <= 0:
        raise SourceError(
            f"{value!r} is not above 0", where=where, next_step="Give a number above 0."
        )
