"""Cells of sheets: the type of a column, from all of its cells, and the value of each.

Text has no types. One cell on its own says nothing: `1E5` may be the name of a sample, and `100`
stands beside `000` where both are labels. What all cells of a column can be, the column is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from hpcsweep.errors import SourceError

# Plain numbers; "001" and "+5" are none, and make their column one of texts.
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,599})", re.ASCII)
_FLOAT = re.compile(r"-?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]+)?", re.ASCII)
_BEYOND = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
# The spellings of Python, C and R, and spreadsheets.
_BOOLEANS = dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(
    ("false", "False", "FALSE"), False
)
# Where a manifest says that a column is boolean, in any case. Without it they may be anything: T is
# a nucleobase, and 1 a number.
_BOOLEAN_WORDS = dict.fromkeys(("true", "t", "yes", "y", "1"), True) | dict.fromkeys(
    ("false", "f", "no", "n", "0"), False
)
# Numbers for a person: 0,5 and 1,000 and 10% and $5. Versions, dates and addresses have more
# separators, and not between groups of three digits.
_LIKE_NUMBER = re.compile(
    r"[-+\u2212]?[$\u20ac\u00a3]?"
    r"(?:[0-9]{1,3}(?:([.,'\u00a0\u202f ])[0-9]{3}(?:\1[0-9]{3})*(?:[.,][0-9]+)?)"
    r"|[0-9]+(?:[.,'\u00a0\u202f ][0-9]+)?)\s?[%$\u20ac\u00a3]?",
    re.ASCII,
)
# How numbers begin: 16o and 1_000 are texts, and were meant otherwise.
_LIKE_BEGIN = re.compile(r"[-+]?[.,]?[0-9]", re.ASCII)
# Missing values in any column; the spreadsheets' word is never meant as a text.
_NOTHING = frozenset({"", "#N/A"})
# Missing values beside numbers and booleans (R, pandas, C, SQL); beside texts NA may be Namibia.
_MISSING = frozenset({"NA", "N/A", "NaN", "nan", "-nan", "NAN", "null", "NULL", "None"})
# Errors of formulas in spreadsheets.
_FAILED = frozenset({"#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"})
_NO_SPACE = "Remove the space: it belongs to the cell."


# What the cells of a column have been so far, of several kinds all of them. No enum: its operators
# cost as much as all the rest of reading a cell.
NOTHING, BOOLEAN, INTEGER, FLOAT, TEXT = 0, 1, 2, 4, 8
# The kinds of a column of one type; all other columns are texts.
_ONE_TYPE = (NOTHING, BOOLEAN, INTEGER, FLOAT, INTEGER | FLOAT)
# The kinds of the types that a manifest names.
TYPES = {"text": TEXT, "integer": INTEGER, "number": INTEGER | FLOAT, "boolean": BOOLEAN}

# Lines in which numbers are looked for in a column whose first cells are texts, and how many of its
# texts are looked at.
_SAMPLE_ROWS = 1000
_SAMPLE_TEXTS = 8

# A line of a file, for messages, and its cells.
Line = tuple[str, Sequence[str]]
# Takes a column, and a sentence about what makes it one of texts that people may not expect.
Note = Callable[[str, str], None]
# The value of a cell, from its text and where it is. *Raises* SourceError.
Parse = Callable[[str, str], Any]


class TextCell(str):
    """A cell that its file calls a text: '12' in it is no number."""

    __slots__ = ()


class CellRules:
    """How the cells of one sheet are read."""

    def __init__(self, decimal: str = ".", missing: Collection[str] | None = None) -> None:
        """`missing`: texts without a value in every column, in place of `NA` and its like."""
        self._decimal = decimal
        self._nothing = _NOTHING | frozenset(missing or ())
        self._missing = _MISSING if missing is None else frozenset[str]()

    def column_kinds(
        self, lines: Iterable[Line], names: Sequence[str], types: Mapping[str, str], note: Note
    ) -> list[int]:
        """The kind of each column over all lines, which are not kept.

        `types`: of some columns by name, as in TYPES. A column that is one of texts for a few cells
        alone, or of texts that look like something else, is noted. *Raises* SourceError for a cell
        that is not of the type of its column.
        """
        kinds = [NOTHING] * len(names)
        inferred = [position for position, name in enumerate(names) if name not in types]
        # By column: the first texts, and where each is.
        texts: dict[int, dict[str, str]] = {}
        checked = [
            (position, types[name])
            for position, name in enumerate(names)
            if types.get(name, "text") != "text"
        ]
        for number, (where, row) in enumerate(lines):
            for position in inferred:
                if kinds[position] < TEXT or number < _SAMPLE_ROWS:
                    kind = self._kind(row[position])
                    kinds[position] |= kind
                    if kind and kinds[position] not in _ONE_TYPE:
                        seen = texts.setdefault(position, {})
                        if len(seen) < _SAMPLE_TEXTS:
                            seen.setdefault(str(row[position]), where)
            for position, type_ in checked:
                self._check_type(row[position], names[position], type_, where)
        for position, seen in texts.items():
            sentence = _texts_note(names[position], seen, kinds[position])
            if sentence:
                note(names[position], sentence)
        given = (TYPES[types[name]] if name in types else NOTHING for name in names)
        return [of or (kind if kind in _ONE_TYPE else TEXT) for kind, of in zip(kinds, given)]

    def _check_type(self, text: str, name: str, type_: str, where: str) -> None:
        is_word = type_ == "boolean" and text.lower() in _BOOLEAN_WORDS
        if not is_word and self._kind(text) | TYPES[type_] != TYPES[type_]:
            raise _type_error(text, name, type_, where)

    def _kind(self, text: str) -> int:
        bare = text.strip()
        if bare in self._nothing or bare in self._missing:
            return NOTHING
        if type(text) is TextCell:
            return TEXT
        if _INTEGER.fullmatch(bare):
            return INTEGER
        if bare in _BOOLEANS:
            return BOOLEAN
        if _FLOAT.fullmatch(self._with_point(bare)) or _BEYOND.fullmatch(bare):
            return FLOAT
        return TEXT

    def _with_point(self, text: str) -> str:
        """A number with a decimal point; where the mark is a comma, a text with a point is none."""
        if self._decimal == ".":
            return text
        return "" if "." in text else text.replace(self._decimal, ".")

    def parser(self, kind: int) -> Parse:
        """Parses the cells of a column of this kind."""
        if kind == TEXT:
            return self._text
        parsers: dict[int, Parse] = {BOOLEAN: _boolean, INTEGER: _integer, NOTHING: _never}
        return partial(self._value, parsers.get(kind, self._float))

    def _text(self, text: str, where: str) -> str | None:
        if text in _FAILED:
            raise _formula_error(text, where)
        return None if text in self._nothing else str(text)

    def _value(self, parse: Parse, text: str, where: str) -> Any:
        if text in self._nothing:
            return None
        if text in _FAILED:
            raise _formula_error(text, where)
        if text != text.strip():
            raise SourceError(
                f"{text!r} has a space beside it, so it would be text",
                where=where,
                next_step=_NO_SPACE,
            )
        return None if text in self._missing else parse(text, where)

    def _float(self, text: str, where: str) -> float:
        spelled = self._with_point(text)
        try:
            number = float(spelled)
        except ValueError as error:
            raise _changed_error(text, where) from error
        problem = ""
        if not math.isfinite(number):
            problem = "has no JSON form"
        elif _INTEGER.fullmatch(spelled) and int(spelled) != number:
            problem = "has more digits than a float, which other cells of its column are"
        elif not number and re.search("[1-9]", re.split("[eE]", spelled)[0]):
            problem = "is too small for a float, and would be 0"
        if problem:
            raise SourceError(
                f"{text!r} {problem}", where=where, next_step="Use a number, or leave it empty."
            )
        return number


def _texts_note(name: str, texts: Mapping[str, str], kinds: int) -> str:
    """What to say of a column of texts that may have been meant otherwise; "" for nothing.

    `texts`: the first ones with their places; `kinds` of all cells.
    """
    text, where = next(iter(texts.items()))
    place = f"{where}: {text!r:.60}"
    if kinds | BOOLEAN in (TEXT | BOOLEAN, INTEGER | BOOLEAN) and _are_boolean(texts):
        return f"{place} in {name} is a text; for true and false write `types: {{{name}: boolean}}`"
    # Digits alone begin with a zero: a label, such as 007.
    looks_like = (_LIKE_NUMBER.fullmatch(other) and not other.isdigit() for other in texts)
    if kinds & TEXT and all(looks_like):
        return (
            f"{place} in {name} is a text and no number: numbers have a point, or what `decimal` "
            "says, and neither thousands separators nor signs such as %; if it is one of texts, "
            f"write `types: {{{name}: text}}`"
        )
    if kinds == TEXT:
        return ""
    return f"{place} makes {name} a column of texts; where it means no value, list it in `missing`"


def note_of_list(name: str, values: Sequence[Any], where: str) -> str:
    """What to say of a list of numbers with texts that look like one; "" for nothing."""
    if not any(type(value) in (int, float) for value in values):
        return ""
    for position, value in enumerate(values):
        if type(value) is str and (_LIKE_BEGIN.match(value) or value in _MISSING):
            return (
                f"{where}[{position}]: {value!r:.60} in {name} is a text among numbers, and cases "
                "get it as one; write a number, or null for no value"
            )
    return ""


def _are_boolean(texts: Iterable[str]) -> bool:
    return all(text.lower() in _BOOLEAN_WORDS for text in texts)


def _boolean(text: str, where: str) -> bool:
    value = _BOOLEAN_WORDS.get(text.lower())
    if value is None:
        raise _changed_error(text, where)
    return value


def _integer(text: str, where: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise _changed_error(text, where) from error


def _never(text: str, where: str) -> Any:
    """*Raises* SourceError: the column had no values."""
    raise _changed_error(text, where)


def _changed_error(text: str, where: str) -> SourceError:
    return SourceError(
        f"{text!r} was not there a moment ago",
        where=where,
        next_step="The file is being written: try again when it is finished.",
    )


def _type_error(text: str, name: str, type_: str, where: str) -> SourceError:
    return SourceError(
        f"{text!r} in the column {name!r} is not of the type {type_}",
        where=where,
        next_step="Correct the cell, or the type; `missing` lists texts that mean no value.",
    )


def _formula_error(text: str, where: str) -> SourceError:
    return SourceError(
        f"{text} is the error of a formula",
        where=where,
        next_step="Correct it in the spreadsheet, or leave the cell empty.",
    )


def is_written_otherwise(text: str, value: Any) -> bool:
    """Whether JSON, and so a command, spells a number, a boolean or null unlike the cell."""
    return text != (repr(value) if type(value) in (int, float) else json.dumps(value))
