"""Cells of CSV: the type of a column, from all of its cells, and the value of each.

CSV has no types. One cell on its own says nothing: `1E5` may be the name of a sample, and `100`
stands beside `000` where both are labels. What all cells of a column can be, the column is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from hpcsweep.errors import SourceError

# Numbers as Python writes them; "001" is not one, and makes its column one of texts.
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,599})", re.ASCII)
_FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?", re.ASCII)
_BEYOND = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
# The spellings of Python, C and R, and spreadsheets.
_BOOLEANS = dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(
    ("false", "False", "FALSE"), False
)
# Missing values in any column; the spreadsheets' word is never meant as a text.
_NOTHING = frozenset({"", "#N/A"})
# Missing values beside numbers and booleans (R, pandas, C, SQL); beside texts NA may be Namibia.
_MISSING = frozenset({"NA", "N/A", "NaN", "nan", "-nan", "NAN", "null", "NULL", "None"})
# Errors of formulas in spreadsheets.
_FAILED = frozenset({"#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"})
_NO_SPACE = "Remove the space: in CSV it belongs to the cell."


# What the cells of a column have been so far, of several kinds all of them. No enum: its operators
# cost as much as all the rest of reading a cell.
NOTHING, BOOLEAN, INTEGER, FLOAT, TEXT = 0, 1, 2, 4, 8
# The kinds of a column of one type; all other columns are texts.
_TYPES = (NOTHING, BOOLEAN, INTEGER, FLOAT, INTEGER | FLOAT)


def column_kinds(rows: Iterable[Sequence[str]], columns: int) -> list[int]:
    """The kind of each column over all rows; rows are not kept."""
    kinds = [NOTHING] * columns
    for row in rows:
        for position, text in enumerate(row):
            if kinds[position] < TEXT:
                kinds[position] |= _cell_kind(text.strip())
    return [kind if kind in _TYPES else TEXT for kind in kinds]


def _cell_kind(bare: str) -> int:
    if _INTEGER.fullmatch(bare):
        return INTEGER
    if bare in _NOTHING or bare in _MISSING:
        return NOTHING
    if bare in _BOOLEANS:
        return BOOLEAN
    return FLOAT if _FLOAT.fullmatch(bare) or _BEYOND.fullmatch(bare) else TEXT


def parse_cell(text: str, kind: int, where: str) -> Any:
    """The value of a cell in a column of this kind. *Raises* SourceError."""
    if text in _FAILED:
        raise SourceError(
            f"{text} is the error of a formula",
            where=where,
            next_step="Correct it in the spreadsheet, or leave the cell empty.",
        )
    if text in _NOTHING:
        return None
    if kind == TEXT:
        return text
    if text != text.strip():
        raise SourceError(
            f"{text!r} has a space beside it, so it would be text", where=where, next_step=_NO_SPACE
        )
    if text in _MISSING:
        return None
    try:
        if kind == BOOLEAN:
            return _BOOLEANS[text]
        number = int(text) if kind == INTEGER else float(text)
    except (KeyError, ValueError) as error:
        raise SourceError(
            f"{text!r} was not there a moment ago",
            where=where,
            next_step="The file is being written: try again when it is finished.",
        ) from error
    if kind != INTEGER:
        _check_float(text, number, where)
    return number


def _check_float(text: str, number: float, where: str) -> None:
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


def is_written_otherwise(text: str, value: Any) -> bool:
    """Whether JSON, and so a command, spells a value unlike the cell."""
    if isinstance(value, str):
        return False
    return text != (repr(value) if type(value) in (int, float) else json.dumps(value))
