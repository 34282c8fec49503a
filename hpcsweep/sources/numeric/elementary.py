"""exp, log and the normal quantile from + − × ÷ √ alone, in a fixed order of operations.

No function here calls a math library: the libraries of two machines differ in the last bit, and
every machine must repeat a draw (invariant 3). The tables are computed in exact integer arithmetic
on import. `vectors` has the same operations on arrays.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import accumulate, repeat
from operator import mul
from typing import NamedTuple

# --- fixed point: the integer n means n * 2**-bits, exact to about 2**-(bits - 10) ----------------

_BITS = 320


def _atanh(numerator: int, denominator: int, bits: int) -> int:
    """atanh(numerator / denominator) by its series, for a quotient well inside (-1, 1)."""
    power = (numerator << bits) // denominator
    square = power * power >> bits
    total, place = 0, 1
    while power not in (0, -1):
        total += power // place
        power = power * square >> bits
        place += 2
    return total


def _atan_inverse(number: int, bits: int) -> int:
    """atan(1 / number), number > 1."""
    power = (1 << bits) // number
    total, place, sign = 0, 1, 1
    while power:
        total += sign * (power // place)
        power //= number * number
        place += 2
        sign = -sign
    return total


def _exp(x: int, bits: int) -> int:
    """exp(x) for x >= 0, by the series at x / 2**halvings and repeated squaring."""
    halvings = max(0, x.bit_length() - bits + 8)
    inside = bits + 2 * halvings + 16
    small = (x << (inside - bits)) >> halvings
    term = total = 1 << inside
    place = 1
    while term:
        term = (term * small >> inside) // place
        total += term
        place += 1
    for _ in range(halvings):
        total = total * total >> inside
    return total >> (inside - bits)


_LN2 = 2 * _atanh(1, 3, _BITS)


def log_of(value: Fraction) -> float:
    """The natural logarithm of an exact number > 0, correctly rounded.

    Too slow for each draw; distributions compute their constants with it.
    """
    numerator, denominator = value.numerator, value.denominator
    exponent = numerator.bit_length() - denominator.bit_length()
    if exponent >= 0:
        denominator <<= exponent
    else:
        numerator <<= -exponent
    inner = 2 * _atanh(numerator - denominator, numerator + denominator, _BITS)
    return (inner + exponent * _LN2) / (1 << _BITS)


class NormalProbabilities(NamedTuple):
    """Probabilities of a standard normal number, each correctly rounded."""

    # Of a number below the first bound.
    below: float
    # Of a number between the bounds.
    between: float
    # Of a number above the second bound.
    above: float


def normal_between(low: Fraction | None, high: Fraction | None) -> NormalProbabilities:
    """The probabilities of a standard normal number below, between and above two bounds.

    A bound of None is infinite. Bounds beyond -40 and 40 count as these.
    """
    a, b = (None if x is None else max(Fraction(-40), min(x, Fraction(40))) for x in (low, high))
    # The tail beyond x exceeds 2**-(3 x**2 / 4 + 8), so these bits give 128 bits of it.
    bits = 160 + math.ceil(max(x * x for x in (a, b, Fraction(0)) if x is not None) * 3 / 4)
    one = 1 << bits
    below = 0 if a is None else (one >> 1) + _half_area(a, bits)
    above = 0 if b is None else (one >> 1) - _half_area(b, bits)
    return NormalProbabilities(below / one, (one - below - above) / one, above / one)


def _half_area(x: Fraction, bits: int) -> int:
    """The integral of the normal density from 0 to x: phi(x) * sum of x**(2n+1) / (2n+1)!!."""
    # Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.11.
    scaled = (abs(x.numerator) << bits) // x.denominator
    square = scaled * scaled >> bits
    term = total = scaled
    place = 3
    while term:
        term = (term * square >> bits) // place
        total += term
        place += 2
    pi = 4 * (4 * _atan_inverse(5, bits) - _atan_inverse(239, bits))
    area = (total << 2 * bits) // (_exp(square >> 1, bits) * math.isqrt(2 * pi << bits))
    return area if x >= 0 else -area


# --- tables -----------------------------------------------------------------------------------


def _pair(fixed: int) -> tuple[float, float]:
    """A fixed-point number as two floats: the nearest one, and the nearest to the remainder."""
    high = fixed / (1 << _BITS)
    numerator, denominator = high.as_integer_ratio()
    return high, (fixed * denominator - (numerator << _BITS)) / (denominator << _BITS)


def _roots() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The high and the low parts of 2**(j/64) for j in 0..63."""
    root = 2 << _BITS
    for _ in range(6):
        root = math.isqrt(root << _BITS)
    value, pairs = 1 << _BITS, []
    for _ in range(64):
        pairs.append(_pair(value))
        value = value * root >> _BITS
    return tuple(high for high, _ in pairs), tuple(low for _, low in pairs)


