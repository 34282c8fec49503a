"""Distributions over finitely many values, besides choice and randint."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.quantities import counted
from hpcsweep.sources.distributions import Distribution, check_ascending, checked_options, number
from hpcsweep.sources.keys import fresh
from hpcsweep.sources.numeric.philox import K_BITS
from hpcsweep.sources.ranges import LinearRange, exact_decimal

if TYPE_CHECKING:
    from hpcsweep.sources.numeric.vectors import Array


@dataclass(frozen=True)
class QUniform(Distribution):
    """One of low, low + step … as far as `high`, which may be one of them; decimal-exact.

    Each is the float next to what the decimals add up to.

    Examples:
        >>> isinstance(hs.quniform(0, 1, 0.25), hs.QUniform)
        True
    """

    low: float
    high: float
    step: float
    values: LinearRange = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            object.__setattr__(self, name, number(getattr(self, name), f"quniform.{name}"))
        check_ascending(self.low, self.high, "quniform")
        if self.step <= 0:
            raise SourceError(
                f"{self.step!r} is not above 0",
                where="quniform.step",
                next_step="Give the distance of two values.",
            )
        low, high, step = (exact_decimal(getattr(self, name)) for name in ("low", "high", "step"))
        count = (high - low) // step + 1
        if count > 2**K_BITS:
            raise SourceError(
                f"{count} values, most of which could never be drawn",
                where="quniform.step",
                next_step="Give a larger one.",
            )
        values = LinearRange(low, step, count, whole=False, where="quniform.step")
        object.__setattr__(self, "values", values)

    def at(self, k: int) -> float:
        value: float = self.values[k * len(self.values) >> K_BITS]
        return value

    def column(self, k: Array) -> Array:
        from hpcsweep.sources import columns  # noqa: PLC0415  # numpy, for columns alone
        from hpcsweep.sources.numeric import vectors  # noqa: PLC0415  # numpy, for columns alone

        return columns.axis_values(self.values, vectors.part(k, len(self.values)))


@dataclass(frozen=True)
class WeightedChoice(Distribution):
    """One of the options, each as probable as its share of the weights, exact to 2**-53.

    Examples:
        >>> isinstance(hs.weighted_choice(["a", "b"], [1, 3]), hs.WeightedChoice)
        True
    """

    options: Sequence[Any]
    weights: Sequence[float]
    # For each option the first k that is beyond it.
    ends: tuple[int, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        where = "weighted_choice"
        object.__setattr__(self, "options", checked_options(self.options, f"{where}.options"))
        weights = checked_options(self.weights, f"{where}.weights")
        if len(weights) != len(self.options):
            raise SourceError(
                f"{counted(len(weights), 'weight')} for {counted(len(self.options), 'option')}",
                where=where,
                next_step="Give each option its weight.",
            )
        exact = [_weight(weight, f"{where}.weights[{i}]") for i, weight in enumerate(weights)]
        total = sum(exact)
        # Rounded up: an option has all k for which k * 2**-53 is below its end.
        ends = tuple(-(-(end * 2**K_BITS) // total) for end in accumulate(exact))
        for i, (start, end) in enumerate(zip((0, *ends), ends)):
            if start == end:
                raise SourceError(
                    f"{weights[i]!r} is so small that the option could never be drawn",
                    where=f"{where}.weights[{i}]",
                    next_step="Give it more weight, or leave the option out.",
                )
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "ends", ends)

    def at(self, k: int) -> Any:
        return fresh(self.options[bisect_right(self.ends, k)])

    def column(self, k: Array) -> Array:
        from hpcsweep.sources import columns  # noqa: PLC0415  # numpy, for columns alone
        from hpcsweep.sources.numeric import vectors  # noqa: PLC0415  # numpy, for columns alone

        return columns.take_values(self.options, vectors.places(self.ends, k))


@dataclass(frozen=True)
class Constant(Distribution):
    """A constant.

    Examples:
        >>> isinstance(hs.constant(5), hs.Constant)
        True
    """

    value: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", ids.plain(self.value, "constant.value"))

    def __hash__(self) -> int:
        return hash(ids.canonical(self.value))

    def at(self, k: int) -> Any:  # noqa: ARG002  # whatever it is
        return fresh(self.value)

    def column(self, k: Array) -> Array:
        from hpcsweep.sources import columns  # noqa: PLC0415  # numpy, for columns alone

        return columns.repeat_value(self.value, len(k))


def quniform(low: float, high: float, step: float) -> QUniform:
    """A float of low, low + step, … up to `high`: `quniform(0, 1, 0.1)` has 11 values.

    Examples:
        >>> space = {"a": hs.quniform(0, 1, 0.25)}
        >>> hs.random(space, n_trials=1, seed=1)[0].params["a"] in (0.0, 0.25, 0.5, 0.75, 1.0)
        True
    """
    return QUniform(low, high, step)


def weighted_choice(options: Sequence[Any], weights: Sequence[float]) -> WeightedChoice:
    """One of the options, each with the probability of its share of the weights.

    Examples:
        >>> space = {"a": hs.weighted_choice(["x", "y"], [1, 3])}
        >>> hs.random(space, n_trials=1, seed=1)[0].params["a"] in ("x", "y")
        True
    """
    return WeightedChoice(options, weights)


def constant(value: Any) -> Constant:
    """The value itself, in a random space; a number or a text can stand there without it.

    Examples:
        >>> hs.random({"a": hs.constant(5)}, n_trials=1, seed=1)[0].params
        {'a': 5}
    """
    return Constant(value)


def _weight(value: Any, where: str) -> Fraction:
    weight = number(value, where)
    if weight <= 0:
        raise SourceError(
            f"{weight!r} is not above 0",
            where=where,
            next_step="Give a number above 0, or leave the option out.",
        )
    return Fraction(weight)
