"""Identity: plain values, their canonical text, and derived ids (invariants 2 and 4).

The canonical text is RFC 8785 (JSON Canonicalization Scheme), extended to integers beyond binary64.
Every hash includes the version of its format: the same params have the same case id on every
machine, for ever.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from json.encoder import encode_basestring
from pathlib import PurePath
from typing import IO, Any, NoReturn

from hpcsweep.errors import IdentityError

CASE_ID_VERSION = 1
# Below 640 digits, the lowest value that Python allows for its limit on int <-> str.
LARGEST_INT_BITS = 2048
DEEPEST_NESTING = 64
RUN_SLUG_LIMIT = 60
# The key of an object that stands for a number which JSON lacks, by its text: {"$float": "nan"}.
FLOAT = "$float"
FLOATS = {text: float(text) for text in ("nan", "inf", "-inf")}
_FLOAT_OBJECTS = tuple({FLOAT: text} for text in FLOATS)

_EXACT_IN_BINARY64 = 2**53
_ALLOWED = "Use None, True, False, numbers, text, lists, and dicts whose keys are text."


def plain(value: Any, where: str = "params") -> Any:
    """A JSON-plain copy of `value`, with the types that the user's function receives.

    `1` stays an int, `1.0` a float; tuples become lists, an Enum its value, a path its text, a
    numpy scalar the Python number with exactly its value. `where` names the value in messages.
    *Raises* IdentityError with the path of a value that has no exact JSON form.
    """
    return _plain(value, where, ())


def canonical(value: Any, where: str = "params") -> str:
    """The canonical text of `value`; texts are equal if and only if the values are.

    `1`, `1.0` and numpy's one are equal, `True` differs, `-0.0` equals `0`.
    *Raises* IdentityError like `plain`.
    """
    return _text(_plain(value, where, ()))


def canonical_of_plain(value: Any) -> str:
    """The canonical text of a result of `plain`."""
    return _text(value)


def case_id(params: Mapping[str, Any], replicate: int = 0) -> str:
    """16 hex digits that identify the params and, from 1 on, the replicate.

    *Raises* IdentityError if params are not a mapping or have no canonical form.
    """
    if not isinstance(params, Mapping):
        _refuse(f"params are a {type(params).__name__}, not a dict", "params", _ALLOWED)
    return case_id_of(canonical(params), replicate)


def case_id_of(canonical_text: str, replicate: int = 0) -> str:
    """The case id of params with a known canonical text."""
    if replicate < 0:
        _refuse(f"{replicate} is negative", "replicate", "Replicates are counted from 0.")
    # The text ends with "}", so the suffix cannot be mistaken for part of it.
    suffix = f"#{replicate}" if replicate else ""
    return _hash16(f"hpcsweep case {CASE_ID_VERSION}\n{canonical_text}{suffix}")


def case_ids_of(canonical_texts: Iterable[str]) -> list[str]:
    """`case_id_of` many canonical texts, without replicates."""
    start, sha256 = f"hpcsweep case {CASE_ID_VERSION}\n", hashlib.sha256
    return [sha256((start + text).encode()).hexdigest()[:16] for text in canonical_texts]


def case_seed(sweep_seed: int, case_id: str, replicate: int) -> int:
    """The seed of a case, 128 bits; independent of its position in the source."""
    return int(case_seeds(sweep_seed, [case_id], [replicate])[0], 16)


def case_seeds(sweep_seed: int, case_ids: Iterable[str], replicates: Iterable[int]) -> list[str]:
    """`case_seed` of many cases, each as 32 hex digits."""
    # Hexadecimal: Python limits the length of decimal conversions, and a seed is any int.
    start = f"hpcsweep seed 1\n{sweep_seed:x}\n"
    return [
        hashlib.blake2b(f"{start}{case_id}\n{replicate}".encode(), digest_size=16).hexdigest()
        for case_id, replicate in zip(case_ids, replicates)
    ]


def fingerprint(value: Any) -> str:
    """16 hex digits over the canonical text of a plain value, e.g. a frozen manifest."""
    return _hash16(f"hpcsweep fingerprint 1\n{canonical(value, 'manifest')}")


def slug(text: str, limit: int) -> str:
    """`text` as a file name of 1 to `limit` characters of `[A-Za-z0-9._=+-]`.

    It never begins with `.` or `-`: it is neither a hidden file nor an option.
    """
    return re.sub(r"[^A-Za-z0-9._=+-]+", "-", text).lstrip(".-")[:limit] or "_"


def run_id(canonical_text: str, case_id: str) -> str:
    """The name of a run: a readable slug of the params, then the case id.

    Depends on the canonical text only: `dt=0.001_omega=1-0123456789abcdef`.
    """
    params = json.loads(canonical_text, parse_float=str, parse_int=str)
    return f"{slug('_'.join(_readable('', params)), RUN_SLUG_LIMIT)}-{case_id}"


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names in the order of RFC 8785: by UTF-16 code units."""
    listed = list(names)
    if "".join(listed).isascii():
        return sorted(listed)
    return sorted(listed, key=lambda name: name.encode("utf-16-be"))


