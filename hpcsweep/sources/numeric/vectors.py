"""Random numbers and distributions on numpy arrays, bit for bit equal to the scalar functions.

Each function has the operations of its scalar counterpart, in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsweep.sources.numeric import elementary
from hpcsweep.sources.numeric.philox import K_BITS

Array = NDArray[Any]

# Values per block: its temporaries fit into a core's cache, and the overhead of numpy is small.
BLOCK = 16_384
_WORD_BITS = 64
_LOW_HALF = np.uint64(2**32 - 1)
_HALF = np.uint64(32)
INT64 = range(-(2**63), 2**63)
_STEP = 2.0**-K_BITS


# --- random numbers ---------------------------------------------------------------------------


def draws(key: int, start: int, stop: int) -> Array:
    """k for the positions `start .. stop-1`, equal to `philox.word(keys, position) >> 11`."""
    # Philox makes blocks of four words; numpy increments the counter before the first block.
    first = start & 3
    generator = np.random.Philox(key=key, counter=start >> 2)
    words: Array = generator.random_raw(stop - start + first)[first:]
    return words >> np.uint64(_WORD_BITS - K_BITS)


def blockwise(function: Callable[[Array], Array], k: Array) -> Array:
    """Apply `function` to k, block by block."""
    if len(k) <= BLOCK:
        return function(k)
    parts = (function(k[at : at + BLOCK]) for at in range(0, len(k), BLOCK))
    first = next(parts)
    result = np.empty(len(k), first.dtype)
    result[:BLOCK] = first
    for at, part_of_it in zip(range(BLOCK, len(k), BLOCK), parts):
        result[at : at + BLOCK] = part_of_it
    return result


def part(k: Array, count: int) -> Array:
    """k * count >> 53 as int64, for a count of at most 2**53."""
    if count < 2**11:
        small: Array = k * np.uint64(count) >> np.uint64(K_BITS)
        return small.view(np.int64)
    # The upper word of a product of two 64-bit words, from their 32-bit halves.
    word = k << np.uint64(_WORD_BITS - K_BITS)
    high, low = word >> _HALF, word & _LOW_HALF
    count_high, count_low = np.uint64(count >> 32), np.uint64(count & (2**32 - 1))
    carry = high * count_low + (low * count_low >> _HALF)
    middle = low * count_high + (carry & _LOW_HALF)
    upper: Array = high * count_high + (carry >> _HALF) + (middle >> _HALF)
    return upper.view(np.int64)


def places(ends: Sequence[int], k: Array) -> Array:
    """For each k, the count of `ends` that are <= k."""
    return np.searchsorted(np.array(ends, np.uint64), k, side="right")


def shifted(offsets: Array, low: int, high: int) -> Array:
    """low + each offset; the sums are at most `high`, which decides whether int64 holds them."""
    if low in INT64 and high in INT64:
        return offsets + low
    return offsets.astype(object) + low


# --- distributions ----------------------------------------------------------------------------


def uniform(low: float, high: float, k: Array) -> Array:
    """`Uniform.at` for each k."""
    width, last = high - low, math.nextafter(high, low)

    def block(k: Array) -> Array:
        value = k.view(np.int64).astype(np.float64)
        value *= _STEP
        value *= width
        value += low
        # Equal to the scalar comparison with `high`: no float lies between `last` and `high`.
        return np.minimum(value, last, out=value)

    return blockwise(block, k)


def log_uniform(low: float, high: float, width: float, k: Array) -> Array:
    """`LogUniform.at` for each k."""
    last = math.nextafter(high, 0)

    def block(k: Array) -> Array:
        value = _log_uniform(low, width, k)
        np.minimum(value, last, out=value)
        return np.maximum(value, low, out=value)

    return blockwise(block, k)


def log_uniform_int(low: int, high: int, width: float, k: Array) -> Array:
    """`LogUniformInt.at` for each k."""

    def block(k: Array) -> Array:
        value = _log_uniform(low, width, k).astype(np.int64)
        np.minimum(value, high, out=value)
        return np.maximum(value, low, out=value)

    return blockwise(block, k)


def normal(mean: float, std: float, k: Array) -> Array:
    """`Normal.at` for each k."""
    return blockwise(lambda k: _normal(mean, std, k), k)


def log_normal(mean: float, std: float, k: Array) -> Array:
    """`LogNormal.at` for each k."""
    return blockwise(lambda k: exp_times(_normal(mean, std, k), 0.5, 1), k)


def truncated_normal(
    mean: float,
    std: float,
    bounds: tuple[float | None, float | None],
    window: elementary.NormalProbabilities,
    k: Array,
) -> Array:
    """`TruncatedNormal.at` for each k."""
    low, high = bounds

    def block(k: Array) -> Array:
        below, above = _middle(k)
        below = window.below + window.between * below
        above = window.above + window.between * above
        value = mean + std * normal_quantile(below, above)
        if high is not None:
            value = np.minimum(value, math.nextafter(high, -math.inf))
        return value if low is None else np.maximum(value, low)

    return blockwise(block, k)


def _log_uniform(low: float, width: float, k: Array) -> Array:
    x = k.view(np.int64).astype(np.float64)
    x *= _STEP
    x *= width
    return exp_times(x, *math.frexp(low))


def _normal(mean: float, std: float, k: Array) -> Array:
    # (2k + 1) * 2**-54 - 1/2 is exact, and so is the tail: 1/2 - abs(signed).
    signed = (k.view(np.int64) * 2 + (1 - 2**K_BITS)) * 2.0 ** -(K_BITS + 1)
    value = _quantile(signed, None)
    value *= std
    value += mean
    return value


def _middle(k: Array) -> tuple[Array, Array]:
    odd = k.view(np.int64) * 2 + 1
    return odd * 2.0**-54, (2**54 - odd) * 2.0**-54


# --- elementary functions ---------------------------------------------------------------------

_ROOT_HIGH = np.array(elementary.ROOT_HIGH)
_ROOT_LOW = np.array(elementary.ROOT_LOW)
_POWERS = np.array(elementary.POWERS)
_CENTRE = np.array(elementary.CENTRE)
_CENTRE_LOG_HIGH = np.array(elementary.CENTRE_LOG_HIGH)
_CENTRE_LOG_LOW = np.array(elementary.CENTRE_LOG_LOW)


def exp_times(x: Array, mantissa: float, exponent: int) -> Array:
    """`elementary.exp_times` for each x."""
    step = x * elementary.STEPS_PER_UNIT
    step += 0.5
    np.floor(step, out=step)
    number = step.astype(np.int64)
    r = x - step * elementary.STEP_HIGH
    step *= elementary.STEP_LOW
    r -= step
    rest = _polynomial(r, _EXP)
    rest *= r * r
    rest += r
    root = number & 63
    high = _ROOT_HIGH[root]
    rest *= high
    rest += _ROOT_LOW[root]
    rest += high
    rest *= mantissa
    number >>= 6
    number += exponent - elementary.LEAST_POWER
    # One factor if 2**power is a normal float: two factors then give the same bits.
    middle = -elementary.LEAST_POWER
    if number.min(initial=middle) > _LEAST_NORMAL and number.max(initial=middle) < len(_POWERS):
        rest *= _POWERS[number]
        return rest
    power = number + elementary.LEAST_POWER
    half = power >> 1
    rest *= _POWERS[half - elementary.LEAST_POWER]
    rest *= _POWERS[power - half - elementary.LEAST_POWER]
    return rest


def log(x: Array) -> Array:
    """`elementary.log` for each x."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < elementary.LOG_FIRST
    mantissa[small] *= 2
    exponent = exponent.astype(np.float64)
    exponent[small] -= 1
    below = ((mantissa - elementary.LOG_FIRST) * 128).astype(np.int64)
    above = elementary.LOG_CELLS_BELOW + ((mantissa - 1) * 64).astype(np.int64)
    cell = np.where(mantissa < 1, below, above)
    centre = _CENTRE[cell]
    s = (mantissa - centre) / (mantissa + centre)
    square = s * s
    series = 2 * s + 2 * s * square * _polynomial(square, _LOG)
    low = exponent * elementary.LN2_LOW + _CENTRE_LOG_LOW[cell]
    result: Array = (exponent * elementary.LN2_HIGH + _CENTRE_LOG_HIGH[cell]) + (low + series)
    return result


