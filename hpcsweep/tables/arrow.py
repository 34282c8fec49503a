"""Tables as Arrow: batches of typed columns, streamed, and as Parquet files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hpcsweep.files import atomic_output
from hpcsweep.logbook.json_values import without_surrogates
from hpcsweep.tables.arrow_arrays import arrow_array
from hpcsweep.tables.batches import batches_of
from hpcsweep.tables.columns import TableColumns, TableRow
from hpcsweep.tables.extras import import_extra
from hpcsweep.tables.formats import cell

if TYPE_CHECKING:
    import pyarrow as pa

# Rows in a Parquet row group, at least.
GROUP_ROWS = 20_000
# Columns of texts of which each row has another one.
_DIFFERENT = frozenset({"case_id", "seed"})


def import_pyarrow(what: str) -> ModuleType:
    """The module, for `what`. *Raises* ExtraMissing without it."""
    return import_extra("pyarrow", "parquet", what)


def arrow_schema(columns: TableColumns) -> pa.Schema:
    """The selected columns and their types; what is neither number nor truth value is a string."""
    pa = import_pyarrow("Arrow")
    types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    return pa.schema(
        [
            (without_surrogates(name), types.get(columns.kinds[name], pa.string()))
            for name in columns.names
        ]
    )


def arrow_batches(columns: TableColumns, rows: Iterable[TableRow]) -> Iterator[pa.RecordBatch]:
    """The rows with the selected columns; what a row does not have is null."""
    pa = import_pyarrow("Arrow")
    schema = arrow_schema(columns)
    for batch in batches_of(columns, rows, as_arrow=True):
        arrays = [
            typed_array(batch.values[name], columns.kinds[name], type_)
            for name, type_ in zip(columns.names, schema.types, strict=True)
        ]
        yield pa.record_batch(arrays, schema=schema)


def arrow_table(columns: TableColumns, rows: Iterable[TableRow]) -> pa.Table:
    """All rows in memory. *Raises* ExtraMissing without pyarrow."""
    pa = import_pyarrow("to_arrow")
    return pa.Table.from_batches(arrow_batches(columns, rows), arrow_schema(columns))


def write_parquet(columns: TableColumns, rows: Iterable[TableRow], output: Path) -> None:
    """Write a Parquet file atomically, one row group at a time.

    *Raises* ExtraMissing without pyarrow, SweepError if the file cannot be written.
    """
    pa = import_pyarrow("Parquet")
    pq = import_extra("pyarrow.parquet", "parquet", "Parquet")
    schema = arrow_schema(columns)
    # A dictionary of texts that hardly come twice takes longer and saves nothing.
    repeated = [
        name
        for name in columns.names
        if columns.kinds[name] in {"str", "json"} and name not in _DIFFERENT
    ]
    writing = pq.ParquetWriter
    with atomic_output(output) as path, writing(path, schema, use_dictionary=repeated) as writer:
        for some in _groups(arrow_batches(columns, rows)):
            table = pa.Table.from_batches(some, schema)
            writer.write_table(table, row_group_size=table.num_rows)


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Successive batches that make a row group."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        group.append(batch)
        if sum(one.num_rows for one in group) >= GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def typed_array(values: Any, kind: str, type_: pa.DataType) -> pa.Array:
    """Values of a batch, in a column of this kind, as an Arrow array. *Raises* as `arrow_array`."""
    if isinstance(values, import_pyarrow("Arrow").Array):
        # A page of a column of floats may have only ints, also those that float64 cannot represent.
        return values if values.type == type_ else values.cast(type_, safe=kind != "float")
    return arrow_array(_typed(values, kind), type_)


def _typed(values: Sequence[Any], kind: str) -> Sequence[Any]:
    """Values that pyarrow takes for a column of this kind."""
    if kind == "json":  # like CSV: strings without quotes, beside numbers
        return [None if value is None else cell(value) for value in values]
    if kind == "float" and int in set(map(type, values)):
        # pyarrow refuses an int that float64 cannot represent.
        return [None if value is None else float(value) for value in values]
    return values