# exp: n = round(x * 64/ln2). STEP_HIGH has so few bits that n * STEP_HIGH is exact.
STEPS_PER_UNIT = (64 << _BITS) / _LN2
_STEP_BITS = 36
STEP_HIGH = (_LN2 >> (_BITS - _STEP_BITS)) / (1 << (_STEP_BITS + 6))
STEP_LOW = (_LN2 & ((1 << (_BITS - _STEP_BITS)) - 1)) / (1 << (_BITS + 6))
ROOT_HIGH, ROOT_LOW = _roots()
EXP_3, EXP_4, EXP_5, EXP_6 = 1 / 6, 1 / 24, 1 / 120, 1 / 720

# POWERS[i] = 2**(i + LEAST_POWER), for every power of two that is a float: i in 0..2097.
LEAST_POWER = -1074
POWERS = tuple(accumulate(repeat(2.0, 2097), mul, initial=5e-324))

# log: m in [0.703125, 1.40625), in 64 cells, 38 of width 1/128 below 1 and 26 of width 1/64 above.
LOG_FIRST = 0.703125
LOG_CELLS_BELOW = 38


def _centre(cell: int) -> Fraction:
    if cell < LOG_CELLS_BELOW:
        return Fraction(45, 64) + Fraction(2 * cell + 1, 256)
    return 1 + Fraction(2 * (cell - LOG_CELLS_BELOW) + 1, 128)


def _centres() -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """The centre of each cell, and the high and the low part of its logarithm."""
    # The cells next to 1 use 1, as the logarithm of any other centre would cancel there.
    next_to_one = (LOG_CELLS_BELOW - 1, LOG_CELLS_BELOW)
    centres = [Fraction(1) if i in next_to_one else _centre(i) for i in range(64)]
    logs = [
        2 * _atanh(c.numerator - c.denominator, c.numerator + c.denominator, _BITS) for c in centres
    ]
    # The high parts have few bits, so that adding a multiple of LN2_HIGH is exact.
    drop = _BITS - _STEP_BITS
    highs = [(value >> drop) / (1 << _STEP_BITS) for value in logs]
    lows = [(value & ((1 << drop) - 1)) / (1 << _BITS) for value in logs]
    return tuple(map(float, centres)), tuple(highs), tuple(lows)


CENTRE, CENTRE_LOG_HIGH, CENTRE_LOG_LOW = _centres()
LN2_HIGH = STEP_HIGH * 64
LN2_LOW = STEP_LOW * 64
LOG_3, LOG_5, LOG_7 = 1 / 3, 1 / 5, 1 / 7