def normal_quantile(below: Array, above: Array) -> Array:
    """`elementary.normal_quantile` for each pair."""
    tail = np.minimum(below, above)
    distance = 0.5 - tail
    return _quantile(np.negative(distance, out=distance, where=below < above), tail)


def _quantile(signed: Array, tail: Array | None) -> Array:
    """The quantile from the signed distance to 1/2; `tail` is 1/2 - abs(signed)."""
    r = elementary.CENTRAL_SQUARE - signed * signed
    # Wrong in the tails, which are replaced below. The sign of `signed` changes no other bit.
    value = _polynomial(r, elementary.CENTRAL_TOP)
    value *= signed
    value /= _polynomial(r, elementary.CENTRAL_BOTTOM)
    distance = np.abs(signed, out=r)
    outside = np.flatnonzero(distance > elementary.CENTRAL)
    if len(outside):
        far_out = 0.5 - distance[outside] if tail is None else tail[outside]
        value[outside] = np.copysign(_tail_quantile(far_out), signed[outside])
    return value


def _tail_quantile(tail: Array) -> Array:
    r = np.sqrt(-log(tail))
    near = r - elementary.NEAR_SHIFT
    value = _polynomial(near, elementary.NEAR_TOP)
    value /= _polynomial(near, elementary.NEAR_BOTTOM)
    beyond = np.flatnonzero(r > elementary.FAR)
    if len(beyond):
        far = r[beyond] - elementary.FAR
        top, bottom = elementary.FAR_TOP, elementary.FAR_BOTTOM
        value[beyond] = _polynomial(far, top) / _polynomial(far, bottom)
    return value


def _polynomial(x: Array, coefficients: Sequence[float]) -> Array:
    value = x * coefficients[0]
    for coefficient in coefficients[1:-1]:
        value += coefficient
        value *= x
    value += coefficients[-1]
    return value


_LEAST_NORMAL = -1022 - elementary.LEAST_POWER
_EXP = (elementary.EXP_6, elementary.EXP_5, elementary.EXP_4, elementary.EXP_3, 0.5)
_LOG = (elementary.LOG_7, elementary.LOG_5, elementary.LOG_3)
