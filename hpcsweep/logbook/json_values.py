"""Values of a target as JSON: numpy scalars, tuples, paths and enums become plain values.

Also formats messages as lines of a log.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from json.encoder import encode_basestring
from pathlib import PurePath
from types import TracebackType
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.ids import FLOAT, FLOATS, LARGEST_INT_BITS, loaded_numpy, member

# Levels of nested lists and objects; every JSON reader accepts this many.
LEVELS_MAX = 200
# Characters of an exception's message, and of its traceback from the end, that are kept.
EXCEPTION_TEXT_MAX = 20_000
# The types of pandas' `NA` and `NaT`, by name: a task does not load pandas. Their modules are
# below `pandas`; which these are differs by its version.
_MISSING = ("NAType", "NaTType")
# What becomes of a number that JSON lacks, by its path.
_Replace = Callable[[str, float], Any]
# Characters of a value's path that a message shows.
_SHOWN = 80
# The error handler for text that UTF-8 cannot encode.
ESCAPED = "backslashreplace"
# The levels of `logging`, which a task does not import.
_LEVELS = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}


class Metrics:
    """Metrics by name, with the origin that reported each first."""

    def __init__(self) -> None:
        # Process id that may report; None allows forks. A case's own process sends its metrics.
        self.process: int | None = os.getpid()
        # JSON values.
        self.values: dict[str, Any] = {}
        self._origins: dict[str, str] = {}

    def merge(self, metrics: Mapping[str, Any], origin: str) -> None:
        """Add metrics. *Raises* InputError when one already has another value."""
        plain = metric_values(metrics, origin)
        if self.process not in (None, os.getpid()):
            raise InputError(
                f"{origin}: a case's metrics are reported by the process that runs it",
                next_step="Hand them to that process, as multiprocessing's pools do by `return`.",
            )
        for name, value in plain.items():
            before = self.values.get(name, value)
            if type(before) is not type(value) or before != value:
                raise InputError(
                    f"metric {name!r} is {before!r:.80} by {self._origins[name]} "
                    f"and {value!r:.80} by {origin}",
                    next_step="Report each metric once, or the same value everywhere.",
                )
        for name in plain:
            self._origins.setdefault(name, origin)
        self.values.update(plain)

    def forget(self, origin: str) -> None:
        """Remove what one origin reported."""
        for name in [name for name, other in self._origins.items() if other == origin]:
            del self._origins[name], self.values[name]


def json_value(value: Any, where: str, lost: dict[str, str] | None = None) -> Any:
    """A reported value as JSON: numpy values as Python's, dates as ISO 8601, NaN and infinities
    as null.

    `where` names the value in messages; `lost` collects the paths of values that became null.
    *Raises* InputError for a value that JSON cannot represent.
    """

    def replace(path: str, number: float) -> None:
        if lost is not None:
            lost[path] = repr(number)

    # Count levels instead of catching RecursionError: the limit would depend on the target's own
    # recursion and on the Python version.
    return _json_value(value, where, replace, LEVELS_MAX)


def metric_values(metrics: Any, where: str) -> Any:
    """Metrics as `json_value` makes them, but each NaN or infinity as an object with its text.

    `with_floats` is the inverse. An object that is in this form already remains as it is: a program
    may read the metrics of another one. *Raises* InputError, also for a metric named `FLOAT`, with
    which all metrics of a case could be such an object.
    """
    plain = _json_value(metrics, where, lambda _, number: {FLOAT: repr(number)}, LEVELS_MAX)
    if isinstance(plain, dict) and FLOAT in plain:
        what = f"no metric can be named {FLOAT}: it marks NaN and infinities"
        raise InputError(what, where=where, next_step="Give it another name.")
    return plain


def with_floats(value: Any) -> Any:
    """JSON values of `metric_values` with their NaN and infinities."""
    if isinstance(value, dict):
        return float_of({name: with_floats(item) for name, item in value.items()})
    return [with_floats(item) for item in value] if isinstance(value, list) else value


def float_of(document: dict[str, Any]) -> Any:
    """The number for which a JSON object stands, or the object; an `object_hook` of JSON."""
    text = document.get(FLOAT)
    return FLOATS.get(text, document) if len(document) == 1 and type(text) is str else document


def with_words(value: Any) -> Any:
    """JSON values whose NaN and infinities are texts: "NaN", "Infinity", "-Infinity"."""
    if isinstance(value, Mapping):
        return {name: with_words(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [with_words(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    return value


def _json_value(value: Any, where: str, replace: _Replace, levels: int) -> Any:
    if not levels:
        what = f"is nested more than {LEVELS_MAX} levels deep, or holds itself"
        raise InputError(what, where=where[:_SHOWN])
    if isinstance(value, Enum):  # before str and int: an Enum may be one of them, too
        return _json_value(value.value, where, replace, levels - 1)
    if value is None or isinstance(value, (bool, int, str, float)):
        return _scalar(value, where, replace)
    if isinstance(value, Mapping):
        return _object(value, where, replace, levels)
    if isinstance(value, (list, tuple)):
        return [
            _json_value(item, f"{where}[{i}]", replace, levels - 1) for i, item in enumerate(value)
        ]
    plain = _plain_library_value(value, where)
    if plain is value:
        what = f"a {type(value).__name__} is not a JSON value: {value!r:.80}"
        raise InputError(what, where=where, next_step=_advice(value))
    return _json_value(plain, where, replace, levels - 1)


def _advice(value: Any) -> str:
    """How to report a value that is not one of JSON; empty where that is not known."""
    numpy = loaded_numpy()
    if numpy is not None and isinstance(value, numpy.timedelta64):
        return _timedelta_advice(value, numpy)
    if hasattr(value, "total_seconds"):
        return "Give its seconds, by `.total_seconds()`."
    if isinstance(value, complex):
        return "Give its `.real` and `.imag`, or `abs(…)` of it, as metrics of their own."
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return "Give its fields, by `dataclasses.asdict(…)`."
    if isinstance(value, (set, frozenset)):
        return "Give a list, by `sorted(…)`."
    if numpy is not None and isinstance(value, numpy.generic):  # its `tolist()` is no plain value
        return "Give a float, by `float(…)`." if isinstance(value, numpy.longdouble) else ""
    return "Give its numbers, by `.tolist()`." if hasattr(value, "tolist") else ""


def _timedelta_advice(value: Any, numpy: Any) -> str:
    unit, _ = numpy.datetime_data(value)
    if unit in ("Y", "M", "generic"):  # numpy knows no seconds of these
        return "Give its number, by `int(value.astype(int))`."
    return 'Give its seconds, by `value / numpy.timedelta64(1, "s")`.'


def _plain_library_value(value: Any, where: str) -> Any:
    """A library's value as a plain Python value; unknown ones are returned unchanged."""
    if isinstance(value, PurePath):
        return str(value)
    if type(value).__name__ in _MISSING and type(value).__module__.startswith("pandas."):
        return None
    # A value of one of these libraries can exist only if the library is loaded.
    numpy, datetime = loaded_numpy(), sys.modules.get("datetime")
    if datetime is not None and isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        return _plain_numpy(value, numpy)
    if _is_array_of_one(value):
        return value.item()
    return _to_float(value, where) if _is_exact(value) else value