# The normal quantile: coefficients of M. J. Wichura, "Algorithm AS 241: the percentage points of
# the normal distribution", Applied Statistics 37 (1988), routine PPND16; the highest power first.
CENTRAL = 0.425
CENTRAL_SQUARE = 0.180625
FAR = 5.0
NEAR_SHIFT = 1.6
CENTRAL_TOP = (
    2.5090809287301226727e3,
    3.3430575583588128105e4,
    6.7265770927008700853e4,
    4.5921953931549871457e4,
    1.3731693765509461125e4,
    1.9715909503065514427e3,
    1.3314166789178437745e2,
    3.3871328727963666080e0,
)
CENTRAL_BOTTOM = (
    5.2264952788528545610e3,
    2.8729085735721942674e4,
    3.9307895800092710610e4,
    2.1213794301586595867e4,
    5.3941960214247511077e3,
    6.8718700749205790830e2,
    4.2313330701600911252e1,
    1.0,
)
NEAR_TOP = (
    7.74545014278341407640e-4,
    2.27238449892691845833e-2,
    2.41780725177450611770e-1,
    1.27045825245236838258e0,
    3.64784832476320460504e0,
    5.76949722146069140550e0,
    4.63033784615654529590e0,
    1.42343711074968357734e0,
)
NEAR_BOTTOM = (
    1.05075007164441684324e-9,
    5.47593808499534494600e-4,
    1.51986665636164571966e-2,
    1.48103976427480074590e-1,
    6.89767334985100004550e-1,
    1.67638483018380384940e0,
    2.05319162663775882187e0,
    1.0,
)
FAR_TOP = (
    2.01033439929228813265e-7,
    2.71155556874348757815e-5,
    1.24266094738807843860e-3,
    2.65321895265761230930e-2,
    2.96560571828504891230e-1,
    1.78482653991729133580e0,
    5.46378491116411436990e0,
    6.65790464350110377720e0,
)
FAR_BOTTOM = (
    2.04426310338993978564e-15,
    1.42151175831644588870e-7,
    1.84631831751005468180e-5,
    7.86869131145613259100e-4,
    1.48753612908506148525e-2,
    1.36929880922735805310e-1,
    5.99832206555887937690e-1,
    1.0,
)


# --- functions --------------------------------------------------------------------------------


def exp_times(x: float, mantissa: float, exponent: int) -> float:
    """exp(x) * mantissa * 2**exponent, for |x| < 1500 and a mantissa in [0.5, 1].

    The error is below 1.6 ulp if the result is a normal float. exp_times(0, …) is exactly
    mantissa * 2**exponent.
    """
    step = math.floor(x * STEPS_PER_UNIT + 0.5)
    r = (x - step * STEP_HIGH) - step * STEP_LOW
    # exp(r) - 1 up to r**6; the truncation error is below 3e-20, as |r| <= 0.00542.
    rest = r + r * r * (0.5 + r * (EXP_3 + r * (EXP_4 + r * (EXP_5 + r * EXP_6))))
    root = ROOT_HIGH[step & 63]
    value = mantissa * (root + (ROOT_LOW[step & 63] + root * rest))
    power = (step >> 6) + exponent
    # Two factors, as 2**power may be no float although the product is one.
    half = power >> 1
    return value * POWERS[half - LEAST_POWER] * POWERS[power - half - LEAST_POWER]


def log(x: float) -> float:
    """The natural logarithm of a normal float > 0, with an error below 2 ulp."""
    mantissa, exponent = math.frexp(x)
    if mantissa < LOG_FIRST:
        mantissa, exponent = mantissa * 2, exponent - 1
    if mantissa < 1:
        cell = int((mantissa - LOG_FIRST) * 128)
    else:
        cell = LOG_CELLS_BELOW + int((mantissa - 1) * 64)
    centre = CENTRE[cell]
    # log(m / c) = 2 atanh(s); the truncation error of the series is below 1e-18 * s.
    s = (mantissa - centre) / (mantissa + centre)
    square = s * s
    series = 2 * s + 2 * s * square * (LOG_3 + square * (LOG_5 + square * LOG_7))
    low = exponent * LN2_LOW + CENTRE_LOG_LOW[cell]
    return (exponent * LN2_HIGH + CENTRE_LOG_HIGH[cell]) + (low + series)


def normal_quantile(below: float, above: float) -> float:
    """The standard normal quantile with these probabilities below and above it; their sum is 1.

    Both are > 1e-300. Only the smaller one is used, so that both tails are equally exact: the error
    is below 5 ulp.
    """
    tail = min(below, above)
    distance = 0.5 - tail
    if distance <= CENTRAL:
        r = CENTRAL_SQUARE - distance * distance
        value = distance * _polynomial(r, CENTRAL_TOP) / _polynomial(r, CENTRAL_BOTTOM)
    else:
        r = math.sqrt(-log(tail))
        if r <= FAR:
            r -= NEAR_SHIFT
            value = _polynomial(r, NEAR_TOP) / _polynomial(r, NEAR_BOTTOM)
        else:
            r -= FAR
            value = _polynomial(r, FAR_TOP) / _polynomial(r, FAR_BOTTOM)
    return -value if below < above else value


def _polynomial(x: float, coefficients: tuple[float, ...]) -> float:
    value = coefficients[0]
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
