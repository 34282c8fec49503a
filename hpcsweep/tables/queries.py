"""SQL over tables: one SELECT by DuckDB, which reads the same batches as every format.

DuckDB sees these tables and nothing else: no file, no network, no variable of Python.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from decimal import Decimal
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import HpcsweepError, InputError
from hpcsweep.store.column_kinds import INT64
from hpcsweep.tables.arrow import arrow_batches, arrow_schema, import_pyarrow
from hpcsweep.tables.batches import ROWS_AT_ONCE, TableBatch, rows_of
from hpcsweep.tables.columns import TableColumns, TableRow
from hpcsweep.tables.extras import import_extra

if TYPE_CHECKING:
    import pyarrow as pa

# DuckDB's own default is four fifths of the memory, of a login node with many users.
_MEMORY_GB = 4
# What it does not fit into its memory it refuses, and writes no file.
SETTINGS = {
    "memory_limit": f"{_MEMORY_GB}GB",
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "temp_directory": "",
    "threads": "2",
}
_OPTION = "--sql"


@dataclass(frozen=True, kw_only=True, slots=True)
class SqlTable:
    """A table that SQL may name."""

    columns: TableColumns
    # Its rows, from the first one each time.
    rows: Callable[[], Iterator[TableRow]]


def query(sql: str, tables: Mapping[str, SqlTable]) -> tuple[TableColumns, Iterator[TableRow]]:
    """The columns and rows of one SELECT over these tables.

    *Raises* InputError for an error in the SQL, ExtraMissing without DuckDB, and what reading a
    table raises; the iterator as well.
    """
    import_pyarrow(_OPTION)
    duckdb = import_extra("duckdb", "duckdb", _OPTION)
    running = _Query(sql, tables, duckdb)
    reader = running.start()
    columns = _columns_of(reader.schema)
    return columns, running.rows(reader, columns)


class _Query:
    """One statement in a database of its own."""

    def __init__(self, sql: str, tables: Mapping[str, SqlTable], duckdb: ModuleType) -> None:
        self._sql = sql
        self._tables = tables
        self._duckdb = duckdb
        self._connection = duckdb.connect(":memory:", config=SETTINGS)
        # What reading a table raised: DuckDB passes on its text alone.
        self._raised: list[HpcsweepError] = []

    def start(self) -> pa.RecordBatchReader:
        """Begin to execute it. *Raises* InputError."""
        try:
            used = self._used_columns()
            for name, table in self._tables.items():
                _refuse_ambiguous(table.columns.names, used)
                stream = _ArrowStream(_narrowed(table, used), self._raised)
                self._connection.register(name, stream)
            self._connection.execute("SET lock_configuration = true").fetchall()
            return self._connection.sql(self._sql).to_arrow_reader(ROWS_AT_ONCE)
        except self._duckdb.Error as error:
            raise self._problem(error) from error

    def rows(self, reader: pa.RecordBatchReader, columns: TableColumns) -> Iterator[TableRow]:
        """The rows of its result. *Raises* as `start`."""
        with closing(self._connection):
            try:
                for batch in reader:
                    yield from rows_of(_plain_batch(batch, columns), columns.names)
            except (self._duckdb.Error, OSError) as error:
                raise self._problem(error) from error

    def _used_columns(self) -> set[str] | None:
        """The columns that the statement names, in lower case; None for all.

        *Raises* InputError for what is not one SELECT.
        """
        statements = self._connection.extract_statements(self._sql)
        select = self._duckdb.StatementType.SELECT
        if [statement.type for statement in statements] != [select]:
            raise InputError(
                "it is not one SELECT",
                where=_OPTION,
                next_step=f"Write one SELECT over {' or '.join(self._tables)}.",
            )
        parsed = self._connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [self._sql])
        return _names_in(json.loads(parsed.fetchall()[0][0]))

    def _problem(self, error: Exception) -> HpcsweepError:
        """What to say of an error: the one that reading a table raised, or that of the SQL."""
        if self._raised:
            return self._raised[0]
        if isinstance(error, self._duckdb.OutOfMemoryException):
            return InputError(
                f"DuckDB needs more than {_MEMORY_GB} GB of memory for it",
                where=_OPTION,
                next_step="Name fewer columns, select fewer rows, or write Parquet by --output "
                "and query that.",
            )
        lines = str(error).partition("\n\nLINE ")[0].splitlines()
        what = " ".join(line for line in lines if line and not line.startswith("Did you mean"))
        return InputError(
            what,
            where=_OPTION,
            next_step=f"Tables: {', '.join(self._tables)}, with the columns of `collect`; put a "
            'name with other characters than letters, digits and _ in double quotes: "a.b".',
        )


def _refuse_ambiguous(names: Sequence[str], used: set[str] | None) -> None:
    """*Raises* InputError for a used column of which another one differs by case alone.

    DuckDB would take the first of them, without a word.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.lower(), []).append(name)
    for name in sorted(used or ()):
        if len(several := alike.get(name, ())) > 1:
            raise InputError(
                f"{' and '.join(several)} are one name in SQL, which does not tell case apart",
                where=_OPTION,
                next_step="Select and sort them with --columns, --where and --sort; or write "
                "Parquet by --output, for a program that tells them apart.",
            )


