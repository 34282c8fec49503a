"""Cells of CSV: the type of a column, from all of its cells, and the value of each.

CSV has no types. One cell on its own says nothing: `1E5` may be the name of a sample, and `100`
stands beside `000` where both are labels. What all cells of a column can be, the column is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from enum import IntFlag
from typing import Any

from hpcsweep.errors import SourceError

# Numbers as Python writes them; "001" is none of them, and makes its column one of texts.
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,599})", re.ASCII)
_FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?", re.ASCII)
_BEYOND = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
# How Python, C and R, and spreadsheets write them.
_BOOLEANS = dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(
    ("false", "False", "FALSE"), False
)
# Nothing, in any column; and the spreadsheets' word for it, which nobody means as a text.
_NOTHING = frozenset({"", "#N/A"})
# Nothing, beside numbers and booleans: R, pandas, C, SQL. Beside texts NA may be Namibia.
_MISSING = frozenset({"NA", "N/A", "NaN", "nan", "-nan", "NAN", "null", "NULL", "None"})
# What spreadsheets show where a formula failed.
_FAILED = frozenset({"#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"})
_NO_SPACE = "Remove the space: in CSV it belongs to the cell."


class Kind(IntFlag):
    """What the cells of a column have been so far; of several kinds, all of them."""

    # Empty cells, and words for it.
    NOTHING = 0
    BOOLEAN = 1
    INTEGER = 2
    FLOAT = 4
    NUMBER = INTEGER | FLOAT
    TEXT = 8


def kinds(rows: Iterable[Sequence[str]], columns: int) -> list[Kind]:
    """The kind of each column, of all rows; none of them is kept."""
    found = [Kind.NOTHING] * columns
    for row in rows:
        for position, text in enumerate(row):
            if not found[position] & Kind.TEXT:
                found[position] |= _kind(text.strip())
    return [kind if kind in _TYPES else Kind.TEXT for kind in found]


def _kind(bare: str) -> Kind:
    if bare in _NOTHING or bare in _MISSING:
        return Kind.NOTHING
    if bare in _BOOLEANS:
        return Kind.BOOLEAN
    if _INTEGER.fullmatch(bare):
        return Kind.INTEGER
    return Kind.FLOAT if _FLOAT.fullmatch(bare) or _BEYOND.fullmatch(bare) else Kind.TEXT


# The kinds of a column of one type; all others are texts.
_TYPES = (Kind.NOTHING, Kind.BOOLEAN, Kind.INTEGER, Kind.FLOAT, Kind.NUMBER)


def value(text: str, kind: Kind, where: str) -> Any:
    """The value of a cell in a column of this kind. *Raises* SourceError for what has none."""
    if text in _FAILED:
        raise SourceError(
            f"{text} is the error of a formula",
            where=where,
            next_step="Correct it in the spreadsheet, or leave the cell empty.",
        )
    if text in _NOTHING:
        return None
    if kind is Kind.TEXT:
        return text
    if text != text.strip():
        raise SourceError(
            f"{text!r} has a space beside it, so it would be text", where=where, next_step=_NO_SPACE
        )
    if text in _MISSING:
        return None
    if _kind(text) & ~kind:
        raise SourceError(
            f"{text!r} was not there a moment ago",
            where=where,
            next_step="The file is being written: try again when it is finished.",
        )
    if kind is Kind.BOOLEAN:
        return _BOOLEANS[text]
    return int(text) if kind is Kind.INTEGER else _float(text, where)


def _float(text: str, where: str) -> float:
    number = float(text)
    problem = ""
    if not math.isfinite(number):
        problem = "has no JSON form"
    elif _INTEGER.fullmatch(text) and int(text) != number:
        problem = "has more digits than a float, which other cells of its column are"
    elif not number and re.search("[1-9]", re.split("[eE]", text)[0]):
        problem = "is too small for a float, and would be 0"
    if problem:
        raise SourceError(
            f"{text!r} {problem}", where=where, next_step="Use a number, or leave it empty."
        )
    return number


def is_written_otherwise(text: str, value: Any) -> bool:
    """Whether JSON, and so a command, would show a value in other characters than the cell has."""
    if isinstance(value, str):
        return False
    return text != (repr(value) if type(value) in (int, float) else json.dumps(value))
