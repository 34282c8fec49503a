"""Schemas of documents as tables of checks, for data that was read and may be damaged.

A check never raises, whatever JSON it gets. Standard library only: tasks use it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

INT32_MAX, INT64_MAX = 2**31 - 1, 2**63 - 1
# Levels of nested lists and objects; well below Python's recursion limit.
NESTED_MAX = 500
# Characters of an invalid value that a message shows.
SHOWN = 60


class Field(NamedTuple):
    """The check of one kind of value."""

    # The expected kind, with its article.
    words: str
    # Whether a value is valid.
    holds: Callable[[Any], bool]


Fields = Mapping[str, Field]
# For each field: name, whether it is required, the check, and the field itself.
Schema = tuple[tuple[str, bool, Callable[[Any], bool], Field], ...]


def schema(required: Fields, optional: Fields | None = None) -> Schema:
    """A schema with required and optional fields; null equals a missing optional field.

    Other fields may hold anything.
    """
    fields = [(name, True, field) for name, field in required.items()]
    fields += [(name, False, field) for name, field in (optional or {}).items()]
    return tuple((name, must, field.holds, field) for name, must, field in fields)


def mismatch(document: Any, schema: Schema) -> str:
    """What is wrong with the first invalid field; empty if the document is valid."""
    if type(document) is not dict:
        return f"it is {abbreviated(document)}, not an object"
    get = document.get
    for name, must, holds, field in schema:  # hot loop: called for millions of records
        value = get(name)
        if value is None:
            if must:
                return _mismatch_of(name, None, field) if name in document else f"it has no {name}"
        elif not holds(value):
            return _mismatch_of(name, value, field)
    return ""


def _mismatch_of(name: str, value: Any, field: Field) -> str:
    return f"its {name} is {abbreviated(value)}, not {field.words}"


def abbreviated(value: Any) -> str:
    """A value in ASCII, truncated; the cost does not depend on the size of the value."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    text = ascii(value[:SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


# --- kinds of values -----------------------------------------------------------------------------


def integer(low: int = 0, high: int = INT64_MAX) -> Field:
    """An integer in a range; booleans are not integers."""
    return Field(
        f"an integer from {low} to {high}",
        lambda value: type(value) is int and low <= value <= high,
    )


def matching(pattern: str, words: str) -> Field:
    """A string that matches a pattern completely."""
    match = re.compile(pattern, re.ASCII).fullmatch
    return Field(words, lambda value: type(value) is str and match(value) is not None)


def one_of(choices: Iterable[str]) -> Field:
    """One of several strings."""
    words = frozenset(str(choice) for choice in choices)
    return Field(
        f"one of {', '.join(sorted(words))}", lambda value: type(value) is str and value in words
    )


def by_name(field: Field) -> Field:
    """An object whose values are all of one kind."""
    return Field(
        f"an object of {field.words} by name",
        lambda value: type(value) is dict and all(map(field.holds, value.values())),
    )


def _is_text(value: Any) -> bool:
    if type(value) is not str or "\0" in value:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _is_moment(value: Any) -> bool:
    if type(value) is not str or not value.isascii():
        return False
    from datetime import datetime  # noqa: PLC0415  # no first start of a task reads a time

    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_number(value: Any) -> bool:
    if type(value) is int:
        return -INT64_MAX <= value <= INT64_MAX
    return type(value) is float and math.isfinite(value)


def _is_inside(value: Any) -> bool:
    if not _is_text(value) or value.startswith("/"):
        return False
    return ".." not in value or ".." not in value.split("/")


def is_json(value: Any) -> bool:
    """Whether a value is portable JSON: finite numbers, limited nesting."""
    level = [value]
    below: list[Any]
    for _ in range(NESTED_MAX):
        below = []
        for item in level:
            kind = type(item)
            if kind is dict:
                below += item.values()
            elif kind is list:
                below += item
            elif kind is float and not math.isfinite(item):
                return False
        if not below:
            return True
        level = below
    return False


_JSON_WORDS = f"an object of finite JSON values, at most {NESTED_MAX} levels deep"
# No NUL, which PostgreSQL refuses, and no lone surrogate, which UTF-8 cannot encode.
TEXT = Field("a text", _is_text)
HEX16 = matching("[0-9a-f]{16}", "16 hex digits")
MOMENT = Field("a time, ISO 8601", _is_moment)
NUMBER = Field("a finite number", _is_number)
NUMBERS = Field(
    "two finite numbers",
    lambda value: type(value) is list and len(value) == 2 and all(map(_is_number, value)),
)
TEXTS = Field("a list of texts", lambda value: type(value) is list and all(map(_is_text, value)))
TRUTH = Field("true or false", lambda value: type(value) is bool)
INSIDE = Field("a place below the sweep directory", _is_inside)
LIST = Field("a list", lambda value: type(value) is list)
OBJECT = Field(_JSON_WORDS, lambda value: type(value) is dict and is_json(value))
