"""Tables as pandas DataFrames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nan
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hpcsweep.tables.arrow import import_pyarrow
from hpcsweep.tables.batches import batches_of
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
    # Ints stay exact: NaN would make them floats.
    dtypes = {"int": "Int64", "bool": "boolean"}
    texts_are_arrow = getattr(pandas.Series([""]).dtype, "storage", None) == "pyarrow"
    parts: dict[str, _Column] = {}
    for name in columns.names:
        kind = columns.kinds[name]
        parts[name] = _Texts() if kind == "str" and texts_are_arrow else _Column(dtypes.get(kind))
    for batch in batches_of(columns, rows):
        for name, column in parts.items():
            column.add(batch.values[name], batch.nulls.get(name, ()))
    frame: pd.DataFrame = pandas.DataFrame(
        {name: column.series(pandas) for name, column in parts.items()}
    )
    return frame


class _Column:
    """The values of one column, batch by batch."""

    def __init__(self, dtype: str | None = None) -> None:
        # What pandas keeps the values in if some are missing.
        self._dtype = dtype
        self._values: list[Any] = []

    def add(self, values: Sequence[Any], nulls: Sequence[int]) -> None:
        """Add the values of a batch; those at the positions `nulls` are null, not missing."""
        self._values += _filled(values, nulls, None if self._dtype else nan)

    def series(self, pandas: ModuleType) -> pd.Series[Any]:
        """All values."""
        series: pd.Series[Any] = pandas.Series(
            self._values, dtype=self._dtype if None in self._values else None
        )
        return series


class _Texts(_Column):
    """Texts as pandas 3 keeps them, in Arrow: a tenth of the memory of Python's."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: list[pa.StringArray] = []
        # A column without any text has no type of its own.
        self._is_empty = True

    def add(self, values: Sequence[Any], nulls: Sequence[int]) -> None:
        """Add the values of a batch."""
        chunk = import_pyarrow("to_dataframe").array(values, "string")
        self._chunks.append(chunk)
        if chunk.null_count < len(chunk):
            self._is_empty = False
            self._values.clear()
        elif self._is_empty:
            super().add(values, nulls)

    def series(self, pandas: ModuleType) -> pd.Series[Any]:
        """All values."""
        if self._is_empty:
            return super().series(pandas)
        chunks = import_pyarrow("to_dataframe").chunked_array(self._chunks)
        series: pd.Series[Any] = pandas.Series(chunks, dtype="str")
        return series


def _filled(values: Sequence[Any], nulls: Sequence[int], missing: Any) -> Sequence[Any]:
    """The values with `missing` in place of each that a row does not have."""
    if missing is None or None not in values:
        return values
    filled = [missing if value is None else value for value in values]
    for at in nulls:
        filled[at] = None
    return filled
