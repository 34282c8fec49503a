"""Parse the metrics of a program: JSON, with the numbers that C, Fortran and awk print.

Beyond JSON it accepts `nan` and `inf` in every spelling, `.5`, `5.`, `+1`, `007` and a byte order
mark. An error quotes the text, with its position and what to print instead.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from typing import Any

from hpcsweep.errors import InputError

# A string, or the text between JSON's punctuation: a number or a word.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s,:\[\]{}"]+', re.DOTALL)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
# The spellings of printf, also of Microsoft's and AIX's: -nan, nan(ind), 1.#QNAN, NaNQ.
_NAN = re.compile(r"[+-]?(nan[qs]?(\(\w*\))?|1\.#(qnan|snan|ind)0*)", re.IGNORECASE)
_INFINITY = re.compile(r"([+-]?)(inf(inity)?|1\.#inf0*)", re.IGNORECASE)
# Fortran leaves out the E of an exponent of three digits: 1.5-103.
_FORTRAN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[dq]([+-]?\d+)|([+-]\d{3}))", re.IGNORECASE)
# How Python, R and Fortran print what JSON writes as true, false and null.
_WORDS_ELSEWHERE = {
    **dict.fromkeys(("true", ".true.", "t"), "true"),
    **dict.fromkeys(("false", ".false.", "f"), "false"),
    **dict.fromkeys(("none", "null", "na", "nil"), "null"),
}
_WORDS = frozenset({"true", "false", "null"})
# Characters of a text that a message quotes.
_QUOTED_MAX = 40
_NEXT_STEP = (
    "Print numbers as 1.5e-3 with a point, true, false or null, and text in double quotes, "
    'as in {"energy": 1.5e-3}.'
)


def parse_metrics(data: bytes, name: str) -> dict[str, Any]:
    """The metrics in a document. *Raises* InputError if it is not a JSON object."""
    text = _decode(data, name)
    try:
        metrics = _load(text, name)
    except InputError:
        raise
    except ValueError:
        metrics = _parse_lenient(text, name)
    except RecursionError as error:
        raise InputError(f"{name} is not JSON: it is nested too deeply") from error
    if not isinstance(metrics, dict):
        raise InputError(f"{name} holds no object of metrics by name", next_step=_NEXT_STEP)
    return metrics


def _decode(data: bytes, name: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        raise InputError(
            f"{name} is not JSON in UTF-8: it looks like UTF-16",
            next_step="Write it as UTF-8; PowerShell does with `-Encoding utf8`.",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} is not JSON in UTF-8: byte {error.start} is 0x{data[error.start]:02x}",
            next_step="Write it as UTF-8, or plain ASCII.",
        ) from error


def _parse_lenient(text: str, name: str) -> Any:
    pieces: list[str] = []
    # The end of each replaced token, in the text that is parsed and in the original.
    starts, origins = [0], [0]
    done = length = 0
    for token in _TOKEN.finditer(text):
        word = token[0]
        plain = word if word.startswith('"') or word in _WORDS else _number(word)
        if plain is None:
            raise _value_error(text, token.start(), word, name)
        if plain != word:
            pieces += [text[done : token.start()], plain]
            length += token.start() - done + len(plain)
            done = token.end()
            starts.append(length)
            origins.append(done)
    pieces.append(text[done:])
    try:
        return _load("".join(pieces), name)
    except json.JSONDecodeError as error:
        piece = bisect_right(starts, error.pos) - 1
        at = min(len(text), origins[piece] + error.pos - starts[piece])
        raise _syntax_error(text, at, error.msg, name) from error
    except InputError:
        raise
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON: {error}", next_step=_NEXT_STEP) from error


def _load(text: str, name: str) -> Any:
    """Parse JSON. *Raises* InputError for a name that is there twice, else like `json.loads`."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            left = dict.fromkeys(values)  # so None is what the first pop of a name returns
            twice = next(key for key, _ in pairs if left.pop(key, key) is not None)
            raise InputError(f"{name} has {_quoted(twice)} twice", next_step="Print it once.")
        return values

    return json.loads(text, object_pairs_hook=unique)


def _number(word: str) -> str | None:
    """The number in JSON's spelling; None if it is not a number."""
    if _NAN.fullmatch(word):
        return "NaN"
    if infinity := _INFINITY.fullmatch(word):
        return "-Infinity" if infinity[1] == "-" else "Infinity"
    if not _NUMBER.fullmatch(word):
        return None
    mantissa, mark, exponent = word.lower().lstrip("+").partition("e")
    minus = "-" if mantissa.startswith("-") else ""
    whole, point, fraction = mantissa.lstrip("-").partition(".")
    whole = whole.lstrip("0") or "0"
    return minus + whole + (point and f".{fraction or 0}") + mark + exponent


def _value_error(text: str, at: int, word: str, name: str) -> InputError:
    instead = _NEXT_STEP
    if number := _FORTRAN.fullmatch(word):
        plain = _number(f"{number[1]}E{number[2] or number[3]}")
        form = "in Fortran with an ES or G format, which writes E for D"
        if number[3]:
            form = "in Fortran with a format that has room for the E, as ES24.15E3"
        instead = f"Print {plain}: {form}."
    elif plain := _WORDS_ELSEWHERE.get(word.lower()):
        instead = f"Print {plain}, as Python's `json.dump` does."
    elif set(word) == {"*"}:
        instead = "Fortran prints stars for a number that its format is too narrow for: use G0."
    what = "is no number" if word[0] in "+-.*0123456789" else "is no value of JSON"
    where = _position(text, at)
    return InputError(f"{name} is not JSON: {_quoted(word)} {what} ({where})", next_step=instead)


def _syntax_error(text: str, at: int, message: str, name: str) -> InputError:
    for comma in re.finditer(r"[+-]?\d+,\d+(,\d+)*(\.\d+)?", text):
        # Behind it the error is another one: 1,2,3 may be the members of a list.
        if comma.start() <= at < comma.end():
            what = f"{_quoted(comma[0])} is no number"
            groups_digits = comma[1] or comma[2]
            plain = comma[0].replace(",", "" if groups_digits else ".")
            how = "without separators of thousands" if groups_digits else "with a decimal point"
            return InputError(
                f"{name} is not JSON: {what} ({_position(text, comma.start())})",
                next_step=f"Print {plain}: {how}, as programs do with LC_ALL=C.",
            )
    rest = text[at : at + _QUOTED_MAX]
    seen = f"at {_quoted(rest)}" if rest.strip() else "at its end"
    what = f"{message.removesuffix(' at')} {seen}"
    return InputError(f"{name} is not JSON: {what} ({_position(text, at)})", next_step=_NEXT_STEP)


def _position(text: str, at: int) -> str:
    before = text[:at]
    return f"line {before.count(chr(10)) + 1}, column {at - before.rfind(chr(10))}"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTED_MAX else f"{text[:_QUOTED_MAX]}…")
