"""Columns of many cases as numpy arrays, to the last bit what single reads give.

The one module of the sources that needs numpy; it loads when a column is asked for. Every
function has the operations of its scalar sibling, in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpcsweep.sources.keys import fresh
from hpcsweep.sources.numeric import elementary
from hpcsweep.sources.numeric.philox import K_BITS

if TYPE_CHECKING:
    from hpcsweep.sources.ranges import Range

Array: TypeAlias = NDArray[Any]

# Values at a time: what a block needs stays in the cache of a core, and numpy's calls cost little.
BLOCK = 16_384
_WORD_BITS = 64
_LOW_HALF = np.uint64(2**32 - 1)
_HALF = np.uint64(32)
_INT64 = range(-(2**63), 2**63)
_STEP = 2.0**-K_BITS


# --- random numbers ---------------------------------------------------------------------------


def draws(key: int, start: int, stop: int) -> Array:
    """k of the positions `start .. stop-1`, as `philox.word(key, position) >> 11` gives them."""
    # A word is the position's in blocks of four; numpy counts up before its first block.
    first = start & 3
    generator = np.random.Philox(key=key, counter=start >> 2)
    words: Array = generator.random_raw(stop - start + first)[first:]
    return words >> np.uint64(_WORD_BITS - K_BITS)


def blockwise(function: Callable[[Array], Array], k: Array) -> Array:
    """`function` of k, block after block."""
    if len(k) <= BLOCK:
        return function(k)
    parts = (function(k[at : at + BLOCK]) for at in range(0, len(k), BLOCK))
    first = next(parts)
    result = np.empty(len(k), first.dtype)
    result[:BLOCK] = first
    for at, part_of_it in zip(range(BLOCK, len(k), BLOCK), parts, strict=True):
        result[at : at + BLOCK] = part_of_it
    return result


def part(k: Array, count: int) -> Array:
    """k * count >> 53 as int64, for a count of at most 2**53."""
    if count < 2**11:
        small: Array = k * np.uint64(count) >> np.uint64(K_BITS)
        return small.view(np.int64)
    # The upper word of a product of two words, by halves.
    word = k << np.uint64(_WORD_BITS - K_BITS)
    high, low = word >> _HALF, word & _LOW_HALF
    count_high, count_low = np.uint64(count >> 32), np.uint64(count & (2**32 - 1))
    carry = high * count_low + (low * count_low >> _HALF)
    middle = low * count_high + (carry & _LOW_HALF)
    upper: Array = high * count_high + (carry >> _HALF) + (middle >> _HALF)
    return upper.view(np.int64)


def places(ends: Sequence[int], k: Array) -> Array:
    """For each k the count of `ends` that are not above it."""
    return np.searchsorted(np.array(ends, np.uint64), k, side="right")


# --- distributions ----------------------------------------------------------------------------


def uniform(low: float, high: float, k: Array) -> Array:
    """As `Uniform.at`."""
    width, last = high - low, math.nextafter(high, low)

    def block(k: Array) -> Array:
        value = k.view(np.int64).astype(np.float64)
        value *= _STEP
        value *= width
        value += low
        # A float that is not below high is not below the one before it either.
        return np.minimum(value, last, out=value)

    return blockwise(block, k)


def log_uniform(low: float, high: float, width: float, k: Array) -> Array:
    """As `LogUniform.at`."""
    last = math.nextafter(high, 0)

    def block(k: Array) -> Array:
        value = _log_uniform(low, width, k)
        np.minimum(value, last, out=value)
        return np.maximum(value, low, out=value)

    return blockwise(block, k)


def log_uniform_int(low: int, high: int, width: float, k: Array) -> Array:
    """As `LogUniformInt.at`."""

    def block(k: Array) -> Array:
        value = _log_uniform(low, width, k).astype(np.int64)
        np.minimum(value, high, out=value)
        return np.maximum(value, low, out=value)

    return blockwise(block, k)


def normal(mean: float, std: float, k: Array) -> Array:
    """As `Normal.at`."""
    return blockwise(lambda k: _normal(mean, std, k), k)


def log_normal(mean: float, std: float, k: Array) -> Array:
    """As `LogNormal.at`."""
    return blockwise(lambda k: exp_times(_normal(mean, std, k), 0.5, 1), k)


def truncated_normal(
    mean: float,
    std: float,
    bounds: tuple[float | None, float | None],
    window: elementary.Normal,
    k: Array,
) -> Array:
    """As `TruncatedNormal.at`."""
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
    # (2k + 1) * 2**-54 less 1/2: its distance to 1/2, exactly, and so is the tail.
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
    """As `elementary.exp_times`, for each x."""
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
    # One factor where it is a normal float, as both of two then multiply exactly.
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
    """As `elementary.log`, for each x."""
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
    """As `elementary.normal_quantile`, for each pair."""
    tail = np.minimum(below, above)
    distance = 0.5 - tail
    return _quantile(np.negative(distance, out=distance, where=below < above), tail)


def _quantile(signed: Array, tail: Array | None) -> Array:
    """The quantile from the distance to 1/2 and its sign; `tail` is 1/2 less that distance."""
    r = elementary.CENTRAL_SQUARE - signed * signed
    # Wrong in the tails, where it is replaced. The sign changes no other bit on its way.
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
    found = _polynomial(near, elementary.NEAR_TOP)
    found /= _polynomial(near, elementary.NEAR_BOTTOM)
    beyond = np.flatnonzero(r > elementary.FAR)
    if len(beyond):
        far = r[beyond] - elementary.FAR
        top, bottom = elementary.FAR_TOP, elementary.FAR_BOTTOM
        found[beyond] = _polynomial(far, top) / _polynomial(far, bottom)
    return found


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


# --- columns of plain values ------------------------------------------------------------------


def column_of(values: Iterable[Any]) -> Array:
    """Plain values as an array: float64, int64 or bool where all are, else objects."""
    listed = list(values)
    kinds = set(map(type, listed))
    if kinds == {float}:
        return np.array(listed, np.float64)
    if kinds == {bool}:
        return np.array(listed, np.bool_)
    if kinds == {int} and min(listed) in _INT64 and max(listed) in _INT64:
        return np.array(listed, np.int64)
    # Filled in place: numpy would make lists of equal length a second dimension.
    result = np.empty(len(listed), object)
    for i, value in enumerate(listed):
        result[i] = fresh(value)
    return result


def taken(values: Sequence[Any], positions: Array) -> Array:
    """The values at the positions."""
    column = column_of(values)[positions]
    if any(isinstance(value, (dict, list)) for value in values):
        for i, value in enumerate(column):
            column[i] = fresh(value)
    return column


def repeated(value: Any, count: int) -> Array:
    """The same value `count` times."""
    return taken([value], np.zeros(count, np.int64))


def shifted(offsets: Array, low: int, high: int) -> Array:
    """low + each offset, for a sum of at most `high`."""
    if low in _INT64 and high in _INT64:
        return offsets + low
    return offsets.astype(object) + low


def of_axis(axis: Range, positions: Array) -> Array:
    """The values of a lazy axis at the positions."""
    exactly = _linear(axis, positions)
    if exactly is not None:
        return exactly
    values = [axis.at(position) for position in positions.tolist()]
    if not values:
        return column_of([axis.at(0)])[:0]
    ends = column_of([axis.at(0), axis.at(len(axis) - 1)])
    return column_of(values) if ends.dtype != object else np.array(values, object)


def _linear(axis: Range, positions: Array) -> Array | None:
    """Where numerator and denominator are exact: then the one division rounds as Python's does."""
    from hpcsweep.sources.ranges import LinearRange  # noqa: PLC0415  # decimal, for a range alone

    if not isinstance(axis, LinearRange):
        return None
    last = axis.first + axis.step * (len(axis) - 1)
    if max(abs(axis.first), abs(last), axis.denominator) >= 2**K_BITS:
        return None
    numerators = axis.first + axis.step * positions
    return numerators // axis.denominator if axis.whole else numerators / axis.denominator