def member(where: str, key: str) -> str:
    """The path of member `key` of the object at path `where`."""
    return f"{where}.{key}" if key.isidentifier() else f"{where}[{shown(key)}]"


def shown(value: Any) -> str:
    """A value in at most 60 ASCII characters, for messages."""
    try:
        text = ascii(value)
    except ValueError:  # an int beyond Python's limit for int <-> str
        return f"a very large {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _hash16(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sha256_of(stream: IO[bytes]) -> bytes:
    """The SHA-256 of the rest of a file. `hashlib.file_digest` is newer than Python 3.10."""
    digest = hashlib.sha256()
    while piece := stream.read(1 << 16):
        digest.update(piece)
    return digest.digest()


def _readable(path: str, value: Any) -> list[str]:
    """Parts `a.b=1` of a nested value; lists are joined with `+`."""
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        return [piece for key in value for piece in _readable(prefix + key, value[key])]
    if isinstance(value, list):
        return [f"{path}={'+'.join('_'.join(_readable('', item)) for item in value)}"]
    shown = value if isinstance(value, str) else json.dumps(value)
    return [f"{path}={shown}" if path else shown]


# --- plain values -----------------------------------------------------------------------------


def _plain(value: Any, where: str, above: tuple[int, ...]) -> Any:
    """Implement `plain`; `above` holds the ids of the enclosing containers."""
    kind = type(value)
    if kind is float:
        if not math.isfinite(value):
            _refuse(f"{value!r} has no JSON form", where, "Use a finite number, or None.")
    elif kind is int:
        if value.bit_length() > LARGEST_INT_BITS:
            _refuse(
                f"an int of {value.bit_length()} bits; at most {LARGEST_INT_BITS} are allowed",
                where,
                "Give it as text.",
            )
    elif kind is str:
        _check_text(value, where)
    elif kind is dict or kind is list:
        return _plain_container(value, where, above)
    elif value is not None and kind is not bool:
        return _plain_scalar_or_library(value, where, above)
    return value


def loaded_numpy() -> Any:
    """The module numpy if it is fully loaded, else None: without it no value is a numpy value.

    Returns None while another thread is importing it.
    """
    numpy = sys.modules.get("numpy")
    beginning = getattr(getattr(numpy, "__spec__", None), "_initializing", False)
    return None if beginning else numpy


def _plain_scalar_or_library(value: Any, where: str, above: tuple[int, ...]) -> Any:  # noqa: RET503  # NoReturn
    if isinstance(value, Enum):  # before str and int: an Enum may be one of them, too
        return _plain(value.value, where, above)
    numpy = loaded_numpy()
    if numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray)):
        return _plain_numpy(value, where, numpy)
    if isinstance(value, PurePath):
        return _plain(str(value), where, above)
    for scalar, exactly in _SCALARS:
        if isinstance(value, scalar):
            return _plain(exactly(value), where, above)
    if isinstance(value, (list, tuple, Mapping)):
        return _plain_container(value, where, above)
    kind = type(value).__name__
    _refuse(f"a {kind} has no exact JSON form", where, _HINTS.get(kind, _ALLOWED))


