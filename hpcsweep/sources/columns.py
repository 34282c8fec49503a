"""Columns of many cases as numpy arrays, bit-identical to single reads.

It needs numpy, and loads when a column is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcsweep.sources.keys import fresh
from hpcsweep.sources.numeric.philox import K_BITS
from hpcsweep.sources.numeric.vectors import INT64, Array

if TYPE_CHECKING:
    from hpcsweep.sources.ranges import Range

# --- columns of plain values ------------------------------------------------------------------


def make_column(values: Iterable[Any]) -> Array:
    """Plain values as an array of float64, int64 or bool if all have one type, else of objects."""
    listed = list(values)
    kinds = set(map(type, listed))
    if kinds == {float}:
        return np.array(listed, np.float64)
    if kinds == {bool}:
        return np.array(listed, np.bool_)
    if kinds == {int} and min(listed) in INT64 and max(listed) in INT64:
        return np.array(listed, np.int64)
    # Filled in place: numpy would turn lists of equal length into a second dimension.
    result = np.empty(len(listed), object)
    for i, value in enumerate(listed):
        result[i] = fresh(value)
    return result


def take_values(values: Sequence[Any], positions: Array) -> Array:
    """The values at the positions."""
    column = make_column(values)[positions]
    if any(isinstance(value, (dict, list)) for value in values):
        for i, value in enumerate(column):
            column[i] = fresh(value)
    return column


def repeat_value(value: Any, count: int) -> Array:
    """The same value `count` times."""
    return take_values([value], np.zeros(count, np.int64))


def axis_values(axis: Range, positions: Array) -> Array:
    """The values of a lazy axis at the positions."""
    exactly = _linear(axis, positions)
    if exactly is not None:
        return exactly
    values = [axis.at(position) for position in positions.tolist()]
    if not values:
        return make_column([axis.at(0)])[:0]
    ends = make_column([axis.at(0), axis.at(len(axis) - 1)])
    return make_column(values) if ends.dtype != object else np.array(values, object)


def _linear(axis: Range, positions: Array) -> Array | None:
    """Where numerator and denominator are exact, so that one division rounds like Python's."""
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
    axes = []
    for length in reversed(lengths):
        start, position = divmod(start, length)
        carry += position
        carry, positions = np.divmod(carry, length)
        axes.append(positions)
    return axes[::-1]


# --- columns of sources made of sources -------------------------------------------------------


def count_from(first: int, count: int) -> Array:
    """first, first + 1 … as int64."""
    return np.arange(first, first + count)


def stretch_positions(skip: int, count: int, stride: int) -> Array:
    """`count` times a position that grows by one every `stride`, the first `skip` left out."""
    if stride > count:  # it grows once at most; the stride itself may be beyond int64
        return (np.arange(count) >= min(stride - skip, count)).astype(np.int64)
    return count_from(skip, count) // stride


def rows(columns: dict[str, Array], positions: Array) -> dict[str, Array]:
    """The rows at the positions; a row may be taken several times."""
    return {name: _copy_objects(column[positions]) for name, column in columns.items()}


def join_columns(parts: Sequence[dict[str, Array]]) -> dict[str, Array]:
    """Concatenate parts; columns of different types become objects."""
    result = {}
    for name in parts[0] if parts else ():
        columns = [part_of_it[name] for part_of_it in parts]
        # Nothing was read where a column is empty and of objects: it says nothing of the type.
        pieces = [c for c in columns if len(c) or c.dtype != object] or columns
        same = len({piece.dtype for piece in pieces}) == 1
        result[name] = np.concatenate([p if same else p.astype(object) for p in pieces])
    return result


def _copy_objects(column: Array) -> Array:
    if column.dtype == object:
        for i, value in enumerate(column):
            if isinstance(value, (dict, list)):
                column[i] = fresh(value)
    return column
