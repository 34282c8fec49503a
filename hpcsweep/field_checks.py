"""Schemas of documents as tables of checks, for data that was read and may be damaged.

A check never raises, whatever JSON it gets. Standard library only: tasks use it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

INT32_MAX, INT64_MAX = 2**31 - 1, 2**63 - 1
# Levels of nested lists and objects; well below Python's recursion limit.
NESTED_MAX = 500
# Characters of an invalid value that a message shows.
SHOWN = 60

_HEX16_DIGITS = 16

# Of one field, in several documents.
Values = list[Any]


class Field(NamedTuple):
    """The check of one kind of value."""

    # The expected kind, with its article.
    words: str
    # Whether all of some values, at least one, are valid: one call for many documents.
    all_hold: Callable[[Values], bool]

    def holds(self, value: Any) -> bool:
        """Whether a value is valid."""
        return self.all_hold([value])


Fields = Mapping[str, Field]
# For each field: name, whether it is required, and the field itself.
Schema = tuple[tuple[str, bool, Field], ...]


def schema(required: Fields, optional: Fields | None = None) -> Schema:
    """A schema with required and optional fields; null equals a missing optional field.

    Other fields may hold anything.
    """
    fields = [(name, True, field) for name, field in required.items()]
    return (*fields, *((name, False, field) for name, field in (optional or {}).items()))


def mismatch(document: Any, schema: Schema) -> str:
    """What is wrong with the first invalid field; empty if the document is valid."""
    if type(document) is not dict:
        return f"it is {abbreviated(document)}, not an object"
    for name, must, field in schema:
        value = document.get(name)
        if value is None:
            if must:
                return _mismatch_of(name, None, field) if name in document else f"it has no {name}"
        elif not field.holds(value):
            return _mismatch_of(name, value, field)
    return ""


def all_match(columns: Mapping[str, Sequence[Any]], schema: Schema) -> bool:
    """Whether all objects are valid, whose values are in columns: `mismatch` of many."""
    for name, must, field in schema:
        column = columns.get(name, ())
        values = [value for value in column if value is not None]
        if must and (not values or len(values) < len(column)):
            return False
        if values and not field.all_hold(values):
            return False
    return True


def _mismatch_of(name: str, value: Any, field: Field) -> str:
    return f"its {name} is {abbreviated(value)}, not {field.words}"


def abbreviated(value: Any) -> str:
    """A value in ASCII, truncated; the cost does not depend on the size of the value."""
    if isinstance(value, (dict, list)):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    text = ascii(value[:SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


# --- kinds of values -----------------------------------------------------------------------------
# The types first, and exactly: True is no 1, and what compares or joins needs one type.


def integer(low: int = 0, high: int = INT64_MAX) -> Field:
    """An integer in a range; booleans are not integers."""
    return Field(
        f"an integer from {low} to {high}",
        lambda values: _types(values) == {int} and low <= min(values) and max(values) <= high,
    )


def matching(pattern: str, words: str) -> Field:
    """A string that matches a pattern completely."""
    match = re.compile(pattern, re.ASCII).fullmatch
    return Field(words, lambda values: _types(values) == {str} and all(map(match, set(values))))


def one_of(choices: Iterable[str]) -> Field:
    """One of several strings."""
    words = frozenset(str(choice) for choice in choices)
    return Field(
        f"one of {', '.join(sorted(words))}",
        lambda values: _types(values) == {str} and words.issuperset(values),
    )


def by_name(field: Field) -> Field:
    """An object whose values are all of one kind."""
    return Field(
        f"an object of {field.words} by name",
        lambda values: _types(values) == {dict} and _all_inside(field, map(dict.values, values)),
    )


def _types(values: Values) -> set[type]:
    return set(map(type, values))


def _all_inside(field: Field, values: Iterable[Iterable[Any]]) -> bool:
    inside = list(chain.from_iterable(values))
    return not inside or field.all_hold(inside)


def _are_texts(values: Values) -> bool:
    if _types(values) != {str}:
        return False
    text = "".join(values)
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _are_moments(values: Values) -> bool:
    if _types(values) != {str} or not "".join(values).isascii():
        return False
    from datetime import datetime  # noqa: PLC0415  # no first start of a task reads a time

    try:
        for _ in map(datetime.fromisoformat, set(values)):
            pass
    except ValueError:
        return False
    return True


def _are_numbers(values: Values) -> bool:
    integers = [value for value in values if type(value) is int]
    if integers and not -INT64_MAX <= min(integers) <= max(integers) <= INT64_MAX:
        return False
    return _types(values) <= {int, float} and all(map(math.isfinite, values))


def _are_hex16(values: Values) -> bool:
    if _types(values) != {str} or set(map(len, values)) != {_HEX16_DIGITS}:
        return False
    text = "".join(values)
    return text.isascii() and not text.encode().translate(None, b"0123456789abcdef")


def _are_inside(values: Values) -> bool:
    if not _are_texts(values) or any(value.startswith("/") for value in values):
        return False
    return ".." not in "/".join(values).split("/")


def _are_json(values: Values) -> bool:
    """Whether all values are portable JSON: finite numbers, limited nesting."""
    level = values
    for _ in range(NESTED_MAX):
        types = _types(level)
        floats = [value for value in level if type(value) is float] if float in types else ()
        if not all(map(math.isfinite, floats)):
            return False
        if types.isdisjoint((dict, list)):
            return True
        objects = [value.values() for value in level if type(value) is dict]
        lists = [value for value in level if type(value) is list] if list in types else ()
        level = [*chain.from_iterable(objects), *chain.from_iterable(lists)]
    return False


_JSON_WORDS = f"an object of finite JSON values, at most {NESTED_MAX} levels deep"
# No NUL, which PostgreSQL refuses, and no lone surrogate, which UTF-8 cannot encode.
TEXT = Field("a text", _are_texts)
HEX16 = Field("16 hex digits", _are_hex16)
MOMENT = Field("a time, ISO 8601", _are_moments)
NUMBER = Field("a finite number", _are_numbers)
NUMBERS = Field(
    "two finite numbers",
    lambda values: (
        _types(values) == {list} and set(map(len, values)) == {2} and _all_inside(NUMBER, values)
    ),
)
PAIRS = Field(
    "a list of pairs of finite numbers",
    lambda values: _types(values) == {list} and _all_inside(NUMBERS, values),
)
TEXTS = Field(
    "a list of texts", lambda values: _types(values) == {list} and _all_inside(TEXT, values)
)
TRUTH = Field("true or false", lambda values: _types(values) == {bool})
INSIDE = Field("a place below the sweep directory", _are_inside)
LIST = Field("a list", lambda values: _types(values) == {list})
OBJECT = Field(_JSON_WORDS, lambda values: _types(values) == {dict} and _are_json(values))
