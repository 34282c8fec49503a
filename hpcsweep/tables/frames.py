"""Tables as pandas DataFrames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nan
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hpcsweep.logbook.json_values import without_surrogates
from hpcsweep.tables.arrow import import_pyarrow, typed_array
from hpcsweep.tables.arrow_arrays import escaped
from hpcsweep.tables.batches import as_list, batches_of
from hpcsweep.tables.columns import TableColumns, TableRow
from hpcsweep.tables.extras import import_extra

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def data_frame(columns: TableColumns, rows: Iterable[TableRow]) -> pd.DataFrame:
    """The rows as a DataFrame; what a row does not have is NaN, or NA in a column of ints or bools.

    *Raises* ExtraMissing without pandas.
    """
    pandas = import_extra("pandas", "pandas", "to_dataframe")
    # Before pandas 3, and without pyarrow, texts are Python's.
    in_arrow = getattr(pandas.Series([""]).dtype, "storage", None) == "pyarrow"
    parts: dict[str, _Column] = {}
    for name in columns.names:
        kind = columns.kinds[name]
        parts[name] = _ArrowColumn(kind) if in_arrow and kind != "json" else _Column(kind)
    for batch in batches_of(columns, rows, as_arrow=in_arrow):
        for name, column in parts.items():
            column.add(batch.values[name], batch.nulls.get(name, ()))
    series = {without_surrogates(name): column.series(pandas) for name, column in parts.items()}
    # To put columns of one type together would copy them: that takes as long as to make them.
    frame: pd.DataFrame = pandas.DataFrame(series, copy=False)
    return frame


# What pandas keeps values in if some are missing, by kind: NaN would make ints floats.
_DTYPES = {"int": "Int64", "bool": "boolean"}


class _Column:
    """The values of one column, batch by batch."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._values: list[Any] = []
        # Whether any value is null, and not missing.
        self._has_nulls = False

    def add(self, values: Any, nulls: Sequence[int]) -> None:
        """Add the values of a batch; those at the positions `nulls` are null, not missing."""
        self._has_nulls = self._has_nulls or bool(nulls)
        self._values += _filled(values, nulls, None if self._kind in _DTYPES else nan)

    def series(self, pandas: ModuleType) -> pd.Series[Any]:
        """All values."""
        dtype = _DTYPES.get(self._kind) if None in self._values else None
        series: pd.Series[Any]
        try:
            series = pandas.Series(self._values, dtype=dtype)
        except UnicodeEncodeError:  # of texts that it keeps in Arrow
            series = pandas.Series(escaped(self._values), dtype=dtype)
        return series


class _ArrowColumn(_Column):
    """Values of one kind, as Arrow arrays until the end: a tenth of the memory of Python's."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self._chunks: list[pa.Array] = []
        # Whether no row has a value: the column has no type of its own.
        self._is_empty = True

    def add(self, values: Any, nulls: Sequence[int]) -> None:
        """Add the values of a batch, which may be an Arrow array. *Raises* as `arrow_array`."""
        if isinstance(values, import_pyarrow("to_dataframe").Array):
            chunk = values
        else:
            kind = self._kind_of(values)
            chunk = typed_array(values, kind, _arrow_type(kind))
        self._chunks.append(chunk)
        if chunk.null_count < len(chunk):
            self._is_empty = False
            self._values.clear()
        elif self._is_empty:
            super().add(as_list(values), nulls)

    def _kind_of(self, values: Any) -> str:
        """The kind of the values of a batch: a column of floats may have only ints there."""
        is_exact = self._kind == "float" and set(map(type, values)) == {int}
        return "int" if is_exact else self._kind

    def series(self, pandas: ModuleType) -> pd.Series[Any]:
        """All values."""
        if self._is_empty and not self._has_nulls:
            return _missing(len(self._values), _DTYPES.get(self._kind), pandas)
        if self._is_empty:
            return super().series(pandas)
        chunks = self._in_one_type()
        if self._kind == "str":
            dtype: Any = "str"
        elif self._kind in _DTYPES and chunks.null_count:
            dtype = _DTYPES[self._kind]
            chunks = pandas.api.types.pandas_dtype(dtype).__from_arrow__(chunks)
        else:
            dtype, chunks = None, _own(chunks)
        series: pd.Series[Any] = pandas.Series(chunks, dtype=dtype, copy=False)
        return series

    def _in_one_type(self) -> pa.ChunkedArray:
        # A column of floats is one of ints where it has only ints, as pandas makes it.
        types = {chunk.type for chunk in self._chunks}
        has_floats = self._kind == "float" and len(types) > 1
        type_ = _arrow_type("float" if has_floats else self._kind)
        arrow = import_pyarrow("to_dataframe")
        if len(types) > 1:
            return arrow.chunked_array([chunk.cast(type_, safe=False) for chunk in self._chunks])
        if types == {type_} or self._kind == "float":
            return arrow.chunked_array(self._chunks)
        # All at once, as a call takes 0.2 ms; and pages of a value that stays are one array.
        own = {id(chunk): chunk for chunk in self._chunks}
        cast = arrow.chunked_array(own.values()).cast(type_, safe=False)
        by_id = dict(zip(own, cast.chunks, strict=True))
        return arrow.chunked_array([by_id[id(chunk)] for chunk in self._chunks])


def _missing(count: int, dtype: str | None, pandas: ModuleType) -> pd.Series[Any]:
    """A column of rows that do not have it; numpy fills it sooner than pandas looks for a type."""
    value = pandas.NA if dtype else nan
    series: pd.Series[Any] = pandas.Series(value, index=pandas.RangeIndex(count), dtype=dtype)
    return series


def _arrow_type(kind: str) -> pa.DataType:
    """The type of the values of a kind; a column without any values takes int64."""
    arrow = import_pyarrow("to_dataframe")
    match kind:
        case "str":
            return arrow.large_string()  # pandas would make it of `string`
        case "bool":
            return arrow.bool_()
        case "float":
            return arrow.float64()
    return arrow.int64()


def _own(chunks: pa.ChunkedArray) -> Any:
    """An array of numpy's that may be changed: those of chunks belong to Arrow."""
    import numpy  # noqa: PLC0415  # pandas has loaded it

    return numpy.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks.chunks])


def _filled(values: Sequence[Any], nulls: Sequence[int], missing: Any) -> Sequence[Any]:
    """The values with `missing` in place of each that a row does not have."""
    if missing is None or None not in values:
        return values
    if not nulls and values.count(None) == len(values):
        return [missing] * len(values)
    filled = [missing if value is None else value for value in values]
    for at in nulls:
        filled[at] = None
    return filled
