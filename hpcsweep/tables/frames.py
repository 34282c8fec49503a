"""Tables as pandas DataFrames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nan
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import ExtraMissing
from hpcsweep.tables.batches import batches_of
from hpcsweep.tables.columns import TableColumns, TableRow

if TYPE_CHECKING:
    import pandas as pd


def data_frame(columns: TableColumns, rows: Iterable[TableRow]) -> pd.DataFrame:
    """The rows as a DataFrame; what a row does not have is NaN, or NA in a column of ints or bools.

    *Raises* ExtraMissing without pandas.
    """
    try:
        import pandas as pd  # noqa: PLC0415  # an extra, and slow to import
    except ImportError as error:
        raise ExtraMissing(
            "to_dataframe needs pandas", next_step="Install it: pip install 'hpcsweep[pandas]'"
        ) from error
    values: dict[str, list[Any]] = {name: [] for name in columns.names}
    # Ints stay exact: NaN would make them floats.
    dtypes = {name: {"int": "Int64", "bool": "boolean"}.get(columns.kinds[name]) for name in values}
    for batch in batches_of(columns, rows):
        for name, dtype in dtypes.items():
            of_batch = batch.values[name]
            missing = None if dtype else nan
            values[name] += _filled(of_batch, batch.nulls.get(name, ()), missing)
    series = {
        name: pd.Series(column, dtype=dtypes[name] if None in column else None)
        for name, column in values.items()
    }
    return pd.DataFrame(series, columns=columns.names)


def _filled(values: Sequence[Any], nulls: Sequence[int], missing: Any) -> Sequence[Any]:
    """The values with `missing` in place of each that a row does not have."""
    if missing is None or None not in values:
        return values
    filled = [missing if value is None else value for value in values]
    for at in nulls:
        filled[at] = None
    return filled
