"""What a target reports, as JSON: numpy values, tuples, paths and enums become plain ones.

And what it says, as lines of a log.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from json.encoder import encode_basestring
from pathlib import PurePath
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.ids import LARGEST_INT_BITS, loaded_numpy, member

# Levels of lists and objects in what a target reports: every reader of JSON takes so many.
LEVELS_MAX = 200
# Characters of a place that a message shows.
_SHOWN = 80
# What is done with text that UTF-8 cannot hold.
ESCAPED = "backslashreplace"
# The levels of `logging`, which a task does without.
_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}


class Metrics:
    """Metrics by name, and who reported each first."""

    def __init__(self) -> None:
        # Of whom forks may report: None is everybody. A case's go to its worker by its own process.
        self.process: int | None = os.getpid()
        # JSON values.
        self.values: dict[str, Any] = {}
        self._origins: dict[str, str] = {}

    def merge(self, metrics: Mapping[str, Any], origin: str) -> dict[str, str]:
        """Take metrics over. *Raises* InputError when one has another value already.

        Returns where numbers were not finite, which are null now, and what they were.
        """
        lost: dict[str, str] = {}
        found = json_value(metrics, origin, lost)
        if self.process not in (None, os.getpid()):
            raise InputError(
                f"{origin}: a case's metrics are reported by the process that runs it",
                next_step="Hand them to that process, as multiprocessing's pools do by `return`.",
            )
        for name, value in found.items():
            known = self.values.get(name, value)
            if type(known) is not type(value) or known != value:
                raise InputError(
                    f"metric {name!r} is {known!r:.80} by {self._origins[name]} "
                    f"and {value!r:.80} by {origin}",
                    next_step="Report each metric once, or the same value everywhere.",
                )
        for name in found:
            self._origins.setdefault(name, origin)
        self.values.update(found)
        return lost

    def forget(self, origin: str) -> None:
        """Drop what one origin reported."""
        for name in [name for name, known in self._origins.items() if known == origin]:
            del self._origins[name], self.values[name]


def json_value(value: Any, where: str, lost: dict[str, str] | None = None) -> Any:
    """The JSON form of what a target reports: numpy values as Python's, dates as ISO 8601 writes
    them, NaN and infinities null.

    `where` names the value in messages; `lost` gets the places of what became null.
    *Raises* InputError for what JSON cannot hold.
    """
    # Counted, and not left to a RecursionError: that is the target's own, and when it comes differs
    # from one Python to the next.
    return _json_value(value, where, lost, LEVELS_MAX)


def _json_value(value: Any, where: str, lost: dict[str, str] | None, levels: int) -> Any:
    if not levels:
        what = f"is nested more than {LEVELS_MAX} levels deep, or holds itself"
        raise InputError(what, where=where[:_SHOWN])
    if isinstance(value, Enum):  # before str and int: many an Enum is one of them, too
        return _json_value(value.value, where, lost, levels - 1)
    if value is None or isinstance(value, bool | int | str | float):
        return _scalar(value, where, lost)
    if isinstance(value, Mapping):
        return _object(value, where, lost, levels)
    if isinstance(value, list | tuple):
        return [
            _json_value(item, f"{where}[{i}]", lost, levels - 1) for i, item in enumerate(value)
        ]
    plain = _of_a_library(value, where)
    if plain is value:
        what = f"a {type(value).__name__} is not a JSON value: {value!r:.80}"
        raise InputError(what, where=where)
    return _json_value(plain, where, lost, levels - 1)


def _of_a_library(value: Any, where: str) -> Any:
    """What Python's own types say of a value of a library; the value itself for an unknown one."""
    if isinstance(value, PurePath):
        return str(value)
    # A value of theirs exists only where these are loaded.
    numpy, datetime = loaded_numpy(), sys.modules.get("datetime")
    if datetime is not None and isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if numpy is not None and isinstance(value, numpy.datetime64):
        return str(value)
    if numpy is not None and isinstance(value, numpy.generic | numpy.ndarray):
        plain = value.tolist()
        return value if isinstance(plain, numpy.generic) else plain  # a longdouble stays what it is
    return _rounded(value, where) if _is_exact(value) else value


def _scalar(value: Any, where: str, lost: dict[str, str] | None) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, int):
        if value.bit_length() > LARGEST_INT_BITS:
            raise InputError(f"an int of {value.bit_length()} bits is too large", where=where)
        return int(value)
    if math.isfinite(value):
        return float(value)
    if lost is not None:
        lost[where] = repr(float(value))
    return None


def _is_exact(value: Any) -> bool:
    """Whether a value is a Decimal or a Fraction."""
    decimal, fractions = sys.modules.get("decimal"), sys.modules.get("fractions")
    return bool(decimal and isinstance(value, decimal.Decimal)) or bool(
        fractions and isinstance(value, fractions.Fraction)
    )


def _rounded(value: Any, where: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise InputError(f"{value!r:.80} is too large a number", where=where) from error
    except ValueError:  # a signalling NaN
        return math.nan


def _object(
    value: Mapping[Any, Any], where: str, lost: dict[str, str] | None, levels: int
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        name = _name(key, where)
        if name in found:
            raise InputError(f"two keys of one object are {name!r} in JSON", where=where)
        found[name] = _json_value(item, member(where, name), lost, levels - 1)
    return found


def _name(name: Any, where: str) -> str:
    if isinstance(name, str):
        return without_surrogates(name)
    if name is None or isinstance(name, bool | int | float):
        return json.dumps(name)
    raise InputError(f"a JSON object's keys are strings, one is {name!r:.80}", where=where)


def null_warnings(lost: Mapping[str, str]) -> list[str]:
    """What to say of numbers that became null, by their places as `json_value` gives them."""
    return [f"{where} is {given}, written as null" for where, given in lost.items()]


def without_surrogates(text: str) -> str:
    """The text as a plain string that UTF-8 can hold: lone surrogates, as in the name of a file
    that is not UTF-8, are written as their escapes."""
    return text.encode(errors=ESCAPED).decode()


def json_document(value: Any) -> bytes:
    """A JSON file for people and for jq: two spaces, sorted keys.

    As `json.dumps(value, indent=2, sort_keys=True)`, which leaves the fast encoder for a slow one.
    """
    try:
        return (_pretty(value, "\n") + "\n").encode()
    except RecursionError as error:
        raise InputError("a value is nested too deeply for JSON") from error


_compact = json.JSONEncoder(ensure_ascii=False).encode


def _pretty(value: Any, newline: str) -> str:
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is int or (kind is float and math.isfinite(value)):
        return repr(value)
    inner = newline + "  "
    if kind is dict and value:
        members = [
            f"{encode_basestring(name)}: {_pretty(value[name], inner)}" for name in sorted(value)
        ]
        return f"{{{inner}{f',{inner}'.join(members)}{newline}}}"
    if kind is list and value:
        return f"[{inner}{f',{inner}'.join([_pretty(item, inner) for item in value])}{newline}]"
    return _compact(value)


# --- lines of a log -------------------------------------------------------------------------------


def log_line(message: object, level: int | str) -> str:
    """A line of a log, UTC; further lines of the message are indented."""
    word = _LEVELS.get(level, f"Level {level}") if isinstance(level, int) else level
    text = "\n    ".join(str(message).splitlines())
    return f"[{_moment(int(time.time()))}] {word} {text}\n"


@lru_cache(maxsize=1)
def _moment(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