def spread(start: int, count: int, lengths: Sequence[int]) -> list[Array]:
    """The positions on axes of these lengths, the last fastest, of the indices from `start` on."""
    carry = np.arange(count)
    found = []
    for length in reversed(lengths):
        start, position = divmod(start, length)
        carry += position
        carry, positions = np.divmod(carry, length)
        found.append(positions)
    return found[::-1]


# --- columns of sources made of sources -------------------------------------------------------


def counted(first: int, count: int) -> Array:
    """first, first + 1 … as int64."""
    return np.arange(first, first + count)


def stretched(skip: int, count: int, stride: int) -> Array:
    """`count` times a position that grows by one every `stride`, the first `skip` left out."""
    if stride > count:  # it grows once at most; the stride itself may be beyond int64
        return (np.arange(count) >= min(stride - skip, count)).astype(np.int64)
    return counted(skip, count) // stride


def rows(columns: dict[str, Array], positions: Array) -> dict[str, Array]:
    """The rows at the positions; a row may be taken several times."""
    return {name: _fresh_objects(column[positions]) for name, column in columns.items()}


def joined(parts: Sequence[dict[str, Array]]) -> dict[str, Array]:
    """Parts one below the other; columns of different types become objects."""
    result = {}
    for name in parts[0] if parts else ():
        columns = [part_of_it[name] for part_of_it in parts]
        # Nothing was read where a column is empty and of objects: it says nothing of the type.
        pieces = [c for c in columns if len(c) or c.dtype != object] or columns
        same = len({piece.dtype for piece in pieces}) == 1
        result[name] = np.concatenate([p if same else p.astype(object) for p in pieces])
    return result


def _fresh_objects(column: Array) -> Array:
    if column.dtype == object:
        for i, value in enumerate(column):
            if isinstance(value, (dict, list)):
                column[i] = fresh(value)
    return column
