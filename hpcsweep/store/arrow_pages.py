"""Pages of an index in SQLite as Arrow arrays: ADBC's driver makes no object for each value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sqlalchemy import CompoundSelect, Float, Integer
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine

from hpcsweep.store import schema
from hpcsweep.store.pages import ARROW_ROWS_MAX
from hpcsweep.store.same_values import ArrowPage
from hpcsweep.store.sqlite_opening import is_open, opening

if TYPE_CHECKING:
    import pyarrow as pa

# Milliseconds to wait for a writer of the file. Python's SQLite waits longer.
_PATIENCE_MS = 500


def arrow_page(path: Path, query: CompoundSelect[Any]) -> ArrowPage | None:
    """What the query of a page returns, as arrays of the types of its columns.

    None where Python's SQLite has to read, which finds out why: the driver is not installed, this
    process has the file open, a writer has it locked or left its journal, a value has another type.
    """
    try:
        import adbc_driver_manager as manager  # noqa: PLC0415  # extras
        import adbc_driver_sqlite as driver  # noqa: PLC0415
        import pyarrow as pa  # noqa: PLC0415
    except ImportError:
        return None
    # Literals, as pyarrow loads pandas to make values that could be bound.
    sql = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    try:
        with opening():
            if is_open(path):
                return None
            with _statement(path, manager, driver) as statement:
                # The driver takes the types of columns from the first batch.
                statement.set_options(
                    **{driver.StatementOptions.BATCH_ROWS.value: str(ARROW_ROWS_MAX)}
                )
                statement.set_sql_query(str(sql))
                stream, _ = statement.execute_query()
                table = pa.RecordBatchReader.from_stream(stream).read_all()
        return {
            column.name: _typed(values, column.type, pa)
            for column, values in zip(query.selected_columns, table.columns, strict=True)
        }
    except (manager.Error, pa.ArrowException, OSError):
        return None


@contextmanager
def _statement(path: Path, manager: ModuleType, driver: ModuleType) -> Iterator[Any]:
    """A statement on a read-only connection. *Raises* `adbc_driver_manager.Error`."""
    with (
        closing(driver.connect(f"{path.absolute().as_uri()}?mode=ro")) as database,
        closing(manager.AdbcConnection(database)) as connection,
        closing(manager.AdbcStatement(connection)) as statement,
    ):
        statement.set_sql_query(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        statement.execute_query()
        yield statement


def _typed(values: pa.ChunkedArray, type_: TypeEngine[Any], pa: ModuleType) -> pa.Array:
    """A column as one array of its type. *Raises* ArrowException for other values."""
    of = [pa.string()]
    if isinstance(type_, schema.Number):  # the driver makes floats of ints among floats
        of = [pa.int64(), pa.float64()]
    elif isinstance(type_, Integer):
        of = [pa.int64()]
    elif isinstance(type_, Float):
        of = [pa.float64()]
    if values.null_count == len(values):  # the driver takes them for integers
        return pa.nulls(len(values), of[0])
    # To combine a single chunk copies it.
    array = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    if array.type not in of:
        raise pa.ArrowInvalid
    array.validate(full=True)  # UTF-8, which the driver takes as it is
    return array