def _narrowed(table: SqlTable, used: set[str] | None) -> SqlTable:
    """The table with the used columns, at least one."""
    every = table.columns.names
    names = [name for name in every if used is None or name.lower() in used]
    return replace(table, columns=replace(table.columns, names=names or every[:1]))


class _ArrowStream:
    """A table for DuckDB, which asks for the stream each time that it reads the table."""

    def __init__(self, table: SqlTable, raised: list[HpcsweepError]) -> None:
        self._table = table
        self._raised = raised

    def __arrow_c_schema__(self) -> object:
        capsule: object = arrow_schema(self._table.columns).__arrow_c_schema__()
        return capsule

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        pa = import_pyarrow(_OPTION)
        reader = pa.RecordBatchReader.from_batches(arrow_schema(self._table.columns), self._read())
        capsule: object = reader.__arrow_c_stream__(requested_schema)
        return capsule

    def _read(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from arrow_batches(self._table.columns, self._table.rows())
        except HpcsweepError as error:
            self._raised.append(error)
            raise


# --- the columns that a statement needs -----------------------------------------------------------

# Parts of a statement that mean columns without naming them.
_MEANING_ALL = {
    "class": ("STAR", "POSITIONAL_REFERENCE"),
    "type": ("SHOW_REF",),
    "ref_type": ("NATURAL", "POSITIONAL"),
}


def _names_in(document: Any) -> set[str] | None:
    """The names in a parsed statement, in lower case; None if it may mean other columns, too."""
    names: set[str] = set()
    # The names that stand without another one and a dot, and those of tables.
    alone: set[str] = set()
    tables: set[str] = set()
    rest = [document]
    while rest:
        part = rest.pop()
        if isinstance(part, list):
            rest += part
        elif isinstance(part, dict):
            rest += part.values()
            means_all = any(part.get(key) in values for key, values in _MEANING_ALL.items())
            if means_all or part.get("error") or part.get("column_name_alias"):
                return None
            columns = [name.lower() for name in part.get("column_names") or ()]
            names.update(columns, map(str.lower, part.get("using_columns") or ()))
            if len(columns) == 1:
                alone.update(columns)
            if part.get("type") == "BASE_TABLE":
                tables |= {part[key].lower() for key in ("alias", "table_name") if part.get(key)}
    # The name of a table alone is its whole row.
    return None if alone & tables else names


# --- the result -----------------------------------------------------------------------------------


def _columns_of(schema: pa.Schema) -> TableColumns:
    """The columns of a result. *Raises* InputError for two of one name."""
    kinds: dict[str, str] = {}
    for field in schema:
        if field.name in kinds:
            raise InputError(
                f"two columns of the result are named {field.name}",
                where=_OPTION,
                next_step="Give one of them another name: … AS …",
            )
        kinds[field.name] = _kind_of(field.type)
    return TableColumns(params={}, metrics={}, kinds=kinds, names=list(kinds))


def _kind_of(type_: pa.DataType) -> str:
    import pyarrow.types as of  # noqa: PLC0415  # an extra

    if of.is_boolean(type_):
        return "bool"
    if of.is_decimal(type_):  # what the sum of ints is
        return "int" if type_.scale == 0 else "float"
    if of.is_integer(type_):
        return "int"
    if of.is_floating(type_):
        return "float"
    return "json" if of.is_nested(type_) else "str"


def _plain_batch(batch: pa.RecordBatch, columns: TableColumns) -> TableBatch:
    """A batch of the result with values as every format takes them."""
    values: dict[str, Sequence[Any]] = {}
    for name, column in zip(columns.names, batch.columns, strict=True):
        found = column.to_pylist()
        if columns.kinds[name] in {"str", "json"} or any(isinstance(one, Decimal) for one in found):
            found = [_plain(one) for one in found]
        if columns.kinds[name] == "int":
            _check_ints(name, found)
        values[name] = found
    return TableBatch(count=batch.num_rows, values=values)


def _plain(value: Any) -> Any:
    """A value as JSON has it; dates, times and whatever else as text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Decimal):
        return float(value) if value.as_tuple().exponent else int(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def _check_ints(name: str, values: Sequence[int | None]) -> None:
    """*Raises* InputError for what no format has as an int."""
    if any(value is not None and not -INT64 <= value < INT64 for value in values):
        raise InputError(
            f"{name} is beyond 64 bits",
            where=_OPTION,
            next_step="Write CAST(… AS DOUBLE), or CAST(… AS VARCHAR) for all digits.",
        )
