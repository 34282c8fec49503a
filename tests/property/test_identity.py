"""Identity, for arbitrary values."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

import numpy as np
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep import ids

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
floats = st.floats(allow_nan=False, allow_infinity=False)
# Round numbers are where the text of an integer can be that of another one's nearest float.
integers = st.integers() | st.builds(
    lambda digits, zeros: digits * 10**zeros, st.integers(-(10**18), 10**18), st.integers(0, 6)
)
scalars = st.none() | st.booleans() | integers | floats | text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
params = st.dictionaries(text, values, max_size=5)


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return tuple(reordered(item) for item in value)
    return value


def respelled(value: Any) -> Any:
    """The same value with ints for floats, floats for ints and numpy scalars where they fit."""
    if isinstance(value, dict):
        return {key: respelled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [respelled(item) for item in value]
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int):
        if abs(value) < 2**1000 and float(value) == value:
            return np.float64(value)
        return np.int64(value) if -(2**63) <= value < 2**63 else value
    if isinstance(value, float):
        return int(value) if value.is_integer() else np.float64(value)
    return np.str_(value) if isinstance(value, str) and not value.endswith("\0") else value


def same(first: Any, second: Any) -> bool:
    """Equal as JSON values: booleans are no numbers."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


# What RFC 8785 speaks of: binary64 numbers, so integers that one holds for certain.
standard = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | floats | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@given(standard)
def test_canonical_text_is_that_of_another_rfc_8785_library(value: Any) -> None:
    assert ids.canonical(value).encode() == rfc8785.dumps(value)


@given(params)
def test_the_case_id_depends_on_values_only(value: dict[str, Any]) -> None:
    expected = ids.case_id(value)
    assert ids.case_id(reordered(value)) == expected
    assert ids.case_id(respelled(value)) == expected
    assert ids.case_id(json.loads(json.dumps(value))) == expected
    assert ids.case_id(ids.plain(value)) == expected


@given(values, values)
def test_texts_are_equal_exactly_when_values_are(first: Any, second: Any) -> None:
    assert (ids.canonical(first) == ids.canonical(second)) == same(first, second)


@given(st.integers(10**15, 10**22), st.integers(-3, 3), st.booleans())
def test_big_integers_differ(number: int, step: int, negative: bool) -> None:
    number = -number if negative else number
    nearest = float(number)
    # The digits that ECMAScript prints for the nearest float, taken as an integer.
    printed = int(Decimal(repr(nearest)))
    others: list[int | float] = [number + step, nearest, int(nearest), printed]
    for other in others:
        assert (ids.canonical(number) == ids.canonical(other)) == (number == other)
        assert (ids.canonical(printed) == ids.canonical(other)) == (printed == other)


@given(floats)
def test_text_of_a_float_reads_back(number: float) -> None:
    found = ids.canonical(number)
    assert float(found) == number
    assert re.fullmatch(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]+)?(e[+-][1-9][0-9]*)?", found)
    assert found == ids.canonical(np.float64(number))


@given(values)
def test_canonical_text_determines_the_value(value: Any) -> None:
    found = ids.canonical(value)
    json.loads(found)
    read = json.loads(found, parse_int=_integer, parse_float=_fraction)
    assert same(read, ids.plain(value))
    assert ids.canonical(read) == found


def _integer(digits: str) -> int | float:
    """What digits stand for: the float that has this text, else the integer."""
    as_float = float(digits)
    if math.isfinite(as_float) and ids.canonical(as_float) == digits:
        return as_float
    return int(digits)


def _fraction(digits: str) -> int | float:
    return int(digits[:-2]) if digits.endswith(".0") else float(digits)


@given(values)
def test_plain_keeps_values_and_types(value: Any) -> None:
    found = ids.plain(value)
    assert json.dumps(found) == json.dumps(value)
    assert found == value


@given(params, st.integers(0, 100))
def test_run_ids_are_safe_names(value: dict[str, Any], replicate: int) -> None:
    case = ids.case_id(value, replicate)
    name = ids.run_id(ids.canonical(value), case)
    assert re.fullmatch(r"[A-Za-z0-9_=+][A-Za-z0-9._=+-]{0,59}-[0-9a-f]{16}", name)
    assert name.endswith(case)
    assert name == ids.run_id(ids.canonical(respelled(value)), case)


@given(st.text(), st.integers(1, 80))
def test_slugs_are_safe_names(value: str, limit: int) -> None:
    found = ids.slug(value, limit)
    assert re.fullmatch(r"[A-Za-z0-9_=+][A-Za-z0-9._=+-]*", found)
    assert len(found) <= limit
    assert ids.slug(found, limit) == found
