"""Arrow arrays from lists of Python's values, without pandas.

`pyarrow.array` imports pandas for any list, where it is installed (26.0): that is 0.2 s, a quarter
of the time of a `collect` of 10,000 rows.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from hpcsweep.logbook.json_values import without_surrogates
from hpcsweep.tables.extras import import_extra

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_array(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    """The values as an array of strings, 64-bit numbers or truth values; None is null.

    Lone surrogates, which Arrow cannot hold, are escaped, as in other files.
    *Raises* as `pyarrow.array` for values that it does not convert to this type.
    """
    try:
        return _array(values, type_)
    except UnicodeEncodeError:
        return _array(escaped(values), type_)


def escaped(values: Sequence[Any]) -> list[Any]:
    """The values with their lone surrogates escaped."""
    return [without_surrogates(value) if isinstance(value, str) else value for value in values]


def _array(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    arrow = import_extra("pyarrow", "parquet", "Arrow")
    if "pandas" in sys.modules:
        return arrow.array(values, type_)
    missing = values.count(None)
    if missing == len(values):
        return arrow.nulls(len(values), type_)
    try:
        buffers = _buffers(values, str(type_))
    except (TypeError, OverflowError, UnicodeEncodeError):  # it converts some, or says why not
        return arrow.array(values, type_)
    present = _bits([value is not None for value in values]) if missing else None
    made = [None if of is None else arrow.py_buffer(of) for of in (present, *buffers)]
    return arrow.Array.from_buffers(type_, len(values), made, missing)


def _buffers(values: Sequence[Any], type_: str) -> list[Any]:
    """What Arrow keeps of values that are all of one type or None, but which of them are None.

    *Raises* TypeError, OverflowError, UnicodeEncodeError.
    """
    match type_:
        case "string":
            texts = _filled(values, "")
            data = "".join(texts).encode()
            pieces = texts if data.isascii() else [text.encode() for text in texts]
            return [array("i", accumulate(map(len, pieces), initial=0)), data]
        case "int64":
            return [array("q", _filled(values, 0))]
        case "double":
            return [array("d", _filled(values, 0.0))]
    flags = _filled(values, by=False)
    if set(map(type, flags)) != {bool}:
        raise TypeError
    return [_bits(flags)]


def _filled(values: Sequence[Any], by: Any) -> Sequence[Any]:
    """The values with another one in place of each None."""
    return [by if value is None else value for value in values] if None in values else values


def _bits(flags: Sequence[bool]) -> Any:
    import numpy  # noqa: PLC0415  # an extra; pyarrow has loaded it

    return numpy.packbits(flags, bitorder="little")
