"""exp, log and the normal quantile: within their stated errors, the same on floats and arrays."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

from hpcsweep.sources.numeric import elementary, vectors

RANDOM = random.Random(20)
WIDE = [RANDOM.uniform(-700, 700) for _ in range(3000)]
NARROW = [RANDOM.uniform(-1, 1) * 2.0 ** -RANDOM.uniform(0, 60) for _ in range(2000)]
POSITIVE = [
    *(math.ldexp(RANDOM.uniform(0.5, 1), RANDOM.randrange(-1020, 1020)) for _ in range(3000)),
    *(1 + x for x in NARROW if 1 + x not in (0, 1)),
    *(RANDOM.uniform(0.69, 1.42) for _ in range(2000)),
    2.0**-1022,
    1.0,
]
# k of all sizes, and from both ends.
DRAWS = [
    *(RANDOM.randrange(2**53) for _ in range(1500)),
    *(RANDOM.randrange(2 ** RANDOM.randrange(1, 53)) for _ in range(700)),
    *(2**53 - 1 - RANDOM.randrange(2 ** RANDOM.randrange(1, 53)) for _ in range(700)),
    0,
    2**53 - 1,
    2**52,
    2**52 - 1,
]


@pytest.fixture(autouse=True)
def many_digits() -> Iterator[None]:
    with mpmath.workprec(300):
        yield


def units(found: float, exact: Any) -> float:
    """The error in units of the last place."""
    if exact == 0:
        return 0.0 if found == 0 else math.inf
    return float(abs(mpmath.mpf(found) - exact) / mpmath.mpf(math.ulp(float(exact))))


def exact_number(value: Fraction) -> Any:
    return mpmath.mpf(value.numerator) / value.denominator


def middles(k: int) -> tuple[float, float]:
    return (2 * k + 1) * 2.0**-54, (2**54 - 2 * k - 1) * 2.0**-54


def test_exp() -> None:
    for x in WIDE + NARROW:
        assert units(elementary.exp_times(x, 0.5, 1), mpmath.exp(x)) < 1
        mantissa = RANDOM.uniform(0.5, 1)
        assert units(elementary.exp_times(x, mantissa, 0), mpmath.exp(x) * mantissa) < 1.6
    assert elementary.exp_times(0.0, 0.7, -3) == 0.7 * 2.0**-3


def test_exp_beyond_its_own_range() -> None:
    """Neither a factor nor a power in between needs to be a float."""
    assert elementary.exp_times(1400.0, 0.5, -2000) == pytest.approx(
        float(mpmath.exp(1400) * mpmath.mpf(2) ** -2001), rel=1e-14
    )
    assert elementary.exp_times(0.0, 0.5, -1073) == 5e-324
    assert elementary.exp_times(0.0, 0.5, 1024) == 2.0**1023


def test_log() -> None:
    for x in POSITIVE:
        assert units(elementary.log(x), mpmath.log(x)) < 2, x
    assert elementary.log(1.0) == 0


def test_log_of_exact_numbers_is_correctly_rounded() -> None:
    ratios = [
        Fraction(RANDOM.uniform(1, 1e300)) / Fraction(RANDOM.uniform(1e-300, 1)) for _ in range(200)
    ]
    for ratio in [*ratios, Fraction(1), Fraction(10), Fraction(11, 10), Fraction(2**53 + 1, 2**53)]:
        assert elementary.log_of(ratio) == float(mpmath.log(exact_number(ratio)))


def test_normal_quantile() -> None:
    for k in DRAWS:
        below, above = middles(k)
        found = elementary.normal_quantile(below, above)
        # One step of Newton's method is exact to twice the digits.
        tail = mpmath.mpf(2 * k + 1 if k < 2**52 else 2**54 - 2 * k - 1) / 2**54
        z = -mpmath.mpf(abs(found))
        z -= (mpmath.ncdf(z) - tail) / mpmath.npdf(z)
        assert units(found, z if k < 2**52 else -z) < 5, k


def test_normal_quantile_is_symmetric() -> None:
    for k in DRAWS:
        below, above = middles(k)
        assert elementary.normal_quantile(below, above) == -elementary.normal_quantile(above, below)


@pytest.mark.parametrize("tail", [1e-17, 1e-30, 1e-100, 1e-299])
def test_far_tails(tail: float) -> None:
    z = -mpmath.mpf(elementary.normal_quantile(1.0, tail))
    corrected = z - (mpmath.ncdf(z) - mpmath.mpf(tail)) / mpmath.npdf(z)
    assert units(float(-z), -corrected) < 5


@pytest.mark.parametrize(
    ("low", "high"),
    [(-1, 1), (5, None), (None, -8), (30, 31), (-40, -39), (None, None), (-8, 9), (3, 3.01)],
)
def test_normal_between(low: float | None, high: float | None) -> None:
    bounds = [None if bound is None else Fraction(bound) for bound in (low, high)]
    with mpmath.workprec(3000):
        below = mpmath.mpf(0) if bounds[0] is None else mpmath.ncdf(exact_number(bounds[0]))
        above = mpmath.mpf(0) if bounds[1] is None else mpmath.ncdf(-exact_number(bounds[1]))
        expected = (float(below), float(1 - below - above), float(above))
    assert elementary.normal_between(*bounds) == expected


def test_arrays_are_bit_identical() -> None:
    for x in (WIDE, NARROW, [0.0, -0.0]):
        for mantissa, exponent in ((0.5, 1), (0.7, -3), (0.9, -1000), (0.6, 900)):
            inside = [v for v in x if abs(v + exponent * math.log(2)) < 700]
            found = vectors.exp_times(np.array(inside), mantissa, exponent)
            assert found.tolist() == [elementary.exp_times(v, mantissa, exponent) for v in inside]
    assert vectors.log(np.array(POSITIVE)).tolist() == [*map(elementary.log, POSITIVE)]
    below, above = np.array([middles(k) for k in DRAWS]).T
    assert vectors.normal_quantile(below, above).tolist() == [
        elementary.normal_quantile(*middles(k)) for k in DRAWS
    ]
    tails = np.array([1e-17, 1e-200, 0.3])
    assert vectors.normal_quantile(tails, 1 - tails).tolist() == [
        elementary.normal_quantile(tail, 1 - tail) for tail in tails.tolist()
    ]


def test_powers_of_two() -> None:
    assert elementary.POWERS[0] == 5e-324
    assert elementary.POWERS[-elementary.LEAST_POWER] == 1
    assert elementary.POWERS[-1] == 2.0**1023
    assert len(elementary.POWERS) == 2098
