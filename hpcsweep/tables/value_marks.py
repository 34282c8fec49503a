"""What distinguishes the values of a column, to group and to match them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isnan
from typing import Any

from hpcsweep.tables.batches import TableBatch

# Types that a dict distinguishes as the identity of a case does; True is not 1.
_PLAIN = frozenset({int, str, type(None)})


def marks_of(batch: TableBatch, name: str) -> Sequence[Any]:
    """What distinguishes the values of a column, as a dict does it: 1 is 1.0, and True is not 1."""
    values = batch.values[name]
    nulls = batch.nulls.get(name, ())
    types = set(map(type, values))
    has_no_nan = types == {float} and not isnan(sum(values))
    if not nulls and (types <= _PLAIN or has_no_nan):
        return values
    marks = list(map(mark_of, values))
    for at in nulls:
        marks[at] = ("null",)
    return marks


def mark_of(value: Any) -> Any:
    """What distinguishes one value, a null included."""
    if type(value) in _PLAIN or (type(value) is float and value == value):  # noqa: PLR0124  # not NaN
        return value
    return (type(value).__name__, json.dumps(_with_ints(value), sort_keys=True))


def _with_ints(value: Any) -> Any:
    """A value whose whole numbers are ints, also inside of lists and mappings."""
    if isinstance(value, list):
        return [_with_ints(item) for item in value]
    if isinstance(value, dict):
        return {name: _with_ints(item) for name, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value