def _plain_numpy(value: Any, numpy: Any) -> Any:
    """The Python value of numpy's; a duration or a longdouble, which has none, unchanged."""
    # Of these types and their arrays `tolist()` makes an int without its unit where the unit is
    # "ns", and an object of `datetime` where it is "s".
    if value.dtype.kind in "mM":
        if isinstance(value, numpy.ndarray):
            return list(value) if value.ndim else value[()]
        if numpy.isnat(value):
            return None
        return str(value) if value.dtype.kind == "M" else value
    plain = value.tolist()
    return value if isinstance(plain, numpy.generic) else plain


def _is_array_of_one(value: Any) -> bool:
    """Whether a value is an array without dimensions, such as a loss of PyTorch or JAX."""
    ndim = getattr(value, "ndim", None)
    return type(ndim) is int and ndim == 0 and callable(getattr(value, "item", None))


def _scalar(value: Any, where: str, replace: _Replace) -> Any:
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
    return replace(where, float(value))


def _is_exact(value: Any) -> bool:
    """Whether a value is a Decimal or a Fraction."""
    decimal, fractions = sys.modules.get("decimal"), sys.modules.get("fractions")
    return bool(decimal and isinstance(value, decimal.Decimal)) or bool(
        fractions and isinstance(value, fractions.Fraction)
    )


def _to_float(value: Any, where: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise InputError(f"{value!r:.80} is too large a number", where=where) from error
    except ValueError:  # a signalling NaN
        return math.nan


def _object(value: Mapping[Any, Any], where: str, replace: _Replace, levels: int) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, item in value.items():
        name = _name(key, where)
        if name in plain:
            raise InputError(f"two keys of one object are {name!r} in JSON", where=where)
        plain[name] = _json_value(item, member(where, name), replace, levels - 1)
    return plain


def _name(name: Any, where: str) -> str:
    if isinstance(name, str):
        return without_surrogates(name)
    if name is None or isinstance(name, (bool, int, float)):
        return json.dumps(name)
    raise InputError(f"a JSON object's keys are strings, one is {name!r:.80}", where=where)


def null_warnings(lost: Mapping[str, str]) -> list[str]:
    """Warnings for numbers that became null, by their paths as `json_value` collects them."""
    return [f"{where} is {given}, written as null" for where, given in lost.items()]


def without_surrogates(text: str) -> str:
    """The text as a plain string that UTF-8 can encode: lone surrogates, as in the name of a file
    that is not UTF-8, are escaped."""
    return text.encode(errors=ESCAPED).decode()


def exception_fields(error: BaseException, trace: TracebackType | None) -> dict[str, str]:
    """Type, message and traceback of what user code raised, cut to `EXCEPTION_TEXT_MAX`."""
    try:
        message, text = str(error), "".join(traceback.format_exception(type(error), error, trace))
    except Exception:  # noqa: BLE001  # a user's class may raise in __str__
        message, text = "(its message cannot be printed)", ""
    return {
        "type": type(error).__name__,
        "message": without_surrogates(message[:EXCEPTION_TEXT_MAX]),
        "traceback": without_surrogates(text[-EXCEPTION_TEXT_MAX:]),
    }


def json_document(value: Any) -> bytes:
    """A JSON file for people and for jq: two-space indent, sorted keys.

    Same text as `json.dumps(value, indent=2, sort_keys=True)`, but with the fast C encoder.
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
    """A line of a log, UTC; continuation lines of the message are indented."""
    label = _LEVELS.get(level, f"Level {level}") if isinstance(level, int) else level
    text = "\n    ".join(str(message).splitlines())
    return f"[{_timestamp(int(time.time()))}] {label} {text}\n"


@lru_cache(maxsize=1)
def _timestamp(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