def _plain_container(value: Any, where: str, above: tuple[int, ...]) -> Any:
    if id(value) in above:
        _refuse("it contains itself", where, "Give a copy without the inner reference.")
    if len(above) == DEEPEST_NESTING:
        _refuse(f"nested more than {DEEPEST_NESTING} levels deep", where, "Flatten it.")
    above = (*above, id(value))
    if not isinstance(value, Mapping):
        return [_plain(item, f"{where}[{i}]", above) for i, item in enumerate(value)]
    result = {}
    for key, item in value.items():
        if not isinstance(key, str):
            _refuse(f"the key {shown(key)} is not text", where, "Write it as text.")
        inner = member(where, key)
        _check_text(key, inner)
        result[str.__str__(key)] = _plain(item, inner, above)
    if len(result) == 1 and result in _FLOAT_OBJECTS:
        _refuse(f"{result} stands for a number in results", where, "Use another key, or None.")
    return result


def _plain_numpy(value: Any, where: str, numpy: Any) -> Any:
    """The Python value of a numpy bool, integer, float64 or str; refuses everything else."""
    if isinstance(value, numpy.ndarray):
        _refuse("a numpy array has no identity of its own", where, "Use array.tolist().")
    exact = (numpy.bool_, numpy.integer, numpy.float64, numpy.str_)
    # timedelta64 is an integer in numpy's type hierarchy.
    if not isinstance(value, exact) or isinstance(value, numpy.timedelta64):
        _refuse(
            f"numpy.{type(value).__name__} {value} has no exact JSON form",
            where,
            "Say which binary64 number is meant: float(value), or float(str(value)).",
        )
    return _plain(value.item(), where, ())


def _check_text(text: str, where: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise IdentityError(
            f"{shown(text)} has a lone surrogate at position {error.start}",
            where=where,
            next_step="Give text that can be written as UTF-8.",
        ) from error


def _refuse(what: str, where: str, next_step: str) -> NoReturn:
    raise IdentityError(what, where=where, next_step=next_step)


# Conversions of the base types, which a subclass of a scalar cannot override.
_SCALARS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
)
_HINTS = {
    "set": "Give it as a sorted list.",
    "frozenset": "Give it as a sorted list.",
    "bytes": "Give it as text, e.g. value.hex().",
    "bytearray": "Give it as text, e.g. value.hex().",
    "Decimal": "Give it as a float, or as text.",
    "Fraction": "Give it as a float, or as text.",
    "complex": "Give its two parts as a list.",
    "date": "Give it as text: value.isoformat().",
    "datetime": "Give it as text: value.isoformat().",
    "range": "Give it as list(value).",
    "generator": "Give it as list(value).",
    "function": "Give its name as text and look it up in the target.",
}


# --- canonical text ---------------------------------------------------------------------------


def _text(value: Any) -> str:
    """The canonical text of a plain value."""
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is float:
        return _float_text(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return _int_text(value)
    if kind is dict:
        return "{" + ",".join([_member_text(value, key) for key in in_order(value)]) + "}"
    if kind is list:
        return "[" + ",".join([_text(item) for item in value]) + "]"
    return "null"


def _member_text(value: dict[str, Any], key: str) -> str:
    return f"{encode_basestring(key)}:{_text(value[key])}"


def _float_text(number: float) -> str:
    """ECMAScript's Number::toString: Python's shortest digits in JavaScript's notation."""
    if number == 0:
        return "0"
    text = repr(number)
    if "e" not in text:
        return text.removesuffix(".0")
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = text.removeprefix("-").partition("e")
    digits = mantissa.replace(".", "")
    # The value is 0.digits * 10**point; names and cases follow ECMA-262, Number::toString.
    point = int(exponent) + 1
    # Python uses an exponent from 1e16 on, and no float needs more than 17 digits: the decimal
    # point cannot be inside the digits here.
    if 0 < point <= 21:
        return sign + digits.ljust(point, "0")
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{point - 1:+d}"


def _int_text(number: int) -> str:
    if -_EXACT_IN_BINARY64 <= number <= _EXACT_IN_BINARY64:
        return str(number)
    exact = str(number)
    try:
        nearest = float(number)
    except OverflowError:
        return exact
    text = _float_text(nearest)
    if nearest == number:
        return text
    # 2**60 has the text 1152921504606847000, the shortest for this binary64. The integer with
    # exactly these digits is a different value; the suffix ".0", unused in ECMAScript, marks it.
    return f"{exact}.0" if exact == text else exact
