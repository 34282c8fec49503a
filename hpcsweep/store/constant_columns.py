"""Columns of rows that have one value, which is kept, sent or written once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def is_constant(column: Sequence[Any]) -> bool:
    """Whether all values of a column, at least one text, number or None, are the same."""
    first = column[0]
    if first != column[-1] or column.count(first) < len(column):
        return False
    if first is None or isinstance(first, str):
        return True
    # Equal numbers may have other texts: 1, 1.0 and True, 0.0 and -0.0.
    types = set(map(type, column))
    is_zero = first == 0 and float in types
    return len(types) == 1 and not (is_zero and len(set(map(repr, column))) > 1)
